import { randomUUID } from 'node:crypto';
import { requireReach } from '../access/hub-access.ts';
import type { Answer } from '../calls/context.ts';
import { Buckets } from '../http/limiters.ts';
import { Deadline, systemClock } from '../lib/clock.ts';
import { ServerUnreachable } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { answerOf, refusalOf, unknownOutcome } from './answers.ts';
import { deliver, describeAbsence } from './deliver.ts';
import type { FleetDoor, FleetServer, Piece, PieceCall, RemoteCall } from './door.ts';
import { EndedTokens, type EndedTokensDeps } from './ended-tokens.ts';
import { open, STATE } from './envelope.ts';
import { HubLink, type Replied, type RequestFields, type Waiting } from './hub-link.ts';
import { type Inventory, inventoryPath, readInventory, type ServerRecord } from './inventory.ts';
import type { NumberedList } from './key-chain.ts';
import { type PublicKey, type SigningKey, tagOf } from './keys.ts';
import { KeysCourier, type KeysTrail } from './keys-courier.ts';
import { KnownServer } from './known-server.ts';
import type { Msg } from './nats.ts';
import { NO_SERVER, type OrderOutcome, sendOrder } from './orders.ts';
import { type PassedDeps, PassedOrders } from './passed-orders.ts';
import { WatchedFile } from './roots-file.ts';
import { Runs } from './runs.ts';

export interface HubDeps {
  /** Of the inventory. */
  readonly directory: string;
  readonly certificate: string;
  readonly key: SigningKey;
  readonly logger: Logger;
  readonly access: EndedTokensDeps['access'];
  readonly trail: KeysTrail;
  readonly endOfEarlier: PassedDeps['endOfEarlier'];
}

const MAX_CHARS = 600_000;
/** Space that the hub needs in an answer for the name of the server and the tags of ids. */
const ROOM = 0.95;
const MORE_ROOM_CHARS = 300;
/** How long a server has to confirm the end of a token. */
const TELL_SECONDS = 5;

/** How often a minute one server can cause a notification that something waits there. */
const WAITS_PER_MINUTE = 3;

/** The hub's side: follows the servers of the inventory and runs calls on them. */
export class Hub implements FleetDoor, Disposable {
  readonly runs = new Runs();
  readonly #servers = new Map<string, KnownServer>();
  readonly #listening = new Map<KnownServer, () => void>();
  readonly #inventory: WatchedFile<Inventory>;
  readonly #link: HubLink;
  readonly #courier: KeysCourier;
  #passed: PassedOrders | undefined;
  readonly #waits = new Buckets(WAITS_PER_MINUTE, systemClock);
  #heardWaiting: () => void = () => {};
  readonly #ended: EndedTokens;

