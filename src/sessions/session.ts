import {
  chmodSync,
  closeSync,
  constants,
  openSync,
  readSync,
  type Stats,
  statfsSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf, SessionNotFound } from '../lib/errors.ts';
import { duplicate } from '../linux/descriptors.ts';
import { readPlainFile, type SessionId, type SessionRecord, writeRecord, writeStart } from './record.ts';

export const STREAMS = ['stdout', 'stderr'] as const;
export type StreamName = (typeof STREAMS)[number];

/** A person who types into a session in place of its client, since when (ms), and by which order. */
export type Typist = { readonly order: string; readonly by: string; readonly since: number };

/** One session: its record in memory and its files on disk. */
export class Session {
  readonly #kept = new Map<StreamName, number>();
  /**
   * The person who has taken over its terminal: nothing that its client sends is typed. A new agent knows of nobody.
   */
  typist: Typist | undefined;

  constructor(
    readonly id: SessionId,
    readonly directory: string,
    private stored: SessionRecord,
    /** Length of the record on disk, 0 without one. */
    private recordBytes = 0,
  ) {}

  path(name: StreamName | 'stdin' | 'exit_code' | 'context' | 'timing'): string {
    return join(this.directory, name);
  }

  /** The current record; `update` changes it. */
  get record(): SessionRecord {
    return this.stored;
  }

  /** Changes the record and writes it. The change stays in memory even if the disk refuses it. */
  update(change: Partial<SessionRecord>): void {
    this.stored = { ...this.stored, ...change };
    this.recordBytes = writeRecord(this.directory, this.stored, this.recordBytes);
  }

  /** Writes the record as it is before the command starts, so that the session is known even if a later one is lost. */
  keepStart(): void {
    writeStart(this.directory, this.record);
  }

  /** Returns the exit code that the command itself left on disk; null if it left none. */
  keptExitCode(): number | null {
    try {
      const text = readPlainFile(this.path('exit_code')).toString('latin1');
      return /^\d{1,3}\n$/.test(text) ? Number(text) : null;
    } catch {
      // It was stopped, or does not keep its exit code.
      return null;
    }
  }

  /** Returns the current size of a stream in bytes; 0 when its file is gone. */
  sizeOf(stream: StreamName | 'context' | 'timing'): number {
    return sizeOfFile(this.path(stream)) ?? 0;
  }

  /** Returns the current size of both streams in bytes. */
  totalBytes(): number {
    return this.sizeOf('stdout') + this.sizeOf('stderr');
  }

  /** Returns what both streams take of the disk now. */
  diskUse(): DiskUse {
    return { stdout: useOf(this.path('stdout')), stderr: useOf(this.path('stderr')) };
  }

  /** Returns how many bytes of the disk both streams take now. */
  diskBytes(): number {
    const { stdout, stderr } = this.diskUse();
    return stdout.taken + stderr.taken;
  }

  /**
   * Frees blocks that were reserved after the ends of the streams. Only when no process of the command is left: output
   * written at that moment would be cut off.
   */
  giveBack({ stdout, stderr }: DiskUse): void {
    if (stdout.reserved > 0) freeBehind(this.path('stdout'), stdout.size);
    if (stderr.reserved > 0) freeBehind(this.path('stderr'), stderr.size);
  }

  /** Returns how long nothing has been written to either stream, in milliseconds at the time `now`. */
  silentMs(now: number): number {
    const written = STREAMS.map((name) => statSync(this.path(name), { throwIfNoEntry: false })?.mtimeMs ?? 0);
    return now - Math.max(this.record.started_at, ...written);
  }

