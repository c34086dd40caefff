/** The pieces of work leave garbage faster than the collector takes it: so many leave some 10 MB. */
const PIECES_OF_GARBAGE = 24;
/** A collection holds everybody up: it takes no more than this part of the time. */
const GARBAGE_PART = 1 / 20;

/**
 * Divides the agent's one thread among tokens. Work whose length a client chooses (masks, pages, long bodies) is cut into
 * pieces of a few milliseconds, and each piece takes a turn before it: one piece in each turn of the event loop, tokens
 * one after the other. So everybody else waits for one piece at most, however much one token asks for at once.
 */
export class Turns {
  /** Who waits, by token: the token that is served next stands first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #isScheduled = false;
  #pieces = 0;
  #nextCollectionMs = 0;

  /** Resolves when it is the turn of `owner`. What the caller does next, without another await, is one piece. */
  take(owner: string): Promise<void> {
    return new Promise((resolve) => {
      const queue = this.#waiting.get(owner);
      if (queue === undefined) this.#waiting.set(owner, [resolve]);
      else queue.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#callNext();
      this.#schedule();
    });
  }

  #callNext(): void {
    const next = this.#waiting.entries().next();
    if (next.done === true) return;
    const [owner, queue] = next.value;
    this.#waiting.delete(owner);
    const call = queue.shift();
    // To the end of the line.
    if (queue.length > 0) this.#waiting.set(owner, queue);
    call?.();
    if (++this.#pieces >= PIECES_OF_GARBAGE) this.#collect();
  }

  #collect(): void {
    const start = performance.now();
    if (start < this.#nextCollectionMs) return;
    Bun.gc(true);
    const end = performance.now();
    this.#pieces = 0;
    this.#nextCollectionMs = end + (end - start) / GARBAGE_PART;
  }
}
