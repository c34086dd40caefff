/** The time of the agent; tests bring their own. */
export interface Clock {
  /** Milliseconds since the epoch: for records, never for measuring. */
  now(): number;
  /** Milliseconds from an arbitrary start, independent of clock changes: for durations and deadlines. */
  elapsed(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
};

/** A moment at which waiting ends. */
export class Deadline {
  private constructor(private readonly atMs: number) {}

  /** The moment `seconds` from now. */
  static after(seconds: number): Deadline {
    return new Deadline(systemClock.elapsed() + seconds * 1000);
  }

  /** The earlier of this deadline and the moment `seconds` from now. */
  orAfter(seconds: number): Deadline {
    return new Deadline(Math.min(this.atMs, systemClock.elapsed() + seconds * 1000));
  }

  /** The moment `seconds` before this one. */
  before(seconds: number): Deadline {
    return new Deadline(this.atMs - seconds * 1000);
  }

  /** Milliseconds left, never below 0. */
  get leftMs(): number {
    return Math.max(0, this.atMs - systemClock.elapsed());
  }

  get passed(): boolean {
    return this.leftMs === 0;
  }

  /** Resolves with true as soon as one of `events` happens, with false when the deadline passes first. */
  waitFor(...events: readonly OneShotEvent[]): Promise<boolean> {
    return new Promise((resolve) => {
      const unsubscribes: (() => void)[] = [];
      const settle = (happened: boolean): void => {
        clearTimeout(timer);
        for (const unsubscribe of unsubscribes) unsubscribe();
        resolve(happened);
      };
      const timer = setTimeout(settle, this.leftMs, false);
      for (const event of events) unsubscribes.push(event.subscribe(() => settle(true)));
    });
  }
}

/** Resolves after `ms` milliseconds. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Calls `look` every `pauseMs` until its result is not undefined, and returns it; undefined after `seconds`. */
export async function waitFor<T>(
  look: () => Promise<T | undefined> | T | undefined,
  seconds: number,
  pauseMs: number,
): Promise<T | undefined> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined || performance.now() > end) return found;
    await delay(pauseMs);
  }
}

/** Resolves after everything that is ready to run now has run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * An event that happens at most once and is awaited from many places: the end of a command, the agent's shutdown.
 * Listeners are removed again, so that a long-lived event keeps none of a million waits (a promise in `Promise.race`
 * would).
 */
export class OneShotEvent {
  readonly #listeners = new Set<() => void>();
  #fired = false;

  get fired(): boolean {
    return this.#fired;
  }

  /** Calls every listener once. Firing again does nothing. */
  fire(): void {
    if (this.#fired) return;
    this.#fired = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls `listener` when the event happens, at once if it has. Returns a function that removes the listener. */
  subscribe(listener: () => void): () => void {
    if (this.#fired) {
      listener();
      return () => {};
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the event happens; never rejects. For events that end soon: the wait cannot be cancelled. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.subscribe(resolve));
  }
}
