import type { FleetRequest } from './envelope.ts';

/** How far ahead `not_after` may be. This limits how long each request is remembered. */
const MOST_AHEAD_MS = 10_000;
/** Requests remembered at once. A hub that sends more within their time gets `stale`. */
const MOST_REMEMBERED = 50_000;

/** The verdict on a request that the hub has signed. */
export type Standing = 'new' | 'repeated' | 'stale' | 'foreign';

/**
 * The requests that a process of a server has seen. Each runs at most once, and only within its time on the clock of this
 * process, which begins with it: no clock of a machine counts, and no request outlives the process that it was made for.
 */
export class RequestWindow {
  readonly #seen = new Map<string, number>();

  /** `clock` returns milliseconds, from 0 on, without jumps. */
  constructor(
    private readonly server: string,
    readonly instance: string,
    readonly clock: () => number,
  ) {}

  /** Returns whether a request may run, and remembers it if so. */
  admit({ server, instance, id, not_after }: FleetRequest): Standing {
    if (server !== this.server) return 'foreign';
    const now = this.clock();
    if (instance !== this.instance || now > not_after || not_after > now + MOST_AHEAD_MS) return 'stale';
    if (this.#seen.has(id)) return 'repeated';
    this.#forget(now);
    if (this.#seen.size >= MOST_REMEMBERED) return 'stale';
    this.#seen.set(id, not_after);
    return 'new';
  }

  /** Forgets expired requests. The oldest are first, and each lives at most `MOST_AHEAD_MS`. */
  #forget(now: number): void {
    for (const [id, notAfter] of this.#seen) {
      if (notAfter >= now) return;
      this.#seen.delete(id);
    }
  }
}
