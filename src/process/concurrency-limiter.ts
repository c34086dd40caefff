import { OneShotEvent } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';

/** A slot is likely to be free again by then: most commands take well under a second. */
const RETRY_AFTER_SECONDS = 2;

/** Each waiting call holds a request, so one owner may have at most so many for every slot. */
const WAITING_PER_SLOT = 4;

/** Waits until a slot is assigned or the caller gives up; resolves with true if it was assigned in time. */
export type WaitForSlot = (assigned: OneShotEvent) => Promise<boolean>;

interface Waiter {
  readonly owner: string;
  readonly most: number;
  readonly assigned: OneShotEvent;
  /** Releases the slot that was assigned. */
  release: () => void;
}

/**
 * Runs at most `limit` of something (commands, searches) at once. Each owner gets at most its share (`Shares`) and its own
 * limit. When all slots are in use, calls wait briefly, and owners take turns: an owner with many calls delays no other.
 */
export class ConcurrencyLimiter {
  readonly #slots: Shares;
  /** Owners in the order in which they are served, each with its waiting calls in the order of arrival. */
  readonly #waiting = new Map<string, Waiter[]>();
  #waitingCount = 0;

  /** `what` runs, in the plural, and `advice` on how to free a slot: both are part of the refusals. */
  constructor(
    readonly limit: number,
    private readonly what = 'commands',
    private readonly advice = ', or stop a command that is no longer needed with kill_session',
  ) {
    this.#slots = new Shares(limit);
  }

  get running(): number {
    return this.#slots.used;
  }

  get waiting(): number {
    return this.#waitingCount;
  }

  /**
   * Acquires a slot for `owner`, which may hold at most `most`. Returns the function that releases it; further calls of
   * that do nothing. Waits as long as `wait` does when no slot is free. Throws `TooManyRequests`.
   */
  async acquire(owner: string, most: number, wait: WaitForSlot): Promise<() => void> {
    const before = this.#waiting.get(owner) ?? [];
    if (before.length === 0 && this.#hasSlot(owner, most)) return this.#take(owner);
    if (before.length >= this.limit * WAITING_PER_SLOT) throw this.#refusal(owner, most);
    const waiter: Waiter = { owner, most, assigned: new OneShotEvent(), release: () => {} };
    this.#waiting.set(owner, [...before, waiter]);
    this.#waitingCount++;
    // A slot may have been assigned at the last moment.
    if ((await wait(waiter.assigned)) || waiter.assigned.fired) return waiter.release;
    this.#forget(waiter);
    throw this.#refusal(owner, most);
  }

  /** Acquires a slot even if none is free: for commands that already run, and for those that a person has approved. */
  forceAcquire(owner: string): () => void {
    return this.#take(owner);
  }

  #hasSlot(owner: string, most: number): boolean {
    return this.#slots.hasRoom(owner) && this.#slots.usedBy(owner) < most;
  }

  #take(owner: string): () => void {
    const release = this.#slots.acquire(owner);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      release();
      this.#assignNext();
    };
  }

  /** A served owner moves to the end of the queue. One free slot may make room in several shares. */
  #assignNext(): void {
    for (const [owner, [first, ...rest]] of this.#waiting) {
      if (first === undefined || !this.#hasSlot(owner, first.most)) continue;
      this.#waiting.delete(owner);
      if (rest.length > 0) this.#waiting.set(owner, rest);
      this.#waitingCount--;
      first.release = this.#take(owner);
      first.assigned.fire();
    }
  }

  #forget(waiter: Waiter): void {
    const rest = (this.#waiting.get(waiter.owner) ?? []).filter((one) => one !== waiter);
    if (rest.length > 0) this.#waiting.set(waiter.owner, rest);
    else this.#waiting.delete(waiter.owner);
    this.#waitingCount--;
  }

  #refusal(owner: string, most: number): TooManyRequests {
    const own = this.#slots.usedBy(owner);
    const share = own >= most ? 'which is its limit' : `which is its share of the ${this.limit} that run at once`;
    const why =
      own > 0
        ? `${own} ${this.what} of this token are running already, ${share}`
        : `${this.limit} ${this.what} of other tokens are running already`;
    return new TooManyRequests(
      RETRY_AFTER_SECONDS,
      `${why}. Repeat the call in ${RETRY_AFTER_SECONDS} seconds${this.advice}.`,
    );
  }
}
