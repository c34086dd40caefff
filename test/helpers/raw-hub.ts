import { type FleetReply, type FleetRequest, open, REPLY, REQUEST, seal } from '../../src/fleet/envelope.ts';
import { SIGNATURE_BYTES, type SigningKey, Verifier } from '../../src/fleet/keys.ts';
import { connectOnce, type NatsConnection } from '../../src/fleet/nats.ts';
import { answerSubject, rpcSubject } from '../../src/fleet/nats-config.ts';
import type { TestNats } from './nats.ts';

/** An instance that no process has: a server that is asked says which one it is. */
const NOBODY = '00000000-0000-0000-0000-000000000000';
/** A server that refuses a message says nothing. */
const SILENCE_MS = 700;
const ANSWER_MS = 12_000;

/** Speaks as the hub, whose key it has. To be disposed of. */
export class RawHub implements AsyncDisposable {
  private constructor(
    private readonly nats: TestNats,
    readonly connection: NatsConnection,
  ) {}

  static async open(nats: TestNats): Promise<RawHub> {
    return new RawHub(nats, await connectOnce(nats.address(nats.hub)));
  }

  /** What the first machine with the key of a server says of itself; undefined where it says nothing. */
  look(server: string, waitMs?: number): Promise<FleetReply | undefined> {
    return this.ask(this.seal(this.#request(server, { op: 'state' })), server, waitMs);
  }

  /** A request that a server takes now. */
  async request(server: string, op: string, args: unknown, changes: Partial<FleetRequest> = {}): Promise<FleetRequest> {
    const known = await this.look(server, ANSWER_MS);
    if (known?.kind !== 'stale') throw new Error(`${server} does not say that it is there`);
    return this.#request(server, { instance: known.instance, not_after: known.clock + 2000, op, args, ...changes });
  }

  seal(request: FleetRequest, key: SigningKey = this.nats.hub, bytes?: Uint8Array): Buffer {
    return seal(REQUEST, request, key, bytes);
  }

  /** What a server answers to an operation; undefined where it says nothing. */
  async call(server: string, op: string, args: unknown, changes: Partial<FleetRequest> = {}) {
    return this.ask(this.seal(await this.request(server, op, args, changes)), server, ANSWER_MS);
  }

  /** What a server answers to a sealed request; undefined where it says nothing. */
  async ask(sealed: Uint8Array, server: string, waitMs = SILENCE_MS): Promise<FleetReply | undefined> {
    const { publicKey } = this.nats.keyOf(server);
    const id = idIn(sealed);
    const { promise, resolve } = Promise.withResolvers<FleetReply | undefined>();
    const subscription = this.connection.subscribe(answerSubject(publicKey), {
      callback: (_, message) => {
        const reply = open(REPLY, message.data, new Verifier(publicKey));
        if (reply.id === id && reply.kind !== 'begun') resolve(reply);
      },
    });
    this.send(sealed, server);
    await this.connection.flush();
    const reply = await Promise.race([promise, Bun.sleep(waitMs).then(() => undefined)]);
    subscription.unsubscribe();
    return reply;
  }

  /** Sends a sealed request to a server. */
  send(sealed: Uint8Array, server: string): void {
    this.connection.publish(rpcSubject(this.nats.keyOf(server).publicKey), sealed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }

  #request(server: string, changes: Partial<FleetRequest>): FleetRequest {
    return {
      server: this.nats.keyOf(server).publicKey,
      instance: NOBODY,
      id: Bun.randomUUIDv7(),
      not_after: 0,
      op: 'shell',
      args: {},
      name: server,
      principal: 'someone#1a2b3c4d',
      request: Bun.randomUUIDv7(),
      reach: 'profile',
      address: '',
      lean: true,
      reply_ms: 20_000,
      max_chars: 90_000,
      ...changes,
    };
  }
}

/** The id in a sealed message: its JSON is after the signature. */
export function idIn(sealed: Uint8Array): string {
  return (JSON.parse(Buffer.from(sealed.subarray(SIGNATURE_BYTES)).toString()) as { readonly id: string }).id;
}
