import type { Socket } from 'bun';
import { AgentAway, Channel, MAX_FRAME_BYTES, WireRefusal } from './channel.ts';

const CONNECT_MS = 3000;

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A connection whose other end has proved the key. */
interface Connection {
  readonly channel: Channel;
  readonly socket: Socket<undefined>;
  readonly pending: Map<number, Pending>;
}

/** The console's end. It connects when there is something to ask, and again after the agent was gone. */
export class WireClient {
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #lastId = 0;

  constructor(
    private readonly path: string,
    private readonly key: string,
  ) {}

  /** The agent's answer. Rejects with `AgentAway`, `WireRefusal`, or with the reason of `signal`, which takes the request back. */
  async request(op: string, args: unknown, signal?: AbortSignal): Promise<unknown> {
    const connection = this.#connection ?? (await this.#connect());
    const { channel, pending } = connection;
    signal?.throwIfAborted();
    const id = ++this.#lastId;
    const text = JSON.stringify({ id, op, args });
    if (Buffer.byteLength(text) > MAX_FRAME_BYTES) throw new WireRefusal('BadRequest', 'The request is too long.');
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const cancel = (): void => {
      if (!pending.has(id)) return;
      channel.send(() => JSON.stringify({ id, op: 'cancel' }));
      reject(signal?.reason instanceof Error ? signal.reason : new Error('the request was taken back'));
    };
    pending.set(id, { resolve, reject });
    signal?.addEventListener('abort', cancel, { once: true });
    channel.send(() => text);
    return promise.finally(() => signal?.removeEventListener('abort', cancel));
  }

  close(): void {
    this.#connection?.socket.terminate();
  }

  #connect(): Promise<Connection> {
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #open(): Promise<Connection> {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    let connection: Connection | undefined;
    const fail = (why: string): void => {
      const away = new AgentAway(why);
      reject(away);
      if (connection === undefined) return;
      if (this.#connection === connection) this.#connection = undefined;
      for (const { reject: rejectOne } of connection.pending.values()) rejectOne(away);
      connection.pending.clear();
      connection.socket.terminate();
    };
    const timer = setTimeout(() => fail('the agent does not answer'), CONNECT_MS);
    promise.catch(() => {}).finally(() => clearTimeout(timer));
    Bun.connect<undefined>({
      unix: this.path,
      socket: {
        open: (socket) => {
          connection = { channel: new Channel('console', this.key, socket), socket, pending: new Map() };
          connection.channel.open();
        },
        data: (_, bytes) => {
          if (connection === undefined) return;
          try {
            for (const message of connection.channel.receive(bytes)) take(connection, message);
          } catch (error) {
            return fail(error instanceof Error ? error.message : String(error));
          }
          if (!connection.channel.isProved) return;
          this.#connection = connection;
          resolve(connection);
        },
        drain: () => connection?.channel.drain(),
        close: () => fail('the agent has closed the connection'),
        error: (_, error) => fail(error.message),
        connectError: (_, error) => fail(`the agent cannot be reached: ${error.message}`),
      },
    }).catch((error) => fail(`the agent cannot be reached: ${error.message}`));
    return promise;
  }
}

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: WireRefusal['code'];
  readonly message?: string;
}

/** What comes has the MAC of the agent: its form is not looked at again. */
function take({ pending }: Connection, message: unknown): void {
  const { id, answer, error, message: why } = message as Reply;
  const waiting = pending.get(id);
  pending.delete(id);
  if (error === undefined) waiting?.resolve(answer);
  else waiting?.reject(new WireRefusal(error, why ?? ''));
}
