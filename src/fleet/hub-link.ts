import { randomUUID } from 'node:crypto';
import { type AgentError, InvalidArguments, ServerUnreachable } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { RemoteCall } from './door.ts';
import {
  bytesIn,
  EnvelopeFault,
  type FleetReply,
  type FleetRequest,
  MAX_MESSAGE_BYTES,
  open,
  REPLY,
  REQUEST,
  seal,
} from './envelope.ts';
import type { SigningKey } from './keys.ts';
import { type KnownServer, NOBODY } from './known-server.ts';
import { keepConnected, type Msg, type NatsConnection } from './nats.ts';
import { INBOX, rpcSubject } from './nats-config.ts';

export interface LinkDeps {
  readonly url: string;
  /** PEM of the certificate that NATS has. */
  readonly certificate: string;
  readonly key: SigningKey;
  readonly logger: Logger;
}

/** Replies to one request: `begun` and the answer. */
const REPLIES = 2;
/** How long a request may be under way, and how long the hub waits for `begun`. */
const AHEAD_MS = 2000;
/** How often servers with calls under way are probed. A server that reconnects may miss some probes. */
const ALIVE_MS = 2000;
const MOST_MISSING = 3;
/** The server answers this long before the deadline of the hub. */
const MARGIN_MS = 500;

/** A request that waits for its reply. */
interface Pending {
  readonly server: KnownServer;
  /** Undefined for a probe, which any process answers. */
  readonly instance: string | undefined;
  readonly settle: (outcome: Outcome) => void;
  hasBegun: boolean;
}

/** How a request ended: with a reply, not received by any server, or lost for a reason. */
export type Outcome = Replied | 'nobody' | { readonly lost: string };

/** A reply, and the bytes that came with it. */
export interface Replied {
  readonly reply: FleetReply;
  readonly bytes: Uint8Array;
}

/** How long a caller waits, and the event that withdraws its request. */
export type Waiting = Pick<RemoteCall, 'deadline' | 'cancelled'>;

/** The fields of a request that the caller sets. */
export type RequestFields = Omit<FleetRequest, 'id' | 'instance' | 'not_after' | 'reply_ms'> & {
  /** They follow the JSON of the request. */
  readonly bytes?: Uint8Array | undefined;
};

/** The hub's connection to NATS, and the requests under way on it. */
export class HubLink implements Disposable {
  readonly #pending = new Map<string, Pending>();
  readonly #missing = new Map<KnownServer, number>();
  readonly #inbox = `${INBOX}.${randomUUID()}`;
  readonly #alive: Timer;
  #connection: NatsConnection | undefined;
  #isConnected = false;
  #isOver = false;
  #disconnectedAt = Date.now();

