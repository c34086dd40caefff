/** Fewest and most bytes on their way at once. */
const LEAST_BYTES = 16_384;
const FIRST_BYTES = 65_536;
const MOST_BYTES = 8_388_608;
/** A step that takes longer has too many bytes with it. */
const SLOW_MS = 600;
/** A quicker one could have more. */
const QUICK_MS = 200;

/**
 * The bytes of files on their way to or from a server. They share its connection with all calls, and a call whose start is
 * not confirmed within two seconds has an unknown outcome. So on a slow line there are few of them.
 */
export class Line {
  #most = FIRST_BYTES;
  #used = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Does a step with as many bytes as the line takes now, at most `most`, in turn with others. */
  async carry<T>(most: number, step: (bytes: number) => Promise<T>): Promise<T> {
    while (this.#used > 0 && this.#used >= this.#most)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const bytes = Math.min(most, Math.max(this.#most - this.#used, LEAST_BYTES));
    this.#used += bytes;
    const [began, used] = [this.now(), this.#used];
    try {
      return await step(bytes);
    } finally {
      this.#used -= bytes;
      this.#learn(this.now() - began, used);
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
  }

  #learn(ms: number, used: number): void {
    if (ms > SLOW_MS) this.#most = Math.max(LEAST_BYTES, this.#most / 2);
    // Few bytes say nothing of more.
    else if (ms < QUICK_MS && 2 * used >= this.#most) this.#most = Math.min(MOST_BYTES, this.#most * 2);
  }
}
