import { OneShotEvent, systemClock } from '../lib/clock.ts';

/** The time of commands, which stops while the owner has frozen the server. */
export interface Standing {
  readonly isFrozen: boolean;
  /** Calls `listener` on every change. Returns a function that removes the listener. */
  subscribe(listener: () => void): () => void;
}

/** Fires when a command has run for `seconds`, not counting the time for which it was frozen. */
export class TimeLimit implements Disposable {
  readonly reached = new OneShotEvent();
  readonly #unsubscribe: () => void;
  #leftMs: number;
  #startedMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    seconds: number,
    private readonly freeze: Standing,
  ) {
    this.#leftMs = seconds * 1000;
    this.#unsubscribe = freeze.subscribe(() => this.#turn());
    this.#turn();
  }

  #turn(): void {
    if (this.#timer !== undefined) this.#leftMs -= systemClock.elapsed() - this.#startedMs;
    clearTimeout(this.#timer);
    this.#startedMs = systemClock.elapsed();
    this.#timer = this.freeze.isFrozen ? undefined : setTimeout(() => this.reached.fire(), this.#leftMs);
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
  }
}
