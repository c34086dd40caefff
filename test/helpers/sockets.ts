import { connect, type Socket } from 'node:net';
import type { Agent } from './agent.ts';

/** A TCP connection that says exactly what a test wants, also what no HTTP client would. */
export class RawConnection implements Disposable {
  received = '';
  readonly closed: Promise<void>;
  readonly #waiting = new Set<() => void>();

  private constructor(readonly socket: Socket) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on('data', (bytes) => {
      this.received += bytes.toString('latin1');
      this.#wake();
    });
    // A reset is one of the ends a test may wait for.
    socket.on('error', () => {});
    socket.on('close', () => {
      resolve();
      this.#wake();
    });
  }

  static open(agent: Agent): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(agent.port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RawConnection(socket)));
    });
  }

  send(text: string): void {
    this.socket.write(text);
  }

  /** As `send`; resolves when the kernel has the bytes. */
  sent(text: string): Promise<void> {
    return new Promise((resolve) => this.socket.write(text, () => resolve()));
  }

  /** Everything received, once `pattern` is in it or the other side has closed. */
  until(pattern: RegExp): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!pattern.test(this.received) && !this.socket.destroyed) return;
        this.#waiting.delete(look);
        resolve(this.received);
      };
      this.#waiting.add(look);
      look();
    });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }
}

/** The text of a `POST /` with the agent's token. `length` may lie about the body. */
export function postText(agent: Pick<Agent, 'token'>, body: string, length = Buffer.byteLength(body)): string {
  return `POST / HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${agent.token}\r\nContent-Length: ${length}\r\n\r\n${body}`;
}
