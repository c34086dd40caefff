/** What strangers sent: counted, and nothing of it kept. */
export class Strangers {
  #counts: Record<string, number> = {};

  count(what: 'refused requests' | 'registrations' | 'wrong codes' | 'wrong tokens'): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  /** What came since the last time; undefined: nothing. */
  take(): Readonly<Record<string, number>> | undefined {
    const counts = this.#counts;
    this.#counts = {};
    return Object.keys(counts).length === 0 ? undefined : counts;
  }
}
