import type { Clock } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { MAX_CALLS, MAX_HELD_BODY_BYTES, MAX_TEXT_BYTES_PER_MINUTE } from '../lib/limits.ts';
import { Shares } from '../lib/shares.ts';

const RETRY_AFTER_SECONDS = 2;

/** A call under way. Disposing of it gives back what it holds. */
export interface CallSlot extends Disposable {
  /** Counts bytes of its body, before they are read. Throws `TooManyRequests`. */
  grow(bytes: number): void;
  /** Counts so many more calls that came with it. Throws `TooManyRequests`. */
  add(calls: number): void;
  /** Holds everything for as long as this is not disposed of, too. */
  keep(): Disposable;
}

/**
 * Limits the calls that wait for their answers at once, and the bytes of their bodies, which a call keeps until its
 * answer is there. Each token has its share of both.
 */
export class CallLimiter {
  readonly #calls = new Shares(MAX_CALLS);
  readonly #bytes = new Shares(MAX_HELD_BODY_BYTES);

  /** A call of `principal`. Throws `TooManyRequests`. */
  acquire(principal: string): CallSlot {
    const releases = [this.#acquireCalls(principal, 1)];
    let holders = 0;
    const keep = (): Disposable => {
      holders++;
      let isKept = true;
      return {
        [Symbol.dispose]: () => {
          if (!isKept) return;
          isKept = false;
          if (--holders === 0) for (const release of releases) release();
        },
      };
    };
    return {
      ...keep(),
      keep,
      grow: (bytes) => {
        if (!this.#bytes.hasRoom(principal, bytes)) throw this.#bodyRefusal(principal);
        releases.push(this.#bytes.acquire(principal, bytes));
      },
      add: (calls) => {
        releases.push(this.#acquireCalls(principal, calls));
      },
    };
  }

  #acquireCalls(principal: string, calls: number): () => void {
    if (this.#calls.hasRoom(principal, calls)) return this.#calls.acquire(principal, calls);
    const own = this.#calls.usedBy(principal);
    throw refusal(`${own} calls of this token are under way, which is its share of the ${MAX_CALLS} at once`);
  }

  #bodyRefusal(principal: string): TooManyRequests {
    const own = Math.ceil(this.#bytes.usedBy(principal) / 1024);
    return refusal(
      `The bodies of this token's calls under way hold ${own} KiB, which is its share of ${MAX_HELD_BODY_BYTES / 1024} KiB`,
    );
  }
}

function refusal(why: string): TooManyRequests {
  return new TooManyRequests(
    RETRY_AFTER_SECONDS,
    `${why}. Repeat the call in ${RETRY_AFTER_SECONDS} seconds, with fewer at once.`,
  );
}

/** Tokens or addresses remembered at once: an attacker with many of them must not fill the memory. The oldest go first. */
const MAX_REMEMBERED = 10_000;

/** Adds an entry as the youngest, in the place of the oldest where there are too many. */
export function remember<T>(entries: Map<string, T>, key: string, entry: T): void {
  entries.delete(key);
  const oldest = entries.size >= MAX_REMEMBERED ? entries.keys().next() : undefined;
  if (oldest?.done === false) entries.delete(oldest.value);
  entries.set(key, entry);
}

interface Bucket {
  left: number;
  filledMs: number;
}

/** A token bucket for each token, or address: so much at once, then as it comes back over a minute. */
export class Buckets {
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
    const bucket = { left: this.perMinute, filledMs: now };
    remember(this.#buckets, principal, bucket);
    return bucket;
  }
}

/** Holds each token to so many requests, and so many bytes of text, a minute. Throws `TooManyRequests`. */
export class RateLimiter {
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
  consume(principal: string, requests = 1): void {
    const seconds = this.#requests.consume(principal, requests);
    if (seconds === 0) return;
    throw new TooManyRequests(
      seconds,
      `More than ${this.perMinute} requests a minute came with this token. Wait ${seconds} seconds, then go on more slowly; read_session with wait needs fewer calls.`,
    );
  }

  /** Counts `bytes` of a request's body, before they are read: commands, input and files are text in it. */
  consumeText(principal: string, bytes: number): void {
    if (!Number.isSafeInteger(bytes)) throw new RangeError(`no number of bytes: ${bytes}`);
    const seconds = this.#text.consume(principal, bytes);
    if (seconds === 0) return;
    throw new TooManyRequests(
      seconds,
      `More than ${MAX_TEXT_BYTES_PER_MINUTE / 1_048_576} MiB of commands, input and files came with this token within a minute, so nothing was done. Wait ${seconds} seconds and send less; let the server fetch large data itself, for example with curl or scp.`,
    );
  }
}
