import { statSync } from 'node:fs';
import pino from 'pino';
import { putAside } from '../lib/files.ts';

export type Destination = ReturnType<typeof pino.destination>;

/**
 * Log lines wait in memory while their destination takes none (a full pipe, a stopped terminal). Beyond this many bytes
 * the oldest are dropped: the agent must not stop because nobody reads its log.
 */
export const MAX_BUFFERED_BYTES = 4 * 1_048_576;

/** Owner and group may read it: it names sessions and addresses. */
const LOG_FILE_MODE = 0o640;

/** Where a file of the log is to be put aside; it never has more than twice as much. */
export const LOG_FILE_BYTES = 64 * 1_048_576;

/** Older files that are kept: as many as ops/agent3.logrotate keeps. */
const KEPT_FILES = 7;

/**
 * The file of a log. It is put aside when it is large enough; where its directory is not the agent's, logrotate does
 * that, and lines that come while it has twice as much are left out. Throws the system's error when it cannot be opened.
 */
export class BoundedFile {
  readonly destination: Destination;
  #size: number;
  #leftOut = 0;
  /** Only logrotate can put it aside. */
  #isFixed = false;

  constructor(
    private readonly path: string,
    private readonly fileBytes = LOG_FILE_BYTES,
  ) {
    this.destination = pino.destination({
      dest: path,
      mode: LOG_FILE_MODE,
      sync: true,
      maxLength: MAX_BUFFERED_BYTES,
    });
    // A log that nobody can take any more (a full disk) is no reason to end.
    this.destination.on('error', () => {});
    this.#size = sizeOf(path);
  }

  /** Called by pino with each line. */
  write(line: string): void {
    if (this.#size >= this.fileBytes && !this.#isFixed) this.#putAside();
    const bytes = Buffer.byteLength(line);
    if (this.#size + bytes > 2 * this.fileBytes) {
      this.#leftOut++;
      return;
    }
    this.destination.write(line);
    this.#size += bytes;
  }

  /** Opens the file that is there now; gives how many lines were left out. */
  reopen(): number {
    this.destination.reopen();
    this.#size = sizeOf(this.path);
    this.#isFixed = false;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut;
  }

  #putAside(): void {
    try {
      putAside(this.path, KEPT_FILES);
      this.reopen();
    } catch {
      this.#isFixed = true;
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
