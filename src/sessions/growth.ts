import { type FSWatcher, watch } from 'node:fs';
import { OneShotEvent } from '../lib/clock.ts';

/** How often a file is assumed to have changed if the kernel refuses a watch (inotify(7), `max_user_watches`). */
const UNWATCHED_LOOK_MS = 100;
/** `watch` of Bun 1.4.5 drops a change that comes less than 2 ms after one that it has reported. */
const UNTOLD_MS = 5;

/**
 * Reports when a file is written to, by inotify(7): a waiting reader costs nothing until there is output. A change is
 * reported once more after `UNTOLD_MS`, for those that Bun drops. Must be disposed of.
 */
export class Growth implements Disposable {
  #next = new OneShotEvent();
  readonly #watcher: FSWatcher | undefined;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #isOver = false;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(path: string) {
    this.#watcher = startWatch(path, () => {
      this.#fire();
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#fire(), UNTOLD_MS);
    });
    if (this.#watcher === undefined) this.#timer = setInterval(() => this.#fire(), UNWATCHED_LOOK_MS);
  }

  /**
   * Returns an event that fires at the next change. Call it before looking at the file, so that no change is missed.
   */
  next(): OneShotEvent {
    return this.#next;
  }

  /** Calls `listener` at each change from now on. */
  each(listener: () => void): void {
    this.#next.subscribe(() => {
      if (this.#isOver) return;
      this.each(listener);
      listener();
    });
  }

  #fire(): void {
    const fired = this.#next;
    this.#next = new OneShotEvent();
    fired.fire();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#watcher?.close();
    clearInterval(this.#timer);
    clearTimeout(this.#again);
  }
}

function startWatch(path: string, listener: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, listener);
    // The file was removed: the next look at it reports that.
    watcher.on('error', listener);
    return watcher;
  } catch {
    // No watch is left for this user, or the file is gone.
    return undefined;
  }
}
