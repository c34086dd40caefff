import type { Clock } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { MAX_CALLS, MAX_HELD_BODY_BYTES, MAX_TEXT_BYTES_PER_MINUTE } from '../lib/limits.ts';
import { Shares } from '../lib/shares.ts';

const RETRY_AFTER_SECONDS = 2;

/** A running call. Disposing of it releases its slot. */
export interface CallSlot extends Disposable {
  /** Counts bytes of its body before they are read. Throws `TooManyRequests`. */
  grow(bytes: number): void;
  /** Counts further calls that came with it. Throws `TooManyRequests`. */
  add(calls: number): void;
  /** Keeps the slot until the result is disposed of, too. */
  keep(): Disposable;
}

/**
 * Limits the calls at once and the bytes of their bodies, which a call holds until its answer is ready. Each token has
 * its share of both.
 */
export class CallLimiter {
  readonly #calls = new Shares(MAX_CALLS);
  readonly #bytes = new Shares(MAX_HELD_BODY_BYTES);

  /** Begins a call of `principal`. Throws `TooManyRequests`. */
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
    throw refusal(`This token has ${own} calls running, its share of at most ${MAX_CALLS}`);
  }

  #bodyRefusal(principal: string): TooManyRequests {
    const own = Math.ceil(this.#bytes.usedBy(principal) / 1024);
    return refusal(
      `The bodies of this token's running calls have ${own} KiB, its share of at most ${MAX_HELD_BODY_BYTES / 1024} KiB`,
    );
  }
}

function refusal(why: string): TooManyRequests {
  return new TooManyRequests(
    RETRY_AFTER_SECONDS,
    `${why}. Repeat the call in ${RETRY_AFTER_SECONDS} seconds, with fewer at once.`,
  );
}

/** Most tokens or addresses to remember, so that an attacker cannot fill the memory. The oldest are forgotten first. */
const MAX_REMEMBERED = 10_000;

/** Adds an entry as the newest, and removes the oldest when there are too many. */
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

/** A token bucket for each token or address, refilled within a minute. */
export class Buckets {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly perMinute: number,
    private readonly clock: Clock,
  ) {}

  /** Consumes `amount` and returns 0. When there is not enough, consumes nothing and returns the seconds to wait. */
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

/** Limits the requests, and the bytes of text, of each token per minute. Throws `TooManyRequests`. */
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

  /** Counts requests of `principal`, or none of them when they are too many. */
  consume(principal: string, requests = 1): void {
    const seconds = this.#requests.consume(principal, requests);
    if (seconds === 0) return;
    throw new TooManyRequests(
      seconds,
      `This token sent more than ${this.perMinute} requests in a minute. Wait ${seconds} seconds, then send fewer; read_session with wait needs fewer calls.`,
    );
  }

  /** Counts the bytes of a request's body before they are read: its commands, input and files. */
  consumeText(principal: string, bytes: number): void {
    if (!Number.isSafeInteger(bytes)) throw new RangeError(`no number of bytes: ${bytes}`);
    const seconds = this.#text.consume(principal, bytes);
    if (seconds === 0) return;
    throw new TooManyRequests(
      seconds,
      `This token sent more than ${MAX_TEXT_BYTES_PER_MINUTE / 1_048_576} MiB in a minute, so nothing was done. Wait ${seconds} seconds, then send less. For large data, let the server fetch it, for example with curl or scp.`,
    );
  }
}
