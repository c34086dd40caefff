/** How often a client that asks for it hears of a command that runs. */
const INTERVAL_MS = 1000;

/** One report, in the words of the protocol. */
export interface Progress {
  readonly progress: number;
  readonly message: string;
}

/** Reports once a second how long a command has run and what it has written, until it is disposed of. */
export class ProgressReport implements Disposable {
  #timer: Timer | undefined;

  /** Without `send`, nobody wants to hear of it. */
  constructor(private readonly send: ((progress: Progress) => Promise<void>) | undefined) {}

  /** Begins to report. */
  watch(outputBytes: () => number): void {
    const { send } = this;
    if (send === undefined || this.#timer !== undefined) return;
    let seconds = 0;
    const report = async () => {
      seconds++;
      await send({ progress: seconds, message: `running for ${seconds} s, ${outputBytes()} bytes of output so far` });
    };
    // A client that is gone, or output that was removed, ends the reports; the command goes on all the same.
    this.#timer = setInterval(() => void report().catch(() => this[Symbol.dispose]()), INTERVAL_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
