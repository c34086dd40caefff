import { TooManyRequests } from '../core/errors.ts';
import { MAX_CALLS, MAX_HELD_BODY_BYTES } from '../core/limits.ts';
import { Shares } from '../core/shares.ts';

const RETRY_AFTER_SECONDS = 2;

/** A call under way. Disposing of it gives back what it holds. */
export interface CallSlot extends Disposable {
  /** Of its body, as far as it was counted. */
  readonly bytes: number;
  /** Counts bytes of its body, before they are read. Throws `TooManyRequests`. */
  grow(bytes: number): void;
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
    if (!this.#calls.hasRoom(principal)) {
      const own = this.#calls.usedBy(principal);
      throw refusal(`${own} calls of this token are under way, which is its share of the ${MAX_CALLS} at once`);
    }
    const releases = [this.#calls.acquire(principal)];
    let held = 0;
    return {
      get bytes() {
        return held;
      },
      grow: (bytes) => {
        if (!this.#bytes.hasRoom(principal, bytes)) throw this.#bodyRefusal(principal);
        releases.push(this.#bytes.acquire(principal, bytes));
        held += bytes;
      },
      [Symbol.dispose]: () => {
        for (const release of releases) release();
      },
    };
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
