import { TooManyRequests } from '../lib/errors.ts';
import { MAX_CALLS, MAX_HELD_BODY_BYTES } from '../lib/limits.ts';
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
