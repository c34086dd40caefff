import type { Stats } from 'node:fs';
import { statOrUndefined } from './reach.ts';

/** A change within this after the last one may bear the same time (the kernel's clock of files ticks every 4 ms). */
const UNSURE_MS = 50;
/** What is in them changes without a trace in their times. */
const WITHOUT_TIMES = /^\/(?:proc|sys)(?:\/|$)/;

/**
 * What of the file system something was derived from. As long as all of it looks the same, that holds: to look takes a
 * fifth of the time that it took to derive it.
 */
export class Evidence {
  /** Directories whose names count: every change of them shows in their times. */
  readonly #directories = new Map<string, Stats | undefined>();
  /** Paths of which counts what they lead to and whose that is, not what it holds. */
  readonly #targets = new Map<string, Stats | undefined>();
  readonly #begunMs = Date.now();
  #isSure = true;
  #untilMs = Number.POSITIVE_INFINITY;

  /** It counts which names are in a directory, and whose it is. */
  addDirectory(path: string): void {
    if (this.#directories.has(path)) return;
    const stat = statOrUndefined(path);
    this.#directories.set(path, stat);
    if (WITHOUT_TIMES.test(path)) this.#isSure = false;
    // What has changed since this was begun may have been looked at before.
    if (stat !== undefined && Math.max(stat.mtimeMs, stat.ctimeMs) >= this.#begunMs - UNSURE_MS) this.#isSure = false;
  }

  /** It counts what a path leads to, if it leads to anything. */
  addTarget(path: string): void {
    if (!this.#targets.has(path)) this.#targets.set(path, statOrUndefined(path));
  }

  /** It holds no longer than until then, on the clock of `performance.now()`. */
  endsAt(ms: number): void {
    this.#untilMs = Math.min(this.#untilMs, ms);
  }

  /** Whether all of it looks as it did. */
  holds(): boolean {
    if (!this.#isSure || performance.now() > this.#untilMs) return false;
    for (const [path, before] of this.#directories) if (!isUntouched(before, statOrUndefined(path))) return false;
    for (const [path, before] of this.#targets) if (!isAlike(before, statOrUndefined(path))) return false;
    return true;
  }
}

function isAlike(before: Stats | undefined, now: Stats | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  return before.mode === now.mode && before.uid === now.uid && before.gid === now.gid;
}

function isUntouched(before: Stats | undefined, now: Stats | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  const isSame = before.ino === now.ino && before.dev === now.dev && isAlike(before, now);
  return isSame && before.mtimeMs === now.mtimeMs && before.ctimeMs === now.ctimeMs;
}
