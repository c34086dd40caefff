import { connect, createServer, type Server, type Socket } from 'node:net';

/** A network to a port of this machine that can stand still or be slow, where all comes through in order, and that can break. */
export class StallingRelay implements Disposable {
  readonly #sockets = new Set<Socket>();
  readonly #held: { readonly dueMs: number; readonly act: () => void }[] = [];
  readonly #server: Server;
  #isStalled = false;
  #slowMs = 0;
  #dueMs = 0;

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
    for (const { act } of this.#held.splice(0)) act();
  }

  /** From now on everything takes up to so many milliseconds more, by chance. */
  slow(ms: number): void {
    this.#slowMs = ms;
  }

  /** Loses what is held, and breaks every connection. */
  cut(): void {
    this.#isStalled = false;
    this.#held.length = 0;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  [Symbol.dispose](): void {
    this.#server.close();
    this.cut();
  }

  #pass(act: () => void): void {
    const now = performance.now();
    this.#dueMs = Math.max(this.#dueMs, now + Math.random() * this.#slowMs);
    if (!this.#isStalled && this.#held.length === 0 && this.#dueMs <= now) {
      act();
      return;
    }
    this.#held.push({ dueMs: this.#dueMs, act });
    if (this.#held.length === 1) this.#later();
  }

  /** Passes what is due, in order, and comes back for the rest. */
  #later(): void {
    const [first] = this.#held;
    if (first === undefined || this.#isStalled) return;
    const leftMs = first.dueMs - performance.now();
    if (leftMs > 0) {
      setTimeout(() => this.#later(), leftMs);
      return;
    }
    this.#held.shift();
    first.act();
    this.#later();
  }
}
