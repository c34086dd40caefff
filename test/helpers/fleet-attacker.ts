import { type FleetReply, REPLY, STATE, seal } from '../../src/fleet/envelope.ts';
import type { SigningKey } from '../../src/fleet/keys.ts';
import { keepConnected, type NatsConnection } from '../../src/fleet/nats.ts';
import { answerSubject, rpcSubject, stateSubject } from '../../src/fleet/nats-config.ts';
import type { TestNats } from './nats.ts';

/** A late copy comes within this. */
const LATE_MS = 4000;
/** One of so many messages is copied late, or answered by a forgery: more would be a flood, which is another attack. */
const RARE = 10;
const FLOOD = 3000;

/**
 * Who has NATS, and the key of the server `evil`: doubles each request to `victim`, sends it to `others`, repeats old ones,
 * doubles answers, and answers in the victim's place.
 */
export class FleetAttacker implements AsyncDisposable {
  readonly #connections: NatsConnection[] = [];
  #hub: NatsConnection | undefined;
  #server: NatsConnection | undefined;
  #evil: NatsConnection | undefined;
  readonly #over: Promise<void>[] = [];
  readonly #seen = new Set<string>();
  #isOver = false;
  /** How often it has done what. */
  readonly counts = { doubled: 0, misdirected: 0, repeated: 0, answersDoubled: 0, forged: 0, flood: 0 };

  constructor(
    private readonly nats: TestNats,
    private readonly victim: string,
    private readonly others: readonly string[],
  ) {}

  async begin(): Promise<void> {
    const { nats } = this;
    const key = nats.keyOf(this.victim);
    this.#hub = await this.#connect(nats.hub);
    this.#server = await this.#connect(key);
    this.#evil = await this.#connect(nats.keyOf('evil'));
    this.#server.subscribe(rpcSubject(key.publicKey), { callback: (_, { data }) => this.#request(data.slice()) });
    this.#hub.subscribe(answerSubject(key.publicKey), { callback: (_, { data }) => this.#answer(data.slice()) });
  }

  /** More states than a server may send. */
  flood(): void {
    const key = this.nats.keyOf('evil');
    const about = { server: key.publicKey, instance: crypto.randomUUID(), clock: 0, version: '', os: '', load: [] };
    const more = { count: 1, frozen: false, profile: '', operations: [], leaving: false };
    const sealed = seal(STATE, { ...about, ...more }, key);
    for (let sent = 0; sent < FLOOD; sent++) this.#publish(this.#evil, stateSubject(key.publicKey), sealed);
    this.counts.flood += FLOOD;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    for (const connection of this.#connections) await connection.close();
    await Promise.all(this.#over);
  }

  async #connect(key: SigningKey): Promise<NatsConnection> {
    const { promise, resolve } = Promise.withResolvers<NatsConnection>();
    const nothing = (): void => {};
    const kept = { isOver: () => this.#isOver, opened: resolve, connected: nothing, lost: nothing, failed: nothing };
    this.#over.push(keepConnected(this.nats.address(key), kept));
    const connection = await promise;
    this.#connections.push(connection);
    return connection;
  }

  #request(data: Uint8Array): void {
    if (this.#isKnown(data)) return;
    const { counts, nats, victim } = this;
    const isRare = this.#seen.size % RARE === 0;
    const rpc = rpcSubject(nats.keyOf(victim).publicKey);
    this.#publish(this.#hub, rpc, data);
    counts.doubled++;
    for (const other of this.others) {
      this.#publish(this.#hub, rpcSubject(nats.keyOf(other).publicKey), data);
      counts.misdirected++;
    }
    if (!isRare) return;
    this.#forge(idIn(data));
    setTimeout(() => {
      this.#publish(this.#hub, rpc, data);
      counts.repeated++;
    }, Math.random() * LATE_MS);
  }

  #answer(data: Uint8Array): void {
    if (this.#isKnown(data) || this.#seen.size % RARE !== 0) return;
    setTimeout(() => {
      this.#publish(this.#server, answerSubject(this.nats.keyOf(this.victim).publicKey), data);
      this.counts.answersDoubled++;
    }, Math.random() * 100);
  }

  /** A good answer to the request, with another key, by every way. */
  #forge(id: string): void {
    const [evil, victim] = [this.nats.keyOf('evil'), this.nats.keyOf(this.victim)];
    const body = { exit_code: 0, stdout: 'forged\n' };
    const reply = {
      instance: crypto.randomUUID(),
      id,
      clock: 0,
      kind: 'answer',
      status: 200,
      headers: {},
      body,
    } as const;
    for (const { publicKey: server } of [evil, victim]) {
      const sealed = seal(REPLY, { ...reply, server } satisfies FleetReply, evil);
      for (const subject of [answerSubject(evil.publicKey), answerSubject(victim.publicKey), `a3.hub.${id}`])
        this.#publish(this.#evil, subject, sealed);
      this.counts.forged++;
    }
  }

  /** A message is taken once: its copies come back here too. */
  #isKnown(data: Uint8Array): boolean {
    const hash = Bun.SHA256.hash(data, 'hex');
    if (this.#seen.has(hash)) return true;
    this.#seen.add(hash);
    return false;
  }

  #publish(connection: NatsConnection | undefined, subject: string, data: Uint8Array): void {
    if (!this.#isOver && connection?.isClosed() === false) connection.publish(subject, data);
  }
}

/** The id in a sealed message: its JSON follows the signature. */
export function idIn(sealed: Uint8Array): string {
  return (JSON.parse(Buffer.from(sealed.subarray(64)).toString()) as { id: string }).id;
}
