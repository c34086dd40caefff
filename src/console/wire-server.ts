import { chmodSync, lstatSync, rmSync } from 'node:fs';
import type { Socket } from 'bun';
import { Channel, ChannelFault, MAX_FRAME_BYTES, WireRefusal } from './channel.ts';

/** A request from the console, as it came. */
export interface WireRequest {
  readonly op: string;
  readonly args: unknown;
  /** Aborts when the console has taken the request back, or is gone. */
  readonly signal: AbortSignal;
}

/** Answers a request: the returned function is called when the console can take the answer. Rejects with `WireRefusal`. */
export type Answer = (request: WireRequest) => Promise<() => unknown>;

/** What the log of the agent is told. */
export interface WireLogger {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Requests of one connection that may wait at once. */
const MAX_REQUESTS = 64;
/** Answers that wait to be sent: a console that sends more requests does not read. */
const MAX_UNSENT = 2 * MAX_REQUESTS;
/** Connections at once: more than one only while a console is replaced by another. */
const MAX_CONNECTIONS = 8;
/** Connections that have not proved the key: the oldest goes for a new one. */
const MAX_UNPROVED = 8;
/** Time after which a connection is closed that has not proved the key, and one that reads nothing. */
const HELLO_MS = 5000;
const SLOW_MS = 30_000;
/** How often it is looked whether the path is still the agent's own socket. */
const LOOK_MS = 2000;

interface Connection {
  readonly channel: Channel;
  readonly requests: Map<number, AbortController>;
  hello: ReturnType<typeof setTimeout>;
  slow?: ReturnType<typeof setTimeout> | undefined;
}

type AgentSocket = Socket<Connection>;

/** The agent's end: listens on a unix socket and answers those who prove the key. */
export class WireServer {
  readonly #sockets = new Set<AgentSocket>();
  #listener: Bun.UnixSocketListener<Connection> | undefined;
  #ino = 0;
  /** Why nothing listens. */
  #fault: string | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly path: string,
    private readonly key: string,
    private readonly answer: Answer,
    private readonly logger: WireLogger,
  ) {}

  /** Listens, in the place of whatever has the path. Where it cannot, it is tried again. */
  open(): void {
    this.#listen();
    this.#timer = setInterval(() => this.#lookAtPath(), LOOK_MS);
    this.#timer.unref();
  }

  /** Closes every connection and removes the socket. */
  close(): void {
    clearInterval(this.#timer);
    this.#listener?.stop(true);
    for (const socket of this.#sockets) socket.terminate();
    if (inodeOf(this.path) === this.#ino) rmSync(this.path, { force: true });
  }

  #listen(): void {
    try {
      rmSync(this.path, { force: true });
      this.#listener = Bun.listen<Connection>({
        unix: this.path,
        socket: {
          open: (socket) => this.#opened(socket),
          data: (socket, bytes) => this.#received(socket, bytes),
          drain: (socket) => this.#drained(socket),
          close: (socket) => this.#closed(socket),
          error: (socket) => void socket.terminate(),
        },
      });
      // Who may connect has to prove the key all the same.
      chmodSync(this.path, 0o660);
      this.#ino = inodeOf(this.path);
      this.#fault = undefined;
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#fault)
        this.logger.warn({ socket: this.path, fault }, 'the console sees nothing: its socket cannot be made');
      this.#fault = fault;
    }
  }

  /** A command as the agent's user may put another socket there: the console trusts no such one, and finds this again. */
  #lookAtPath(): void {
    if (this.#fault === undefined) {
      if (inodeOf(this.path) === this.#ino) return;
      this.logger.warn({ socket: this.path }, 'the socket of the console was removed or replaced; it is put back');
      this.#listener?.stop(false);
    }
    this.#listen();
  }