  /** Keeps its streams open for reading until `letGo`, whatever its command makes of their modes. */
  keepReadable(): void {
    for (const name of STREAMS) if (!this.#kept.has(name)) this.#kept.set(name, openSync(this.path(name), 'r'));
  }

  /** Closes what `keepReadable` opened. */
  letGo(): void {
    for (const fd of this.#kept.values()) closeSync(fd);
    this.#kept.clear();
  }

  /** Opens a stream for reading; the caller closes the descriptor. Throws `SessionNotFound` if it cannot be read. */
  openReading(name: StreamName): number {
    const kept = this.#kept.get(name);
    return (kept === undefined ? undefined : duplicate(kept)) ?? openForReading(this.path(name));
  }

  /** Returns a stream whose size is known. */
  streamOf(name: StreamName, size: number): StoredStream {
    return new StoredStream(() => this.openReading(name), size);
  }

  /** Returns a stream as it is now. Throws `SessionNotFound` when somebody removed its file. */
  stream(name: StreamName): StoredStream {
    const size = sizeOfFile(this.path(name));
    if (size === undefined) throw outputRemoved();
    return this.streamOf(name, size);
  }
}

/** What a stream's file takes of the disk, in bytes. */
interface FileUse {
  readonly size: number;
  /**
   * The counted size: that of the file, or of its blocks if they are clearly more (fallocate(1) with `--keep-size`
   * takes space that no size shows).
   */
  readonly taken: number;
  /** Blocks after its end, if they are more than a file system's rounding. */
  readonly reserved: number;
}

/** What the streams of a session take of the disk at one moment. */
export type DiskUse = Readonly<Record<StreamName, FileUse>>;

/** The unit of `st_blocks` (stat(2)). */
const BLOCK_BYTES = 512;
/** What a file system may reserve for a small file by itself. */
const RESERVED_BYTES = 1_048_576;
/** More than the rounding of any file system. */
const ROUNDING_BYTES = 131_072;

/**
 * File systems on which a growing file has no blocks after its end, except those that a program has reserved. Magic
 * numbers of statfs(2): ext2 to ext4, Btrfs, tmpfs.
 */
const RESERVE_NOTHING: ReadonlySet<number> = new Set([0xef53, 0x9123683e, 0x01021994]);
/** A part of a file that its own lists of blocks never reach: ext2 needs 1/1000, ext4 with single blocks 1/300. */
const LISTS_PART = 64;

/**
 * Returns the counted size of a file that has blocks for `held` bytes. On other file systems, XFS above all, the system
 * itself reserves up to as much as a growing file has, and frees it later: the command did not do that.
 */
function takenBy(path: string, size: number, held: number): number {
  if (held - size <= Math.max(ROUNDING_BYTES, size / LISTS_PART)) return size;
  if (held > 2 * size + RESERVED_BYTES) return held;
  try {
    return RESERVE_NOTHING.has(statfsSync(path).type) ? held : size;
  } catch {
    // It was removed meanwhile.
    return size;
  }
}

function useOf(path: string): FileUse {
  const { size, blocks } = statOf(path) ?? { size: 0, blocks: 0 };
  const held = blocks * BLOCK_BYTES;
  const reserved = held - size > ROUNDING_BYTES ? held - size : 0;
  return { size, taken: takenBy(path, size, held), reserved };
}

/**
 * Truncates a file to its own size: ext4, XFS, Btrfs and tmpfs then free the blocks after it. If that is refused they
 * stay, and count.
 */
function freeBehind(path: string, size: number): void {
  if (tryTruncate(path, size)) return;
  try {
    // A command may remove the permission to write to its output from its own user, who still owns the file.
    chmodSync(path, 0o600);
  } catch {
    return;
  }
  tryTruncate(path, size);
}

function tryTruncate(path: string, size: number): boolean {
  try {
    truncateSync(path, size);
    return true;
  } catch {
    return false;
  }
}

/** Returns the size of a file in bytes; undefined if it, or its directory, does not exist any more. */
function sizeOfFile(path: string): number | undefined {
  return statOf(path)?.size;
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** A stream of a session, with its size at one moment: later output does not show. */
export class StoredStream {
  constructor(
    private readonly open: () => number,
    /** In bytes. */
    readonly size: number,
  ) {}

  /** Returns the same stream, as if it ended at `size`. */
  upTo(size: number): StoredStream {
    return new StoredStream(this.open, size);
  }

  /** Returns up to `length` bytes from `offset`; fewer at the end of the stream. `into` receives them, if it is set. */
  read(offset: number, length: number, into?: Uint8Array): Uint8Array {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (wanted === 0) return new Uint8Array(0);
    const fd = this.open();
    try {
      return readFrom(fd, offset, into?.subarray(0, wanted) ?? new Uint8Array(wanted));
    } finally {
      closeSync(fd);
    }
  }
}

function readFrom(fd: number, offset: number, bytes: Uint8Array): Uint8Array {
  let filled = 0;
  while (filled < bytes.length) {
    const got = readSync(fd, bytes, filled, bytes.length - filled, offset + filled);
    if (got === 0) break;
    filled += got;
  }
  return bytes.subarray(0, filled);
}

/** A command of the agent's own user may remove the permission to read its output: the owner restores it. */
function openForReading(path: string): number {
  for (let tries = 1; ; tries++) {
    try {
      // If a pipe has replaced it, it is not waited for.
      return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      const errno = errnoOf(error) ?? '';
      if (['ENOENT', 'ENOTDIR'].includes(errno)) throw outputRemoved();
      if (errno !== 'EACCES') throw error;
      if (tries > MOST_TRIES) throw outputClosed();
    }
    makeReadable(path);
  }
}

/** A command can remove the permission again at once. */
const MOST_TRIES = 10;

function makeReadable(path: string): void {
  try {
    chmodSync(path, 0o600);
  } catch {
    // It is not the agent's, or gone: the next look reports that.
  }
}

function outputClosed(): SessionNotFound {
  return new SessionNotFound(
    'The command of this session keeps its output from being read. Call kill_session, then read it again.',
  );
}

function outputRemoved(): SessionNotFound {
  return new SessionNotFound(
    'The output of this session was removed from the disk, outside of Agent3. Run the command again if you need it.',
  );
}
