import type { ServerNotification } from '@modelcontextprotocol/sdk/types.js';

/** How often a client that asks for it hears of a command that runs. */
const INTERVAL_MS = 1000;

/** What a call brings with it: whether its client wants to hear of progress, and the way to tell it. */
export interface ProgressTarget {
  readonly _meta?: { readonly progressToken?: string | number | undefined } | undefined;
  sendNotification(notification: ServerNotification): Promise<void>;
}

/** Tells the client of a call once a second how long its command has run and what it has written, until it is disposed of. */
export class ProgressReport implements Disposable {
  #timer: Timer | undefined;

  constructor(private readonly target: ProgressTarget) {}

  /** Begins to tell; nothing where the client did not ask for it. */
  watch(outputBytes: () => number): void {
    const progressToken = this.target._meta?.progressToken;
    if (progressToken === undefined || this.#timer !== undefined) return;
    let seconds = 0;
    const tell = async () => {
      seconds++;
      const message = `running for ${seconds} s, ${outputBytes()} bytes of output so far`;
      const params = { progressToken, progress: seconds, message };
      await this.target.sendNotification({ method: 'notifications/progress', params });
    };
    // A client that is gone, or output that was removed, ends the telling; the command goes on all the same.
    this.#timer = setInterval(() => void tell().catch(() => this[Symbol.dispose]()), INTERVAL_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
