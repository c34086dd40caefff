import { OneShotEvent } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';

/** A full gate is likely to have room again soon: most commands take well under a second. */
const RETRY_AFTER_SECONDS = 2;

/** Those who wait hold a request each: of one owner, at most so many for every place. */
const WAITING_PER_PLACE = 4;

/** Waits for an event; gives whether it came in time. */
export type Patience = (place: OneShotEvent) => Promise<boolean>;

interface Waiter {
  readonly owner: string;
  readonly most: number;
  readonly called: OneShotEvent;
  /** Frees the slot that it has been given. */
  leave: () => void;
}

/**
 * Lets at most `limit` of something (commands, searches) run at once, of each owner its share (`Shares`) and at most as
 * many as it may. Who finds it full waits for a moment; owners take turns, so that one who sends much keeps no other from
 * its slot.
 */
export class Gate {
  readonly #slots: Shares;
  /** In the order in which owners are served; each one's own in the order in which they came. */
  readonly #waiting = new Map<string, Waiter[]>();
  #waitingCount = 0;

  /** `what` runs, in the plural, and how a client ends one: the refusals say so. */
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
   * Takes a place for `owner`, of which at most `most` may run; gives the function that frees it, once. Waits as long
   * as `patience` does where there is none. Throws `TooManyRequests`.
   */
  async enter(owner: string, most: number, patience: Patience): Promise<() => void> {
    const before = this.#waiting.get(owner) ?? [];
    if (before.length === 0 && this.#hasPlace(owner, most)) return this.#take(owner);
    if (before.length >= this.limit * WAITING_PER_PLACE) throw this.#refusal(owner, most);
    const waiter: Waiter = { owner, most, called: new OneShotEvent(), leave: () => {} };
    this.#waiting.set(owner, [...before, waiter]);
    this.#waitingCount++;
    // Called, it has its place already.
    if ((await patience(waiter.called)) || waiter.called.fired) return waiter.leave;
    this.#forget(waiter);
    throw this.#refusal(owner, most);
  }

  /** Takes a place also when all are taken: for commands that run already, and those that a person has approved. */
  enterAnyway(owner: string): () => void {
    return this.#take(owner);
  }

  #hasPlace(owner: string, most: number): boolean {
    return this.#slots.hasRoom(owner) && this.#slots.usedBy(owner) < most;
  }

  #take(owner: string): () => void {
    const release = this.#slots.acquire(owner);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      release();
      this.#callNext();
    };
  }

  /** The owner that is served goes to the end of the line. A slot that is free may make room in several shares. */
  #callNext(): void {
    for (const [owner, [first, ...rest]] of this.#waiting) {
      if (first === undefined || !this.#hasPlace(owner, first.most)) continue;
      this.#waiting.delete(owner);
      if (rest.length > 0) this.#waiting.set(owner, rest);
      this.#waitingCount--;
      first.leave = this.#take(owner);
      first.called.fire();
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
