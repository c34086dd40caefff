import { readdirSync } from 'node:fs';
import { isOutOfFiles } from '../lib/errors.ts';
import { withReserve } from '../linux/open-files.ts';
import { statOrUndefined } from './reach.ts';

/**
 * The content of a directory; `large` if it has more than a command can wait for; undefined if it is not a directory,
 * or may not be listed.
 */
export type Listing = Names | 'large' | undefined;

/** Names of a directory at one time. */
export class Names {
  readonly #all: ReadonlySet<string>;
  readonly #fitting = new Map<string, readonly string[]>();

  constructor(all: readonly string[]) {
    this.#all = new Set(all);
  }

  get size(): number {
    return this.#all.size;
  }

  has(name: string): boolean {
    return this.#all.has(name);
  }

  /** Returns those that match a pattern: searched once. */
  like(pattern: string): readonly string[] {
    const known = this.#fitting.get(pattern);
    if (known !== undefined) return known;
    const glob = new Bun.Glob(pattern);
    const fitting = [...this.#all].filter((name) => glob.match(name));
    if (this.#fitting.size < MAX_PATTERNS) this.#fitting.set(pattern, fitting);
    return fitting;
  }
}

const MAX_PATTERNS = 20;

/** Size of a directory itself: some 8,000 names on ext4, 13,000 on tmpfs, listed in 5 ms. */
const MAX_DIRECTORY_BYTES = 262_144;
/** Two changes within this time may have the same time stamp (the kernel's clock of files ticks every 4 ms). */
const UNSURE_MS = 50;
/** Names kept in memory, of all directories: some 20 MB. */
const MAX_NAMES = 200_000;

interface Known {
  readonly seen: string;
  readonly isSure: boolean;
  readonly names: Names;
}

const known = new Map<string, Known>();
let count = 0;

/**
 * Lists a directory of up to `most` bytes, so that no user can delay this by filling it. An unchanged one is not read
 * again.
 */
export function listDirectory(path: string, most: number = MAX_DIRECTORY_BYTES): Listing {
  const stat = statOrUndefined(path);
  if (stat?.isDirectory() !== true) return undefined;
  if (stat.size > most) return 'large';
  const seen = `${stat.dev} ${stat.ino} ${stat.mtimeMs} ${stat.ctimeMs}`;
  const before = known.get(path);
  if (before?.seen === seen && before.isSure) return before.names;
  try {
    const names = new Names(withReserve(() => readdirSync(path)));
    if (count + names.size > MAX_NAMES) {
      known.clear();
      count = 0;
    }
    count += names.size - (known.get(path)?.names.size ?? 0);
    known.set(path, { seen, isSure: Date.now() - stat.mtimeMs > UNSURE_MS, names });
    return names;
  } catch (error) {
    // What is in it is not hidden from a command as long as nobody knows it.
    if (isOutOfFiles(error)) throw error;
    return undefined;
  }
}
