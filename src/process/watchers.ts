import { SignalOnce } from '../lib/clock.ts';

/** Fires when a command has run for `seconds`. */
export class TimeLimit implements Disposable {
  readonly reached = new SignalOnce();
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(seconds: number) {
    this.#timer = setTimeout(() => this.reached.fire(), seconds * 1000);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/**
 * The fastest a command is taken to fill its file, in bytes per millisecond: 4 GB/s, four times what `head -c 1G
 * /dev/zero` reached on the machine of the bench. The next look comes before that speed could pass the limit.
 */
const FASTEST_BYTES_PER_MS = 4_000_000;
const CLOSEST_LOOKS_MS = 10;
const WIDEST_LOOKS_MS = 500;

/** Fires when a command has no room left on the disk: `roomBytes` gives less than 0. At its start it has `limitBytes`. */
export class OutputLimit implements Disposable {
  readonly exceeded = new SignalOnce();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly roomBytes: () => number,
    limitBytes: number,
  ) {
    this.#lookLater(limitBytes);
  }

  #lookLater(roomBytes: number): void {
    const ms = Math.min(Math.max(roomBytes / FASTEST_BYTES_PER_MS, CLOSEST_LOOKS_MS), WIDEST_LOOKS_MS);
    this.#timer = setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    const room = this.roomBytes();
    if (room < 0) this.exceeded.fire();
    else this.#lookLater(room);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Resolves with the name of the first of `events` that happens. */
export function firstOf<Name extends string>(events: Readonly<Record<Name, SignalOnce>>): Promise<Name> {
  return new Promise((resolve) => {
    const unsubscribes: (() => void)[] = [];
    const settle = (name: Name): void => {
      for (const unsubscribe of unsubscribes) unsubscribe();
      resolve(name);
    };
    for (const name in events) unsubscribes.push(events[name].subscribe(() => settle(name)));
  });
}
