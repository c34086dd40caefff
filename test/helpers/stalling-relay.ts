import { connect, createServer, type Server, type Socket } from 'node:net';

/** A network to a port of this machine that can stand still: what is sent meanwhile comes through later, in order. */
export class StallingRelay implements Disposable {
  readonly #sockets = new Set<Socket>();
  readonly #held: (() => void)[] = [];
  readonly #server: Server;
  #isStalled = false;

  private constructor(target: number) {
    this.#server = createServer((client) => {
      const behind = connect(target, '127.0.0.1');
      for (const [from, to] of [
        [client, behind],
        [behind, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (bytes) => this.#pass(() => void to.write(bytes)));
        from.on('close', () => this.#pass(() => void to.destroy()));
        from.on('error', () => {});
      }
    });
  }

  static async open(target: number): Promise<StallingRelay> {
    const relay = new StallingRelay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  stall(): void {
    this.#isStalled = true;
  }

  /** Lets through what was held. */
  release(): void {
    this.#isStalled = false;
    for (const pass of this.#held.splice(0)) pass();
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(act: () => void): void {
    if (this.#isStalled) this.#held.push(act);
    else act();
  }
}