  /** Throws `FleetFileFault` where the inventory cannot be used. */
  constructor(private readonly deps: HubDeps) {
    const { directory, certificate, key, logger, access, trail } = deps;
    this.#ended = new EndedTokens({ access, tell: (server, principal) => this.#tellEnd(server, principal) });
    this.#inventory = new WatchedFile(
      inventoryPath(directory),
      () => readInventory(directory),
      ({ servers }) => this.#sync(servers),
      logger,
    );
    const { url, local_url = url } = this.#inventory.value.hub;
    this.#link = new HubLink({ url: local_url, certificate, key, logger });
    this.#courier = new KeysCourier({
      ...{ directory, logger, trail },
      send: (server, link) => sendOrder(this.#link, server, link),
      changed: () => {
        for (const server of this.#servers.values()) this.#bringKeys(server);
      },
    });
    this.#sync(this.#inventory.value.servers);
  }

  /** Connects, and reconnects until it is disposed of. Resolves after that. */
  async start(): Promise<void> {
    this.#courier.note();
    this.#passed = new PassedOrders(this.deps);
    await this.#link.start(() => {
      this.deps.logger.info({ servers: this.#servers.size }, 'connected to NATS: servers can be called');
      for (const server of this.#servers.values()) this.#listen(server);
    });
  }

  [Symbol.dispose](): void {
    this.#inventory[Symbol.dispose]();
    this.#courier[Symbol.dispose]();
    this.#passed?.[Symbol.dispose]();
    this.#ended[Symbol.dispose]();
    this.#link[Symbol.dispose]();
  }

  /** The hub's own key, as the inventory has it. */
  get key(): string {
    return this.#inventory.value.hub.key;
  }

  get hubName(): string {
    return this.#inventory.value.hub.name;
  }

  /** The passkeys of the console that servers receive. Undefined where no server has any. */
  get keysOfServers(): NumberedList | undefined {
    return this.#courier.list;
  }

  /** Calls `listener` when something begins to wait for a person on a server. */
  onWaiting(listener: () => void): void {
    this.#heardWaiting = listener;
  }

  servers(): readonly FleetServer[] {
    const now = performance.now();
    return [...this.#servers.values()].map((server) => server.describe(now, this.#link.isConnected));
  }

  /** The number of servers, and of connected ones. Null where the hub has no connection to NATS. */
  get status(): { readonly connected: number | null; readonly all: number } {
    const now = performance.now();
    const servers = [...this.#servers.values()];
    const connected = this.#link.isConnected ? servers.filter((server) => server.isConnected(now)).length : null;
    return { connected, all: servers.length };
  }

  async callServer(
    server: FleetServer,
    op: string,
    args: Readonly<Record<string, unknown>>,
    call: RemoteCall,
  ): Promise<Answer> {
    return answerOf(server, (await this.#call(server, op, args, call)).reply, call.maxReplyChars);
  }

  async piece(
    server: FleetServer,
    op: 'stream' | 'transfer',
    args: Readonly<Record<string, unknown>>,
    call: PieceCall,
    bytes?: Uint8Array,
  ): Promise<Piece> {
    const replied = await this.#call(server, op, args, { ...call, maxReplyChars: MAX_CHARS }, bytes);
    if (replied.reply.status === 200) return { body: replied.reply.body, bytes: replied.bytes };
    throw refusalOf(server.name, replied.reply, server.tag);
  }

  async #call(
    { name, key }: FleetServer,
    op: string,
    args: Readonly<Record<string, unknown>>,
    call: PieceCall & Partial<RemoteCall> & Pick<RemoteCall, 'maxReplyChars'>,
    bytes?: Uint8Array,
  ): Promise<Replied> {
    const reach = requireReach(call.profile, name);
    const known = this.#callable(name, key);
    this.#ended.used(call.principal, key);
    const fields = {
      ...{ server: key, op, args, name, principal: call.principal, reach, address: call.address, bytes },
      ...(call.shared !== undefined && { plan: call.shared }),
      request: call.request ?? randomUUID(),
      lean: call.isLean === true,
      max_chars: Math.min(Math.floor(call.maxReplyChars * ROOM) - MORE_ROOM_CHARS, MAX_CHARS),
    };
    return await this.#reply(known, fields, call);
  }

  /**
   * Asks the server with this key on behalf of the owner's console. Returns the body of its answer unchanged. Throws as
   * `callServer` does.
   */
  async askServer(key: string, op: 'console', args: unknown, waiting: Waiting): Promise<unknown> {
    const record = this.#inventory.value.servers.find((one) => one.key === key);
    if (record === undefined) throw new ServerUnreachable('Nothing was done: no server of the fleet has this key.');
    const { name } = record;
    const fields = {
      ...{ server: key, op, args, name, principal: 'hub', request: randomUUID(), reach: 'readonly' as const },
      ...{ address: '', lean: true, max_chars: MAX_CHARS },
    };
    const { status, body, headers } = (await this.#reply(this.#callable(name, key), fields, waiting)).reply;
    if (status === 200) return body;
    throw refusalOf(name, { status, body, headers });
  }

  /** Sends a server the end of a token. Resolves to true when it has confirmed, or is no longer in the fleet. */
  async #tellEnd(key: PublicKey, principal: string): Promise<boolean> {
    const known = [...this.#servers.values()].find((one) => one.key === key);
    if (known === undefined) return true;
    const { name } = known.record;
    const fields = {
      ...{ server: key, op: 'ended', args: {}, name, principal, request: randomUUID(), reach: 'readonly' as const },
      ...{ address: '', lean: true, max_chars: MAX_CHARS },
    };
    const waiting = { deadline: Deadline.after(TELL_SECONDS) };
    const outcome = await deliver(this.#link, known, fields, waiting).catch(() => 'late' as const);
    return typeof outcome === 'object' && 'reply' in outcome && outcome.reply.status === 200;
  }

  /** Returns the server of this name. Throws `ServerUnreachable` where it was removed, or where two machines have its key. */
  #callable(name: string, key: string): KnownServer {
    const known = this.#servers.get(name);
    if (known?.key !== key) throw new ServerUnreachable(`Nothing was run: ${name} was removed from the fleet.`);
    if (!known.isDoubled(performance.now())) return known;
    throw new ServerUnreachable(
      `Nothing was run: two machines have the key of ${name}, so one is a copy of the other. Tell the owner: agent3 leave on one of them, and invite it under a name of its own.`,
    );
  }

  async #reply(known: KnownServer, fields: RequestFields, waiting: Waiting): Promise<Replied> {
    const { name } = known.record;
    const outcome = await deliver(this.#link, known, fields, waiting);
    if (outcome === 'nobody') throw new ServerUnreachable(`Nothing was run: ${describeAbsence(this.#link, known)}.`);
    if (outcome === 'late')
      throw new ServerUnreachable(`Nothing was run: the call reached ${name} too late. Repeat it.`);
    if ('lost' in outcome) throw unknownOutcome(name, outcome.lost, fields.request);
    return outcome;
  }

  /** Passes an order of the console on to the server with this key. Returns its result. */
  async order(key: string, file: unknown): Promise<OrderOutcome> {
    const server = [...this.#servers.values()].find((one) => one.key === key);
    return server === undefined ? NO_SERVER : await sendOrder(this.#link, server, file);
  }

  /** Applies a new inventory. A removed server gets no further call. */
  #sync(records: readonly ServerRecord[]): void {
    const named = new Map(records.map((record) => [record.name, record]));
    for (const [name, server] of this.#servers) {
      if (named.get(name)?.key === server.key) continue;
      this.#servers.delete(name);
      this.#listening.get(server)?.();
      this.#listening.delete(server);
      this.#link.lose(server, 'it was removed from the fleet');
      this.deps.logger.info(
        { server: name, tag: tagOf(server.key) },
        'a server was removed: it is not called any more',
      );
    }
    for (const record of records) {
      const known = this.#servers.get(record.name) ?? new KnownServer(record);
      known.record = record;
      this.#servers.set(record.name, known);
      this.#listen(known);
    }
  }

  /** Subscribes to the messages of a server and asks for its state. Runs after each connection to NATS. */
  #listen(server: KnownServer): void {
    if (!this.#link.isConnected) return;
    if (!this.#listening.has(server))
      this.#listening.set(
        server,
        this.#link.listen(`a3.${server.key}.up.*`, (message) => this.#heard(server, message)),
      );
    this.#link.ask(server, 'state');
  }

  #heard(server: KnownServer, message: Msg): void {
    const now = performance.now();
    const deafMs = server.flooded(now);
    if (deafMs !== undefined) {
      this.#ignore(server, deafMs);
      return;
    }
    if (message.subject.endsWith('.answer')) {
      this.#link.take(server, message.data);
      return;
    }
    const state = this.#link.read(server, () => open(STATE, message.data, server.verifier));
    const { waiting: waited } = server;
    if (state?.server !== server.key || !server.show(state)) return;
    if (server.waiting > waited && this.#waits.consume(server.key, 1) === 0) this.#heardWaiting();
    if (server.heard(state, now)) this.#link.lose(server, 'its agent was restarted', state.instance);
    this.#bringKeys(server);
  }

  #bringKeys(server: KnownServer): void {
    if (!server.isConnected(performance.now())) return;
    this.#courier
      .look(server)
      .catch((error: unknown) => this.deps.logger.warn({ err: error }, 'the passkeys could not be sent to a server'));
  }

  #ignore(server: KnownServer, deafMs: number): void {
    const { name } = server.record;
    this.deps.logger.warn({ server: name }, 'a server sends too much: its messages are ignored for a minute');
    this.#listening.get(server)?.();
    const timer = setTimeout(() => {
      this.#listening.delete(server);
      if (this.#servers.get(name) === server) this.#listen(server);
    }, deafMs);
    timer.unref();
    this.#listening.set(server, () => clearTimeout(timer));
  }
}
