import type { Clock } from '../core/clock.ts';
import { TooManyRequests } from '../core/errors.ts';

/** Tokens remembered at once; those that a full bucket says nothing of go first. */
const MAX_REMEMBERED = 10_000;

interface Bucket {
  left: number;
  filledMs: number;
}

/**
 * Holds each token to so many requests a minute, by a token bucket: as many at once, then as they come back. Throws
 * `TooManyRequests`.
 */
export class Pace {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly perMinute: number,
    private readonly clock: Clock,
  ) {}

  /** Counts a request of `principal`. */
  demand(principal: string): void {
    const now = this.clock.elapsed();
    const bucket = this.#buckets.get(principal) ?? this.#add(principal, now);
    bucket.left = Math.min(this.perMinute, bucket.left + ((now - bucket.filledMs) / 60_000) * this.perMinute);
    bucket.filledMs = now;
    if (bucket.left < 1) {
      const seconds = Math.ceil(((1 - bucket.left) / this.perMinute) * 60);
      throw new TooManyRequests(
        seconds,
        `More than ${this.perMinute} requests a minute came with this token. Wait ${seconds} seconds, then go on more slowly; read_session with wait needs fewer calls.`,
      );
    }
    bucket.left--;
  }

  #add(principal: string, now: number): Bucket {
    const oldest = this.#buckets.size >= MAX_REMEMBERED ? this.#buckets.keys().next() : undefined;
    if (oldest?.done === false) this.#buckets.delete(oldest.value);
    const bucket = { left: this.perMinute, filledMs: now };
    this.#buckets.set(principal, bucket);
    return bucket;
  }
}
