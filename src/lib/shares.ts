import { gcAndSweep } from 'bun:jsc';

/** An owner may hold so many times what is then still free: three of four slots if it is alone. */
const TIMES_FREE = 3;

/**
 * Divides `limit` slots (commands, streams, bytes …) among owners by one rule: an owner holds at most three times what
 * is then still free (plus what cannot be divided by four), and always gets its first slot if one is free. So one that
 * is alone gets three quarters, several get equal parts, and some stay free for the next owner (dynamic thresholds:
 * Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
 */
export class Shares {
  #used = 0;
  readonly #of = new Map<string, number>();

  constructor(readonly limit: number) {}

  get used(): number {
    return this.#used;
  }

  usedBy(owner: string): number {
    return this.#of.get(owner) ?? 0;
  }

  /** Whether `owner` may hold `amount` more. */
  hasRoom(owner: string, amount = 1): boolean {
    const free = this.limit - this.#used - amount;
    if (free < 0) return false;
    const used = this.usedBy(owner);
    return used === 0 || used + amount <= TIMES_FREE * free + (this.limit % (TIMES_FREE + 1));
  }

  /** Acquires `amount` for `owner`, even without room. Returns the function that releases it, once. */
  acquire(owner: string, amount = 1): () => void {
    this.#add(owner, amount);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#add(owner, -amount);
    };
  }

  /** An invalid number would stay in the sum forever. */
  #add(owner: string, amount: number): void {
    if (!Number.isSafeInteger(amount)) throw new RangeError(`no amount of slots: ${amount}`);
    this.#used += amount;
    const used = this.usedBy(owner) + amount;
    if (used === 0) this.#of.delete(owner);
    else this.#of.set(owner, used);
  }
}

/** Work in pieces leaves garbage faster than the collector takes it: it is collected above this amount … */
const GARBAGE_BYTES = 6 * 1_048_576;
/** … but blocks the agent meanwhile (10 ms), so it takes no more than this part of the time … */
const GARBAGE_PART = 1 / 8;
/** … unless there is so much: on a busy machine a collection takes ten times as long, and so does the work. */
const MOST_GARBAGE_BYTES = 10 * 1_048_576;

/**
 * Divides the agent's one thread among tokens. Work that takes more than a millisecond (masks, pages, long bodies, the
 * start of a process) is cut into pieces of a few milliseconds, and each piece waits for a turn: one piece in each turn
 * of the event loop, tokens one after the other. So every other call waits for one piece at most, however much one
 * token asks for at once.
 */
export class Turns {
  /** The waiting pieces by token: the token that is served next comes first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #served = '';
  #isScheduled = false;
  #garbageBytes = 0;
  #nextCollectionMs = 0;

  /**
   * Resolves when it is the turn of `owner`, at once if this turn of the event loop had no piece yet. What the caller
   * does next, up to another await, is one piece, which leaves about `garbageBytes`.
   */
  take(owner: string, garbageBytes = 0): Promise<void> {
    const isFree = !this.#isScheduled;
    if (isFree) this.#schedule();
    return new Promise((resolve) => {
      const call = (): void => {
        this.#served = owner;
        this.#garbageBytes += garbageBytes;
        resolve();
      };
      if (isFree) return call();
      const queue = this.#waiting.get(owner);
      if (queue === undefined) this.#waiting.set(owner, [call]);
      else queue.push(call);
    });
  }

  #schedule(): void {
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const hasCollected = this.#collectWhenDue();
      if (this.#waiting.size === 0) return;
      this.#schedule();
      if (!hasCollected) this.#callNext();
    });
  }

  #callNext(): void {
    const served = this.#waiting.get(this.#served);
    if (served !== undefined) this.#toTheEnd(this.#served, served);
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [owner, queue] = next;
    const call = queue.shift();
    this.#toTheEnd(owner, queue);
    call?.();
  }

  #toTheEnd(owner: string, queue: (() => void)[]): void {
    this.#waiting.delete(owner);
    if (queue.length > 0) this.#waiting.set(owner, queue);
  }

  #collectWhenDue(): boolean {
    const start = performance.now();
    const most = start < this.#nextCollectionMs ? MOST_GARBAGE_BYTES : GARBAGE_BYTES;
    if (this.#garbageBytes < most) return false;
    // Not Bun.gc(true), which takes half as long again: it discards compiled code.
    gcAndSweep();
    const end = performance.now();
    this.#garbageBytes = 0;
    this.#nextCollectionMs = end + (end - start) / GARBAGE_PART;
    return true;
  }
}