  constructor(private readonly deps: LinkDeps) {
    this.#alive = setInterval(() => this.#askAll(), ALIVE_MS);
    this.#alive.unref();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** When the connection was lost, in milliseconds since the epoch. */
  get disconnectedAt(): number {
    return this.#disconnectedAt;
  }

  /** Connects, and reconnects until it is disposed of. Resolves after that. Calls `connected` after each connection. */
  async start(connected: () => void): Promise<void> {
    const { url, certificate, key, logger } = this.deps;
    await keepConnected(
      { url, certificate, key, name: 'agent3 hub' },
      {
        isOver: () => this.#isOver,
        opened: (connection) => {
          this.#connection = connection;
          if (this.#isOver) void connection.close();
          else this.listen(`${this.#inbox}.*`, (message) => this.#replied(message));
        },
        connected: () => {
          if (this.#isOver) return;
          this.#isConnected = true;
          connected();
        },
        lost: () => {
          this.#isConnected = false;
          this.#disconnectedAt = Date.now();
          logger.warn({ url }, 'the connection to NATS is lost: no server can be reached');
        },
        failed: (error) => logger.warn({ err: error, url }, 'NATS cannot be reached; the hub tries again'),
      },
    );
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#alive);
    for (const { settle } of this.#pending.values()) settle({ lost: 'the hub was stopped' });
    void this.#connection?.close();
  }

  /** Subscribes to a subject. Returns a function that ends the subscription. */
  listen(subject: string, heard: (message: Msg) => void): () => void {
    const subscription = this.#connection?.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return;
        try {
          heard(message);
        } catch (fault) {
          // Headers are parsed on access and can throw. An error from here would stop this connection for all servers.
          this.deps.logger.warn({ err: fault, subject }, 'a message could not be read');
        }
      },
    });
    return () => subscription?.unsubscribe();
  }

  /** Sends a request to a server and waits for the outcome. Throws `InvalidArguments` or `ServerUnreachable` where it was not sent. */
  async send(server: KnownServer, { bytes, ...fields }: RequestFields, call: Waiting): Promise<Outcome> {
    if (!this.#isConnected) return 'nobody';
    const id = Bun.randomUUIDv7();
    const when = server.instanceAt(performance.now(), AHEAD_MS);
    const reply_ms = Math.max(0, call.deadline.leftMs - MARGIN_MS);
    const { promise, resolve: settle } = Promise.withResolvers<Outcome>();
    using ends = new DisposableStack();
    const pending: Pending = { server, instance: when.instance, settle, hasBegun: false };
    this.#pending.set(id, pending);
    ends.defer(() => this.#pending.delete(id));
    const begun = setTimeout(() => {
      if (!pending.hasBegun) settle({ lost: 'it did not confirm the start within 2 s' });
    }, AHEAD_MS);
    const late = setTimeout(() => settle({ lost: 'its answer did not come in time' }), call.deadline.leftMs);
    for (const timer of [begun, late]) ends.defer(() => clearTimeout(timer));
    const cancel = (): void => {
      const at = server.instanceAt(performance.now(), AHEAD_MS);
      this.#publish(server, { ...fields, ...at, id: Bun.randomUUIDv7(), reply_ms, op: 'cancel', args: { id } });
    };
    server.expect(REPLIES);
    const fault = this.#publish(server, { ...fields, ...when, id, reply_ms }, bytes);
    if (fault !== undefined) throw fault;
    const unsubscribe = call.cancelled?.subscribe(cancel);
    if (unsubscribe !== undefined) ends.defer(unsubscribe);
    return await promise;
  }

  /** Asks a server for its state, or whether it is connected. The server replies `stale`; NATS replies where nobody subscribes. */
  ask(server: KnownServer, op: 'state' | 'alive', missing: () => void = () => {}): void {
    if (!this.#isConnected) return;
    const id = Bun.randomUUIDv7();
    const over = setTimeout(() => this.#pending.delete(id), AHEAD_MS);
    const settle = (outcome: Outcome): void => {
      clearTimeout(over);
      this.#pending.delete(id);
      if (outcome === 'nobody') missing();
      else this.#missing.delete(server);
    };
    this.#pending.set(id, { server, instance: undefined, settle, hasBegun: true });
    server.expect(REPLIES);
    this.#publish(server, {
      ...{ server: server.key, instance: NOBODY, id, not_after: 0, op, args: {}, name: server.record.name },
      ...{ principal: 'hub', request: id, reach: 'readonly', address: '', lean: true, reply_ms: 0, max_chars: 256 },
    });
  }

  /** Accepts a reply of a server. It counts for the request that it names, where that request went to the signer. */
  take(server: KnownServer, data: Uint8Array): void {
    const reply = this.read(server, () => open(REPLY, data, server.verifier));
    if (reply === undefined) return;
    const pending = this.#pending.get(reply.id);
    if (pending?.server !== server || reply.server !== server.key) return;
    server.heard(reply, performance.now());
    // A reply of another process proves nothing about the process that was called, which may run the call.
    const isOfOther = ![undefined, NOBODY, reply.instance].includes(pending.instance);
    if (isOfOther) return;
    if (reply.kind === 'begun') pending.hasBegun = true;
    else pending.settle({ reply, bytes: bytesIn(data) });
  }

  /** Reads a message of a server. Logs an invalid message and returns undefined. */
  read<T>(server: KnownServer, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof EnvelopeFault)) throw error;
      const { name } = server.record;
      this.deps.logger.warn({ server: name, fault: error.message }, 'a message of a server was ignored');
      return undefined;
    }
  }

  /** Ends the calls under way on a server that went to a process other than `instance`. */
  lose(server: KnownServer, why: string, instance?: string): void {
    for (const pending of this.#pending.values())
      if (pending.server === server && pending.instance !== undefined && pending.instance !== instance)
        pending.settle({ lost: why });
  }

  /** Publishes a request. Returns the error where it was not sent. */
  #publish(server: KnownServer, request: FleetRequest, bytes?: Uint8Array): AgentError | undefined {
    const sealed = this.#sealed(request, bytes);
    if (sealed instanceof InvalidArguments) return sealed;
    try {
      this.#connection?.publish(rpcSubject(server.key), sealed, { reply: `${this.#inbox}.${request.id}` });
      return undefined;
    } catch (error) {
      this.deps.logger.warn({ err: error, server: request.name }, 'a request to a server could not be sent');
      return new ServerUnreachable(
        `Nothing was run: the call to ${request.name} could not be sent. Tell the owner of the hub: the log of agent3 says why.`,
      );
    }
  }

  /** The size is checked here: numbers of a call can be longer when they are serialized again. */
  #sealed(request: FleetRequest, bytes: Uint8Array | undefined): Buffer | InvalidArguments {
    try {
      const sealed = seal(REQUEST, request, this.deps.key, bytes);
      if (sealed.length <= MAX_MESSAGE_BYTES) return sealed;
      return new InvalidArguments(
        `Nothing was run: the call to ${request.name} has ${sealed.length} bytes, and may have at most ${MAX_MESSAGE_BYTES}. Send less in one call.`,
      );
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return new InvalidArguments('Nothing was run: the arguments are nested too deeply.');
    }
  }

  #replied(message: Msg): void {
    const pending = this.#pending.get(message.subject.slice(this.#inbox.length + 1));
    if (pending === undefined) return;
    // This is the reply of NATS where nobody subscribes.
    if (message.headers?.code === 503 && message.data.length === 0) pending.settle('nobody');
    else this.take(pending.server, message.data);
  }

  /** Probes the servers with calls under way. The answers of a server that stays away are lost. */
  #askAll(): void {
    if (!this.#isConnected) return;
    const waiting = [...this.#pending.values()].filter(({ hasBegun, instance }) => hasBegun && instance !== undefined);
    const busy = new Set(waiting.map(({ server }) => server));
    for (const server of this.#missing.keys()) if (!busy.has(server)) this.#missing.delete(server);
    for (const server of busy) {
      this.ask(server, 'alive', () => {
        const missing = (this.#missing.get(server) ?? 0) + 1;
        this.#missing.set(server, missing);
        if (missing >= MOST_MISSING) this.lose(server, 'the connection to it is lost');
      });
    }
  }
}
