import type { SignalOnce } from './signal-once.ts';

/** Time as the agent sees it; tests bring their own. */
export interface Clock {
  /** Milliseconds since the epoch: for records, never for measuring. */
  now(): number;
  /** Milliseconds from an arbitrary start, which no clock change bends: for durations and deadlines. */
  elapsed(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
};

/** A moment after which there is no more waiting. */
export class Deadline {
  private constructor(
    private readonly clock: Clock,
    private readonly atMs: number,
  ) {}

  /** The moment `seconds` from now. */
  static after(seconds: number, clock: Clock = systemClock): Deadline {
    return new Deadline(clock, clock.elapsed() + seconds * 1000);
  }

  /** The earlier of this deadline and the moment `seconds` from now. */
  orAfter(seconds: number): Deadline {
    return new Deadline(this.clock, Math.min(this.atMs, this.clock.elapsed() + seconds * 1000));
  }

  /** The moment `seconds` before this one. */
  before(seconds: number): Deadline {
    return new Deadline(this.clock, this.atMs - seconds * 1000);
  }

  /** Milliseconds left, never below 0. */
  get leftMs(): number {
    return Math.max(0, this.atMs - this.clock.elapsed());
  }

  get passed(): boolean {
    return this.leftMs === 0;
  }

  /** Resolves with true as soon as one of `events` happens, with false when the deadline passes first. */
  waitFor(...events: readonly SignalOnce[]): Promise<boolean> {
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

/** Resolves after everything that is ready to run now has run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
