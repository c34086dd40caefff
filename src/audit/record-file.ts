import { closeSync, constants, fdatasync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { describeErrno, errnoOf, TooManyRequests } from '../lib/errors.ts';
import { GroupSync, syncDirectory } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import { AuditFault, type Mark, markPath, markText, parseMark, readNote, type Seal } from './chain.ts';

/** The most of the record that a loss of power removes, in time. */
const SYNC_MS = 1000;

const dataSync = promisify(fdatasync);

/** What of a record is on the disk, with the mark about it. */
export class SyncedRecord {
  readonly mark: Mark | undefined;
  readonly #group = new GroupSync(() => this.#sync());
  /** Undefined if it cannot exist: then a loss of power looks like a change by somebody. */
  readonly #fd: number | undefined;
  #seq: number;
  #hasBegun = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasWarned = false;

  /** `now` returns the open file and the note of its end, and the number of the last line. */
  constructor(
    private readonly path: string,
    private readonly seal: Seal,
    private readonly boot: string,
    private readonly logger: Logger,
    private readonly now: () => { readonly fd: number; readonly head: number; readonly seq: number },
  ) {
    this.#fd = this.#open();
    this.mark = this.#fd === undefined ? undefined : parseMark(seal, readNote(this.#fd));
    this.#seq = this.mark?.seq ?? 0;
  }

  /** Resolves when every line so far is on the disk. Rejects with `AuditFault`. */
  async synced(): Promise<void> {
    if (this.#seq === this.now().seq) return;
    try {
      await this.#group.request();
    } catch (error) {
      throw new AuditFault(`${this.path} does not reach the disk: ${describeErrno(error)}`, { cause: error });
    }
  }

  /** Syncs what was written within a second. */
  soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#advance();
    }, SYNC_MS);
    this.#timer.unref();
  }

  /** Changes the mark to this boot. What an earlier agent left must be on record before. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#write(false);
    void this.#advance();
  }

  /** A record without a line: its files have just been made. */
  found(): void {
    this.begin();
    const { fd: record, head } = this.now();
    try {
      for (const fd of [record, head, this.#fd]) if (fd !== undefined) fsyncSync(fd);
      syncDirectory(dirname(this.path));
    } catch {
      // A device, which keeps nothing.
    }
  }

  /** Closes a rotated file. Its content is on the disk, and marked so, before another one has a line. */
  leave(fd: number): void {
    try {
      fdatasyncSync(fd);
      syncDirectory(dirname(this.path));
      this.#seq = this.now().seq;
      this.#write(false);
      if (this.#fd !== undefined) fdatasyncSync(this.#fd);
    } catch (error) {
      this.#warnOnce(error);
    }
    void this.#group.idle().then(() => closeSync(fd));
  }

  /** Nothing follows. */
  close(): void {
    clearTimeout(this.#timer);
    const { fd, head, seq } = this.now();
    try {
      fdatasyncSync(fd);
      fdatasyncSync(head);
      this.#seq = seq;
      this.#write(true);
      if (this.#fd !== undefined) fdatasyncSync(this.#fd);
    } catch (error) {
      this.#warnOnce(error);
    }
  }

  async #sync(): Promise<void> {
    const { fd, seq } = this.now();
    try {
      await dataSync(fd);
    } catch (error) {
      // A pipe or a device.
      if (errnoOf(error) !== 'EINVAL') throw error;
    }
    // A file that was rotated meanwhile was synced as a whole.
    this.#seq = Math.max(this.#seq, seq);
    this.#hasWarned = false;
  }

  /** Syncs the record, then the mark that says so, and the note of its end. */
  async #advance(): Promise<void> {
    try {
      await this.#group.request();
      this.#write(false);
      await Promise.all([dataSync(this.now().head), ...(this.#fd === undefined ? [] : [dataSync(this.#fd)])]);
    } catch (error) {
      this.#warnOnce(error);
    }
  }

  #write(isClosed: boolean): void {
    if (this.#fd !== undefined)
      writeSync(this.#fd, markText(this.seal, { seq: this.#seq, boot: this.boot, isClosed }), 0);
  }

  #warnOnce(error: unknown): void {
    if (!this.#hasWarned) this.logger.warn({ path: this.path, err: error }, 'the audit record does not reach the disk');
    this.#hasWarned = true;
  }

  #open(): number | undefined {
    try {
      return openSync(markPath(this.path), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o640);
    } catch (error) {
      this.logger.warn(
        { path: markPath(this.path), fault: describeErrno(error) },
        'the agent cannot note how much of the audit record is on the disk. After a power loss the record would look as if somebody had changed it. To mend this: agent3 install',
      );
      return undefined;
    }
  }
}

/** The size at which a file of the record, or of the log, is rotated; it never has more than twice as much. */
export const RECORD_FILE_BYTES = 64 * 1_048_576;

/** One token alone may fill three quarters of the room for all. */
const ALONE = 3 / 4;

/** How often the watchdog looks for files to rotate. */
const NEXT_LOOK_SECONDS = 300;

/**
 * The room in one file of the record. Up to the size of rotation, every token may write. From there to twice that, a
 * token that has filled its part is held back until the rotation; others continue.
 */
export class RecordRoom {
  readonly #bytes = new Map<string, number>();
  readonly #held = new Set<string>();

  constructor(private readonly fileBytes: number) {}

  isDue(size: number): boolean {
    return size >= this.fileBytes;
  }

  /** Whether a line of `length` has no room in a file of `size`, from any token. */
  isFull(size: number, length: number): boolean {
    return size + length > 2 * this.fileBytes;
  }

  /** Whether a token has filled its part of a file of `size`. */
  isHeld(token: string, size: number): boolean {
    if (!this.isDue(size)) return false;
    // The agent's own lines belong to no token.
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

  add(token: string, length: number): void {
    this.#bytes.set(token, (this.#bytes.get(token) ?? 0) + length);
  }

  clear(): void {
    this.#bytes.clear();
    this.#held.clear();
  }
}

/** Returns the refusal of a token that has filled its part. */
export function partFilled(): TooManyRequests {
  return new TooManyRequests(
    NEXT_LOOK_SECONDS,
    'This token has filled its part of the audit record, so nothing was done. Wait 5 minutes, until the record has been rotated, then send less text; let the server fetch large data itself, for example with curl or scp.',
  );
}

/** Returns the token of a line; '' for the agent's own lines, and those of nobody. */
export function tokenOf({ token }: Readonly<Record<string, unknown>>): string {
  return typeof token === 'string' ? token : '';
}
