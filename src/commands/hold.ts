import { OneShotEvent } from '../lib/clock.ts';

/** A command that waits for a person. It is disposed of when the command was started, or its session has ended. */
export class Hold implements Disposable {
  /** Fires when it is disposed of. */
  readonly settled = new OneShotEvent();
  readonly #withdrawal = new AbortController();

  constructor(private readonly release: () => void) {}

  /** Aborts when the command is withdrawn; the reason is a text. */
  get signal(): AbortSignal {
    return this.#withdrawal.signal;
  }

  /** Withdraws the command if nobody has decided yet. Resolves when the wait is over. */
  async withdraw(why: string): Promise<void> {
    this.#withdrawal.abort(why);
    await this.settled.wait();
  }

  [Symbol.dispose](): void {
    this.release();
    this.settled.fire();
  }
}
