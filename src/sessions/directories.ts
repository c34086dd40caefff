import { closeSync, mkdirSync, mkdir as mkdirWith, open, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withReserve } from '../linux/open-files.ts';
import { STREAMS } from './session.ts';

/** The descriptors of a new session's streams, opened for append. */
export interface OutputDescriptors {
  readonly stdout: number;
  readonly stderr: number;
}

/** Making a session takes 0.05 ms, but 1 ms if ext4 looks for inodes among thousands that were just freed. */
const SLOW_MS = 0.25;
/** How many sessions are then made ahead, before one shows whether the file system is fast again. */
const AFTER_A_SLOW_ONE = 50;
/** How many are ready at a time. */
const AHEAD = 2;
/** No session has such a name. */
const NAME = '.ready-';

interface Ready {
  readonly path: string;
  readonly output: OutputDescriptors;
}

const makeWithout = promisify(mkdirWith);
const openWithout = promisify(open);

/**
 * Makes the directories of sessions (0700), with their streams (0600). If the file system is slow at that, other
 * threads make the next ones ahead, which are then renamed (0.02 ms).
 */
export class SessionDirectories {
  readonly #ready: Ready[] = [];
  #isMaking = false;
  #left = 0;
  #count = 0;

  /** Making one takes longer than `slowMs` if the file system is slow. */
  constructor(
    private readonly parent: string,
    private readonly slowMs = SLOW_MS,
  ) {}

  /**
   * Makes a directory and opens its streams, which the caller closes. Throws the system's error; then nothing is left.
   */
  make(directory: string): OutputDescriptors {
    const output = this.#takeReady(directory) ?? this.#makeNow(directory);
    if (this.#left > 0) void this.#makeAhead();
    return output;
  }

  /** Removes what an earlier agent made ahead. */
  removeLeft(): void {
    for (const name of readdirSync(this.parent))
      if (name.startsWith(NAME)) removeWherePossible(join(this.parent, name));
  }

  #takeReady(directory: string): OutputDescriptors | undefined {
    const ready = this.#ready.shift();
    if (ready === undefined) return undefined;
    this.#left--;
    try {
      renameSync(ready.path, directory);
      return ready.output;
    } catch {
      // Somebody has removed it.
      closeBoth(ready.output);
      return undefined;
    }
  }

  #makeNow(directory: string): OutputDescriptors {
    const startMs = performance.now();
    try {
      mkdirSync(directory, { mode: 0o700 });
      return openStreams(directory);
    } catch (error) {
      removeWherePossible(directory);
      throw error;
    } finally {
      if (performance.now() - startMs > this.slowMs) this.#left = AFTER_A_SLOW_ONE;
    }
  }

  /** What fails here fails again when a session needs it, and is reported then. */
  async #makeAhead(): Promise<void> {
    if (this.#isMaking) return;
    this.#isMaking = true;
    try {
      while (this.#ready.length < Math.min(AHEAD, this.#left)) await this.#makeOne();
    } catch {
      this.#left = 0;
    } finally {
      this.#isMaking = false;
    }
  }

  async #makeOne(): Promise<void> {
    const path = join(this.parent, `${NAME}${process.pid}-${this.#count++}`);
    await makeWithout(path, { mode: 0o700 });
    const opened: number[] = [];
    try {
      for (const name of STREAMS) opened.push(await openWithout(join(path, name), 'a', 0o600));
      const [stdout = -1, stderr = -1] = opened;
      this.#ready.push({ path, output: { stdout, stderr } });
    } catch (error) {
      for (const fd of opened) closeSync(fd);
      removeWherePossible(path);
      throw error;
    }
  }
}

/** Removes a directory. If even that fails, the first error is the one that matters. */
function removeWherePossible(directory: string): void {
  try {
    withReserve(() => rmSync(directory, { recursive: true, force: true }));
  } catch {
    // A path below a file does not exist.
  }
}

function openStreams(directory: string): OutputDescriptors {
  const stdout = openSync(join(directory, 'stdout'), 'a', 0o600);
  try {
    return { stdout, stderr: openSync(join(directory, 'stderr'), 'a', 0o600) };
  } catch (error) {
    closeSync(stdout);
    throw error;
  }
}

function closeBoth({ stdout, stderr }: OutputDescriptors): void {
  closeSync(stdout);
  closeSync(stderr);
}
