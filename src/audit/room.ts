import { TooManyRequests } from '../lib/errors.ts';

/** Where a file of the record, and of the log, is to be put aside; it never has more than twice as much. */
export const RECORD_FILE_BYTES = 64 * 1_048_576;

/** Of the room for all, one token alone may fill everything but a quarter. */
const ALONE = 3 / 4;

/** How often the watchdog looks for files that are to be put aside. */
const NEXT_LOOK_SECONDS = 300;

/**
 * The room in one file of the record. Up to the size at which it is to be put aside anybody may write. From there to
 * twice that, a token that has filled its part is held back until the file has been put aside: others go on.
 */
export class RecordRoom {
  readonly #bytes = new Map<string, number>();
  readonly #held = new Set<string>();

  constructor(private readonly fileBytes: number) {}

  /** A file is to be put aside. */
  isDue(size: number): boolean {
    return size >= this.fileBytes;
  }

  /** A line of `length` has no room in a file of `size`, whoever it is of. */
  isFull(size: number, length: number): boolean {
    return size + length > 2 * this.fileBytes;
  }

  /** Whether a token has filled its part of a file of `size`. */
  isHeld(token: string, size: number): boolean {
    if (!this.isDue(size)) return false;
    // Lines of the agent's own are no token's.
    const tokens = this.#bytes.size - (this.#bytes.has('') ? 1 : 0);
    const part = tokens > 1 ? 1 / tokens : ALONE;
    return (this.#bytes.get(token) ?? 0) > part * 2 * this.fileBytes;
  }

  /** Whether this is the first time that a token is held back in this file. */
  hold(token: string): boolean {
    if (this.#held.has(token)) return false;
    this.#held.add(token);
    return true;
  }

  /** A line of a token was written. */
  add(token: string, length: number): void {
    this.#bytes.set(token, (this.#bytes.get(token) ?? 0) + length);
  }

  /** A new file. */
  clear(): void {
    this.#bytes.clear();
    this.#held.clear();
  }
}

/** What a token is answered that has filled its part. */
export function partFilled(): TooManyRequests {
  return new TooManyRequests(
    NEXT_LOOK_SECONDS,
    'This token has filled its part of the audit record, so nothing was done. Wait 5 minutes, until the record has been rotated, then send less text; let the server fetch large data itself, for example with curl or scp.',
  );
}

/** The token that a line is of; the agent's own lines, and those of nobody, are of ''. */
export function tokenOf({ token }: Readonly<Record<string, unknown>>): string {
  return typeof token === 'string' ? token : '';
}
