import type { Clock } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { MAX_TEXT_BYTES_PER_MINUTE } from '../lib/limits.ts';

/** Tokens remembered at once; those that a full bucket says nothing of go first. */
const MAX_REMEMBERED = 10_000;

interface Bucket {
  left: number;
  filledMs: number;
}

/** A token bucket for each token: so much at once, then as it comes back over a minute. */
class Buckets {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly perMinute: number,
    private readonly clock: Clock,
  ) {}

  /** Consumes `amount`; gives 0, or after how many seconds there is enough, and then nothing was consumed. */
  consume(principal: string, amount: number): number {
    const now = this.clock.elapsed();
    const bucket = this.#buckets.get(principal) ?? this.#add(principal, now);
    bucket.left = Math.min(this.perMinute, bucket.left + ((now - bucket.filledMs) / 60_000) * this.perMinute);
    bucket.filledMs = now;
    if (bucket.left < amount) return Math.ceil(((amount - bucket.left) / this.perMinute) * 60);
    bucket.left -= amount;
    return 0;
  }

  #add(principal: string, now: number): Bucket {
    const oldest = this.#buckets.size >= MAX_REMEMBERED ? this.#buckets.keys().next() : undefined;
    if (oldest?.done === false) this.#buckets.delete(oldest.value);
    const bucket = { left: this.perMinute, filledMs: now };
    this.#buckets.set(principal, bucket);
    return bucket;
  }
}

/** Holds each token to so many requests, and so many bytes of text, a minute. Throws `TooManyRequests`. */
export class Pace {
  readonly #requests: Buckets;
  readonly #text: Buckets;

  constructor(
    private readonly perMinute: number,
    clock: Clock,
  ) {
    this.#requests = new Buckets(perMinute, clock);
    this.#text = new Buckets(MAX_TEXT_BYTES_PER_MINUTE, clock);
  }

  /** Counts so many requests of `principal`, or, where they are too many, none. */
  demand(principal: string, requests = 1): void {
    const seconds = this.#requests.consume(principal, requests);
    if (seconds === 0) return;
    throw new TooManyRequests(
      seconds,
      `More than ${this.perMinute} requests a minute came with this token. Wait ${seconds} seconds, then go on more slowly; read_session with wait needs fewer calls.`,
    );
  }

  /** Counts `bytes` of a request's body, before they are read: commands, input and files are text in it. */
  demandText(principal: string, bytes: number): void {
    if (!Number.isSafeInteger(bytes)) throw new RangeError(`no number of bytes: ${bytes}`);
    const seconds = this.#text.consume(principal, bytes);
    if (seconds === 0) return;
    throw new TooManyRequests(
      seconds,
      `More than ${MAX_TEXT_BYTES_PER_MINUTE / 1_048_576} MiB of commands, input and files came with this token within a minute, so nothing was done. Wait ${seconds} seconds and send less; let the server fetch large data itself, for example with curl or scp.`,
    );
  }
}
