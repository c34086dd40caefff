import { readlinkSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { lstatOrUndefined, statOrUndefined } from './reach.ts';

/** Two changes within this time may have the same time stamp (the kernel's clock of files ticks every 4 ms). */
const UNSURE_MS = 50;
/** Changes below these leave no trace in the times of files. */
const WITHOUT_TIMES = /^\/(?:proc|sys)(?:\/|$)/;

/** More than the names of the 40 links that the kernel follows. */
const MAX_STEPS = 2000;

/**
 * The state of the file system that something was derived from. While all of it looks the same, the result is valid:
 * looking takes a fifth of the time of deriving it.
 */
export class Evidence {
  /** Directories whose names count: every change of them shows in their times. */
  readonly #directories = new Map<string, Stats | undefined>();
  /** Paths whose targets count (which file, and which owner), not the content. */
  readonly #targets = new Map<string, Stats | undefined>();
  readonly #begunMs = Date.now();
  #isSure = true;
  #untilMs = Number.POSITIVE_INFINITY;

  /** Includes the names in a directory, and its owner. */
  addDirectory(path: string): void {
    if (this.#directories.has(path)) return;
    const stat = statOrUndefined(path);
    this.#directories.set(path, stat);
    if (WITHOUT_TIMES.test(path)) this.#isSure = false;
    // What has changed since the beginning may have been read before.
    if (stat !== undefined && Math.max(stat.mtimeMs, stat.ctimeMs) >= this.#begunMs - UNSURE_MS) this.#isSure = false;
  }

  /** Includes the target of a path, if it has one. */
  addTarget(path: string): void {
    if (!this.#targets.has(path)) this.#targets.set(path, statOrUndefined(path));
  }

  /** Includes every directory that an absolute path leads through, by links too. */
  addWay(path: string): void {
    const names = path.split('/');
    let at = '';
    for (let steps = 0; names.length > 0 && steps < MAX_STEPS; steps++) {
      const name = names.shift() ?? '';
      if (name === '' || name === '.') continue;
      this.addDirectory(at || '/');
      const next = name === '..' ? dirname(at || '/').replace(/^\/$/, '') : `${at}/${name}`;
      const link = linkAt(next);
      if (link?.startsWith('/') === true) at = '';
      else if (link === undefined) at = next;
      if (link !== undefined) names.unshift(...link.split('/'));
    }
  }

  /** Limits its validity to this time, on the clock of `performance.now()`. */
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

/** Returns the target of a symbolic link; undefined for everything else, and for missing files. */
function linkAt(path: string): string | undefined {
  return lstatOrUndefined(path)?.isSymbolicLink() === true ? readlinkSync(path) : undefined;
}

function isAlike(before: Stats | undefined, now: Stats | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  const isSame = before.ino === now.ino && before.dev === now.dev;
  return isSame && before.mode === now.mode && before.uid === now.uid && before.gid === now.gid;
}

function isUntouched(before: Stats | undefined, now: Stats | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  return isAlike(before, now) && before.mtimeMs === now.mtimeMs && before.ctimeMs === now.ctimeMs;
}
