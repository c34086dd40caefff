/** An owner may hold so many times what is then still free: three of four slots where it is alone. */
const TIMES_FREE = 3;

/**
 * Divides `limit` slots (commands, streams, bytes …) among owners by one rule: an owner holds at most three times what is
 * then still free (and what cannot be divided by four), and always gets its first slot while there is one. So one that is
 * alone gets everything but a quarter, several get an equal part each, and something stays free for one that comes next
 * (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
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

  /** Gives `owner` so much, also where it has no room; the function that this returns gives it back, once. */
  acquire(owner: string, amount = 1): () => void {
    this.#add(owner, amount);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#add(owner, -amount);
    };
  }

  /** The owner that holds most; undefined where nobody holds anything. */
  largestOwner(): string | undefined {
    let largest: string | undefined;
    for (const [owner, used] of this.#of) if (largest === undefined || used > this.usedBy(largest)) largest = owner;
    return largest;
  }

  /** A number that is none would stay in the sum for good. */
  #add(owner: string, amount: number): void {
    if (!Number.isSafeInteger(amount)) throw new RangeError(`no amount of slots: ${amount}`);
    this.#used += amount;
    const used = this.usedBy(owner) + amount;
    if (used === 0) this.#of.delete(owner);
    else this.#of.set(owner, used);
  }
}
