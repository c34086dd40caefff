import { closeSync, constants, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { SessionNotFound } from '../lib/errors.ts';
import { readPlain } from '../lib/files.ts';
import { viaSchema } from './via.ts';

/** A session id that was checked: nothing else can become part of a path. */
export type SessionId = string & { readonly __brand: 'SessionId' };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Makes an id, UUIDv7: ids sort by time of creation (RFC 9562). */
export function newSessionId(): SessionId {
  return Bun.randomUUIDv7() as SessionId;
}

/** Returns the id in `text`, or undefined. Upper case is accepted, as in UUIDs. */
export function asSessionId(text: string): SessionId | undefined {
  const lower = text.toLowerCase();
  return UUID.test(lower) ? (lower as SessionId) : undefined;
}

/** Returns the id in `text`. Throws `SessionNotFound` for any other text. */
export function parseSessionId(text: string): SessionId {
  const id = asSessionId(text);
  if (id === undefined) {
    throw new SessionNotFound('A session id is a UUID: the field "session" in the answer of shell.');
  }
  return id;
}

/** Returns when the session was made, in milliseconds since the epoch: the first 48 bits of a UUIDv7. */
export function timeOfId(id: SessionId): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

export const SESSION_STATUSES = [
  'running',
  'done',
  'timeout',
  'killed',
  'output_limit',
  'lost',
  'denied',
  'waiting',
] as const;
export type SessionStatus = (typeof SESSION_STATUSES)[number];

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const decisionSchema = Type.Object({
  action: Type.String(),
  reason: Type.String(),
  /** The part of the command in question, if that is not all of it. */
  part: Type.Optional(Type.String()),
  rule: Type.Optional(Type.Integer()),
  by: Type.Optional(Type.String()),
  allowances: Type.Optional(Type.Array(Type.String())),
});

/** The record of a session, without its output, as `meta.json` has it. Times are milliseconds since the epoch. */
const recordSchema = Type.Object({
  session: Type.String(),
  /** The token that made it; for others it does not exist. */
  principal: Type.String(),
  status: Type.Union(SESSION_STATUSES.map((status) => Type.Literal(status))),
  /** The beginning of a long command. */
  cmd: Type.String(),
  /** Of the whole command, if `cmd` is not all of it. */
  cmd_sha256: Type.Optional(Type.String()),
  cwd: Type.String(),
  key: nullable(Type.String()),
  started_at: Type.Integer(),
  ended_at: nullable(Type.Integer()),
  duration_ms: nullable(Type.Integer()),
  exit_code: nullable(Type.Integer()),
  stdout_bytes: Type.Integer(),
  stderr_bytes: Type.Integer(),
  /** What both take of the disk, if that is clearly more than their sizes. */
  disk_bytes: Type.Optional(Type.Integer()),
  /**
   * What was reserved for them on the disk while the command ran, together with their sizes, if that is clearly more.
   */
  reserved_bytes: Type.Optional(Type.Integer()),
  execution_seconds: Type.Number(),
  /** The shell: pid, start time in clock ticks (null while the command is very young), boot. */
  process: nullable(Type.Object({ pid: Type.Integer(), startTicks: nullable(Type.Integer()), bootId: Type.String() })),
  /** Its input stays open: a pipe or a pseudo-terminal, which only the agent that started it can write to. */
  input: Type.Optional(Type.Union([Type.Literal('pipe'), Type.Literal('terminal')])),
  /** The size of its terminal, in characters. Then what `timing` takes of the disk. */
  size: Type.Optional(Type.Object({ rows: Type.Integer(), cols: Type.Integer() })),
  timing_bytes: Type.Optional(Type.Integer()),
  /** What it waited for when it reached its limit after a silence. */
  waited_for: Type.Optional(Type.String()),
  /** What it used, if the kernel counts that for each command. */
  usage: Type.Optional(
    Type.Object({
      cpu_ms: Type.Integer(),
      peak_memory_bytes: Type.Optional(Type.Integer()),
      processes: Type.Optional(Type.Integer()),
    }),
  ),
  /** How often it reached its limits: processes killed for memory, processes not started, time without CPU. */
  hits: Type.Optional(
    Type.Object({
      memory: Type.Integer(),
      processes: Type.Integer(),
      memory_max: Type.Optional(Type.Integer()),
      processes_max: Type.Optional(Type.Integer()),
      throttled_ms: Type.Optional(Type.Integer()),
      cpu_percent: Type.Optional(Type.Integer()),
    }),
  ),
  /** The largest file that it may write, if its profile has a limit. */
  file_max: Type.Optional(Type.Integer()),
  /** The context that it ran with, and a digest of its isolation: see `contexts`. */
  context: Type.Optional(Type.Object({ name: Type.String(), walls: Type.String() })),
  /** Why all or part of its context stays as it was; why an approved file operation was not done: sentences. */
  context_note: Type.Optional(Type.String()),
  file_note: Type.Optional(Type.String()),
  /** The streams that it opened again, which may have emptied them, as far as that was seen. */
  reopened: Type.Optional(Type.Array(Type.Union([Type.Literal('stdout'), Type.Literal('stderr')]))),
  /**
   * How long each step of its dialog took, in milliseconds; why the next one was not done; that its owner typed:
   * emptied once reported.
   */
  dialog_ms: Type.Optional(Type.Array(Type.Integer())),
  dialog_note: Type.Optional(Type.String()),
  owner_note: Type.Optional(Type.String()),
  /** The profile that it ran under, and where the call came from. */
  profile: Type.Optional(Type.String()),
  /** Whether `look` ran it: its output is masked, whatever the profile says. */
  look: Type.Optional(Type.Boolean()),
  address: Type.Optional(Type.String()),
  via: Type.Optional(viaSchema),
  /** The decision of rules or a person, if that was not simply to run it. */
  decision: Type.Optional(decisionSchema),
  /** Whether it was stopped because its client cancelled the call, not by kill_session or close_session. */
  taken_back: Type.Optional(Type.Boolean()),
  /** Whether the owner is notified of its end; who stopped it at the owner's console. */
  notify: Type.Optional(Type.Boolean()),
  stopped_by: Type.Optional(Type.String()),
  /** Processes that were left when it ended. */
  survivors: Type.Integer(),
  /** Its files are gone; the record stays as long as its key must be remembered. */
  closed: Type.Boolean(),
});

export type SessionRecord = Omit<Static<typeof recordSchema>, 'status'> & { status: SessionStatus };
export type KeptDecision = Static<typeof decisionSchema>;

/** What a new session is made from. */
export type NewSession = Pick<
  SessionRecord,
  | 'principal'
  | 'cmd'
  | 'cwd'
  | 'key'
  | 'execution_seconds'
  | 'profile'
  | 'look'
  | 'address'
  | 'via'
  | 'decision'
  | 'input'
  | 'size'
  | 'file_max'
  | 'context'
>;

/** Whether a session must survive a crash of the machine: it has a key, or a person has approved it. */
export function outlivesMachine({ key, decision }: SessionRecord): boolean {
  return key !== null || decision?.action === 'approved';
}

/** A block of most file systems. */
const BLOCK_BYTES = 4096;

/** Returns what a session takes of the disk besides its output: a block for its directory, and one for each record. */
export function recordBytes({ key }: Pick<SessionRecord, 'key'>): number {
  return (key === null ? 2 : 3) * BLOCK_BYTES;
}

/** Returns how much an ended session counts for when the disk is divided, in bytes. */
export function bytesOnDisk(record: SessionRecord): number {
  return outputOnDisk(record) + (record.timing_bytes ?? 0) + recordBytes(record);
}

/** The same without its record. */
export function outputOnDisk({ stdout_bytes, stderr_bytes, disk_bytes = 0 }: SessionRecord): number {
  return Math.max(stdout_bytes + stderr_bytes, disk_bytes);
}

const checker = TypeCompiler.Compile(recordSchema);

export const RECORD_FILE = 'meta.json';
/** What is known of a session before its command starts, and is not changed later. */
export const START_FILE = 'start.json';
/**
 * A write of at most one page is not cut in two when the agent is killed: the kernel copies page by page and looks for
 * signals in between (generic_perform_write).
 */
const PAGE_BYTES = 4096;

/**
 * Writes a session's record so that a reader sees the old one or the new one, whole. `writtenBytes` is the length of
 * the existing one, 0 without one. Returns the new length.
 *
 * A record that fits a page is replaced in place by one write. The usual way, writing another file and renaming it,
 * frees an inode for every command, and when ext4 makes a file, it skips inodes freed within the last minute one by
 * one: at a thousand commands a second, that cost more than the commands (measured: 0.004 ms in place, 0.05 to 0.5 ms
 * by renaming). Longer records are written to another file and renamed.
 *
 * Nothing is synced to the disk here: a record guards against the death of the agent, which loses nothing that the
 * kernel has. For a session that must survive a crash of the machine, `writeStart` and `SessionsOnDisk` do that.
 */
export function writeRecord(directory: string, record: SessionRecord, writtenBytes: number): number {
  const text = Buffer.from(JSON.stringify(record));
  const length = Math.max(text.length, writtenBytes);
  const path = join(directory, RECORD_FILE);
  if (length > PAGE_BYTES) {
    writeFile(`${path}.tmp`, 'w', text);
    renameSync(`${path}.tmp`, path);
    return text.length;
  }
  // The rest of a longer old text is overwritten with spaces, which JSON allows.
  const padded = Buffer.alloc(length, ' ');
  text.copy(padded);
  writeFile(path, writtenBytes === 0 ? 'w' : 'r+', padded);
  return length;
}

/**
 * Writes what is known of a session before its command starts, in its own file: the machine may crash while `meta.json`
 * is half replaced, and the session's key must not be forgotten then.
 */
export function writeStart(directory: string, record: SessionRecord): void {
  writeFile(join(directory, START_FILE), 'w', Buffer.from(JSON.stringify(record)));
}

/** Commands of the agent's own user may replace a file by a pipe or a link: neither is waited for or followed. */
const PLAIN = constants.O_NONBLOCK | constants.O_NOFOLLOW;
const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | PLAIN;
const THERE = constants.O_RDWR | PLAIN;

/** Returns the content of a file in a session's directory. Throws the system's error, also if it is not a file. */
export function readPlainFile(path: string): Buffer {
  return readPlain(path, (fd) => readFileSync(fd));
}

function writeFile(path: string, flags: 'w' | 'r+', bytes: Buffer): void {
  const fd = openSync(path, flags === 'w' ? NEW : THERE, 0o600);
  try {
    writeWhole(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** write(2) may write less than requested on a disk that is nearly full; the rest then fails with ENOSPC. */
function writeWhole(fd: number, bytes: Buffer): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written, bytes.length - written, written);
}

/** A record as it is on disk. */
export interface StoredRecord {
  readonly record: SessionRecord;
  /** Length of its file. */
  readonly bytes: number;
}

/**
 * Returns the record in `directory`. If it is damaged, or older than the approval by a person, returns it as it was
 * before the command started. Undefined without any.
 */
export function readRecord(directory: string): StoredRecord | undefined {
  const stored = readFile(join(directory, RECORD_FILE));
  if (stored !== undefined && stored.record.status !== 'waiting') return stored;
  const start = readFile(join(directory, START_FILE));
  return start === undefined ? stored : { ...start, bytes: 0 };
}

function readFile(path: string): StoredRecord | undefined {
  try {
    const bytes = readPlainFile(path);
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return checker.Check(value) ? { record: value as SessionRecord, bytes: bytes.length } : undefined;
  } catch {
    // A file that is missing, cut short or invalid: the caller treats the end of the session as unknown.
    return undefined;
  }
}
