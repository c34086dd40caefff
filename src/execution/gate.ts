import { TooManyRequests } from '../core/errors.ts';
import { SignalOnce } from '../core/signal-once.ts';

/** A full gate is likely to have room again soon: most commands take well under a second. */
const RETRY_AFTER_SECONDS = 2;

/** Those who wait hold a request each: of one owner, at most so many for every place. */
const WAITING_PER_PLACE = 4;

/** Waits for an event; gives whether it came in time. */
export type Patience = (place: SignalOnce) => Promise<boolean>;

interface Waiter {
  readonly owner: string;
  readonly most: number;
  readonly called: SignalOnce;
}

/**
 * Lets at most `limit` commands run at once, and of each owner at most as many as it may. Who finds it full waits for a
 * moment; owners take turns, so that one who sends much keeps no other from its place.
 */
export class Gate {
  #running = 0;
  readonly #of = new Map<string, number>();
  /** In the order in which owners are served; each one's own in the order in which they came. */
  readonly #waiting = new Map<string, Waiter[]>();
  #waitingCount = 0;

  constructor(readonly limit: number) {}

  get running(): number {
    return this.#running;
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
    const waiter: Waiter = { owner, most, called: new SignalOnce() };
    this.#waiting.set(owner, [...before, waiter]);
    this.#waitingCount++;
    // Called, it has its place already.
    if ((await patience(waiter.called)) || waiter.called.fired) return this.#leaver(owner);
    this.#forget(waiter);
    throw this.#refusal(owner, most);
  }

  /** Takes a place also when all are taken: for commands that run already, and those that a person has approved. */
  enterAnyway(owner: string): () => void {
    return this.#take(owner);
  }

  #hasPlace(owner: string, most: number): boolean {
    return this.#running < this.limit && (this.#of.get(owner) ?? 0) < most;
  }

  #take(owner: string): () => void {
    this.#running++;
    this.#of.set(owner, (this.#of.get(owner) ?? 0) + 1);
    return this.#leaver(owner);
  }

  #leaver(owner: string): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#running--;
      const count = (this.#of.get(owner) ?? 1) - 1;
      if (count === 0) this.#of.delete(owner);
      else this.#of.set(owner, count);
      this.#callNext();
    };
  }

  /** The owner that is served goes to the end of the line. */
  #callNext(): void {
    for (const [owner, [first, ...rest]] of this.#waiting) {
      if (first === undefined || !this.#hasPlace(owner, first.most)) continue;
      this.#waiting.delete(owner);
      if (rest.length > 0) this.#waiting.set(owner, rest);
      this.#waitingCount--;
      this.#running++;
      this.#of.set(owner, (this.#of.get(owner) ?? 0) + 1);
      first.called.fire();
      return;
    }
  }

  #forget(waiter: Waiter): void {
    const rest = (this.#waiting.get(waiter.owner) ?? []).filter((one) => one !== waiter);
    if (rest.length > 0) this.#waiting.set(waiter.owner, rest);
    else this.#waiting.delete(waiter.owner);
    this.#waitingCount--;
  }

  #refusal(owner: string, most: number): TooManyRequests {
    const isOwn = (this.#of.get(owner) ?? 0) >= most;
    const what = isOwn ? `${most} commands of this token are` : `${this.limit} commands are`;
    return new TooManyRequests(
      RETRY_AFTER_SECONDS,
      `${what} running already. Repeat the call in ${RETRY_AFTER_SECONDS} seconds, or stop a session you no longer need with close_session.`,
    );
  }
}
