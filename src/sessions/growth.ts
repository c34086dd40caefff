import { type FSWatcher, watch } from 'node:fs';
import { OneShotEvent } from '../lib/clock.ts';

/** How often a file is taken to have changed where the kernel grants no watch (inotify(7), `max_user_watches`). */
const UNWATCHED_LOOK_MS = 100;
/** `watch` of Bun 1.4.5 drops a change that comes less than 2 ms behind one it has told of. */
const UNTOLD_MS = 5;

/**
 * Tells when a file is written to, by inotify(7): a reader that waits costs nothing until there is something. A change is
 * told once more after `UNTOLD_MS`, for those that Bun drops. To be disposed of.
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

  /** Fires at the next change. To be taken before a look at the file, so that no change falls between. */
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
    // The file was removed: whoever looks at it next is told so.
    watcher.on('error', listener);
    return watcher;
  } catch {
    // No watch left for this user, or the file is gone.
    return undefined;
  }
}
