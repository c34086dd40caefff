import { closeSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';

export const SESSION_STATUSES = ['running', 'done', 'timeout', 'killed', 'output_limit', 'lost'] as const;
export type SessionStatus = (typeof SESSION_STATUSES)[number];

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

/** What is kept of a session beside its output, as `meta.json` holds it. Times are milliseconds since the epoch. */
const recordSchema = Type.Object({
  session: Type.String(),
  /** The token that made it; others are told that it does not exist. */
  principal: Type.String(),
  status: Type.Union(SESSION_STATUSES.map((status) => Type.Literal(status))),
  cmd: Type.String(),
  cwd: Type.String(),
  key: nullable(Type.String()),
  started_at: Type.Integer(),
  ended_at: nullable(Type.Integer()),
  duration_ms: nullable(Type.Integer()),
  exit_code: nullable(Type.Integer()),
  stdout_bytes: Type.Integer(),
  stderr_bytes: Type.Integer(),
  execution_seconds: Type.Number(),
  /** The shell, as long as it may run: pid, start time in clock ticks, boot. */
  process: nullable(Type.Object({ pid: Type.Integer(), startTicks: Type.Integer(), bootId: Type.String() })),
  /** Processes that were left when it ended. */
  survivors: Type.Integer(),
  /** Its files are gone; the record stays as long as its key must be remembered. */
  closed: Type.Boolean(),
});

export type SessionRecord = Omit<Static<typeof recordSchema>, 'status'> & { status: SessionStatus };

const checker = TypeCompiler.Compile(recordSchema);

export const RECORD_FILE = 'meta.json';

/**
 * Writes the record of a session beside the old one and puts it in its place, so that a reader sees one or the other.
 * It is not synced to the disk: a record guards against the death of the agent, which loses nothing the kernel has. After
 * the death of the machine the command is gone as well, and the session reads as `lost`.
 */
export function writeRecord(directory: string, record: SessionRecord): void {
  const temporary = join(directory, `${RECORD_FILE}.tmp`);
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeWhole(fd, JSON.stringify(record));
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, join(directory, RECORD_FILE));
}

/** write(2) may write less than asked, on a disk that is nearly full; what is left then fails with ENOSPC. */
function writeWhole(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
}

/** The record in `directory`, or undefined when there is none or it cannot be understood. */
export function readRecord(directory: string): SessionRecord | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(directory, RECORD_FILE), 'utf8'));
    return checker.Check(value) ? (value as SessionRecord) : undefined;
  } catch {
    // A file that is missing, cut short or no JSON: the caller treats the session as one whose end nobody recorded.
    return undefined;
  }
}
