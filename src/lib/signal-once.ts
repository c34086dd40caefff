/**
 * An event that happens at most once and is awaited from many places: the end of a command, the agent's shutdown.
 * Listeners are taken off again, so that an event that outlives a million waits holds none of them (a promise in
 * `Promise.race` would).
 */
export class SignalOnce {
  readonly #listeners = new Set<() => void>();
  #fired = false;

  get fired(): boolean {
    return this.#fired;
  }

  /** Tells every listener, once; firing again does nothing. */
  fire(): void {
    if (this.#fired) return;
    this.#fired = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls `listener` when the event happens, at once if it has; gives a function that takes the listener off. */
  subscribe(listener: () => void): () => void {
    if (this.#fired) {
      listener();
      return () => {};
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the event happens; never rejects. For events that end soon: the wait cannot be taken back. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.subscribe(resolve));
  }
}
