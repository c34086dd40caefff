/** Those who wait for the same file to be on the disk share one sync: of ten calls at once, most wait for the same. */
export class GroupSync {
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `sync` puts on the disk what was written before it began. */
  constructor(private readonly sync: () => Promise<void>) {}

  /** Resolves when all that was written before this call is on the disk. Rejects with the system's error. */
  request(): Promise<void> {
    if (this.#running === undefined && this.#next === undefined) return this.#begin();
    this.#next ??= this.idle().then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  /** Resolves when the sync that runs now is over, however it ended. */
  async idle(): Promise<void> {
    try {
      await this.#running;
    } catch {
      // Told to those who asked for it.
    }
  }

  #begin(): Promise<void> {
    this.#running = this.sync().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}