  #opened(socket: AgentSocket): void {
    const channel = new Channel('agent', this.key, socket);
    const hello = setTimeout(() => channel.isProved || socket.terminate(), HELLO_MS);
    socket.data = { channel, requests: new Map(), hello };
    const unproved = [...this.#sockets].filter(({ data }) => !data.channel.isProved);
    if (unproved.length >= MAX_UNPROVED) unproved[0]?.terminate();
    this.#sockets.add(socket);
    channel.open();
  }

  #received(socket: AgentSocket, bytes: Uint8Array): void {
    const { channel } = socket.data;
    try {
      for (const message of channel.receive(bytes)) this.#take(socket, message);
    } catch (error) {
      this.logger.warn({ fault: String(error) }, 'a connection of the console was closed');
      socket.terminate();
      return;
    }
    const proved = [...this.#sockets].filter(({ data }) => data.channel.isProved);
    if (proved.length > MAX_CONNECTIONS) proved[0]?.terminate();
    this.#watchSlow(socket);
  }

  #take(socket: AgentSocket, message: unknown): void {
    const { requests, channel } = socket.data;
    if (channel.unsent > MAX_UNSENT) throw new ChannelFault('the console does not read its answers');
    if (!isRequest(message)) throw new ChannelFault('a message is no request');
    const { id, op, args } = message;
    if (op === 'cancel') {
      requests.get(id)?.abort();
      return;
    }
    if (requests.has(id)) throw new ChannelFault('two requests have the same id');
    const reply = (make: () => object): void => this.#reply(socket, id, make);
    if (requests.size >= MAX_REQUESTS) {
      reply(() => ({ error: 'TooManyRequests', message: `more than ${MAX_REQUESTS} requests wait at once` }));
      return;
    }
    const controller = new AbortController();
    requests.set(id, controller);
    this.answer({ op, args, signal: controller.signal })
      .then(
        (make) => reply(() => ({ answer: make() })),
        (error) => reply(() => refusalOf(error, this.logger)),
      )
      .catch((error) => this.logger.error({ err: error, op }, 'an answer to the console failed'));
  }

  #reply(socket: AgentSocket, id: number, make: () => object): void {
    const { channel, requests } = socket.data;
    channel.send(() => {
      requests.delete(id);
      try {
        const text = JSON.stringify({ id, ...make() });
        if (Buffer.byteLength(text) > MAX_FRAME_BYTES)
          throw new WireRefusal('InternalError', 'The answer is too long.');
        return text;
      } catch (error) {
        return JSON.stringify({ id, ...refusalOf(error, this.logger) });
      }
    });
    this.#watchSlow(socket);
  }

  #drained(socket: AgentSocket): void {
    socket.data.channel.drain();
    clearTimeout(socket.data.slow);
    socket.data.slow = undefined;
    this.#watchSlow(socket);
  }

  #watchSlow(socket: AgentSocket): void {
    if (!socket.data.channel.isBehind) return;
    socket.data.slow ??= setTimeout(() => socket.terminate(), SLOW_MS);
  }

  #closed(socket: AgentSocket): void {
    const { hello, slow, requests } = socket.data;
    clearTimeout(hello);
    clearTimeout(slow);
    this.#sockets.delete(socket);
    for (const controller of requests.values()) controller.abort();
    requests.clear();
  }
}

function inodeOf(path: string): number {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.ino ?? 0;
  } catch {
    // Something on the way there is no directory any more.
    return 0;
  }
}

function isRequest(value: unknown): value is { readonly id: number; readonly op: string; readonly args: unknown } {
  if (typeof value !== 'object' || value === null || !('id' in value) || !('op' in value)) return false;
  return Number.isSafeInteger(value.id) && typeof value.op === 'string';
}

function refusalOf(error: unknown, logger: WireLogger): { readonly error: string; readonly message: string } {
  if (error instanceof WireRefusal) return { error: error.code, message: error.message };
  logger.error({ err: error }, 'a request of the console failed');
  return { error: 'InternalError', message: 'The agent failed; its log says why.' };
}
