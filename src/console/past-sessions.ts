import { readSync } from 'node:fs';
import { SessionNotFound } from '../lib/errors.ts';
import { readPlain } from '../lib/files.ts';
import { keptText } from '../sessions/kept.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Session, StreamName } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import { WireRefusal } from './channel.ts';
import type { Part, PastSession, PastSessions, SessionDetails } from './shown-past.ts';
import { nameOf, shownStatus } from './view.ts';

export const MOST_ROWS = 100;
/** Characters of a command in a list. */
const SHOWN_CHARS = 300;
/** Sessions that are looked at before the others may have their turn. */
export const SLICE = 500;
/** Of a timing in one answer, in bytes. */
const TIMING_PART = 196_608;

/** Which sessions are wanted; what is left out does not count. Times are milliseconds since the epoch. */
export interface SessionFilter {
  readonly from?: number;
  readonly to?: number;
  readonly token?: string;
  readonly text?: string;
  readonly status?: string;
  readonly before?: string;
}

/** The sessions that are kept and match, the newest first. `rest` lets others have their turn. */
export async function pastSessions(
  store: SessionStore,
  filter: SessionFilter,
  rest: () => Promise<void>,
): Promise<PastSessions> {
  const { before, status } = filter;
  const text = filter.text?.toLowerCase();
  const sessions: PastSession[] = [];
  const tokens = new Set<string>();
  let isMore = false;
  let keptSince: number | null = null;
  let looked = 0;
  for (const session of store.newestFirst()) {
    if (++looked % SLICE === 0) await rest();
    const { record } = session;
    if (record.closed) continue;
    tokens.add(nameOf(record.principal));
    keptSince = record.started_at;
    if (isMore || (before !== undefined && session.id >= before)) continue;
    if (!isWithin(record, filter) || (text !== undefined && !hasText(record, text))) continue;
    if (status !== undefined && shownStatus(record) !== status) continue;
    if (sessions.length < MOST_ROWS) sessions.push(rowOf(session));
    else isMore = true;
  }
  const next = isMore ? (sessions.at(-1)?.session ?? null) : null;
  return { sessions, next, kept_since: keptSince, tokens: [...tokens].sort() };
}

function isWithin({ started_at, principal }: SessionRecord, { from, to, token }: SessionFilter): boolean {
  if (from !== undefined && started_at < from) return false;
  if (to !== undefined && started_at >= to) return false;
  return token === undefined || nameOf(principal) === token;
}

function hasText({ cmd, session }: SessionRecord, text: string): boolean {
  return cmd.toLowerCase().includes(text) || session.startsWith(text);
}

function rowOf(session: Session): PastSession {
  const { record } = session;
  const isRunning = record.ended_at === null;
  return {
    ...{ session: session.id, token: nameOf(record.principal), profile: record.profile ?? '' },
    ...{ cmd: keptText(record.cmd, SHOWN_CHARS), status: shownStatus(record), exit_code: record.exit_code },
    ...{ started_at: record.started_at, ended_at: record.ended_at, duration_ms: record.duration_ms },
    stdout_bytes: isRunning ? session.sizeOf('stdout') : record.stdout_bytes,
    stderr_bytes: isRunning ? session.sizeOf('stderr') : record.stderr_bytes,
    terminal: record.input === 'terminal',
  };
}

/** All that is kept of a session, or that it is gone. */
export function sessionDetails(store: SessionStore, id: string): SessionDetails | { readonly expired: true } {
  const session = store.find(id);
  if (session === undefined || session.record.closed) return { expired: true };
  const { record } = session;
  const { cwd, address = '', decision, stopped_by, survivors, size, look = false } = record;
  return {
    ...rowOf(session),
    ...{ cmd: record.cmd, is_cut: record.cmd_sha256 !== undefined, cwd, address, look, survivors },
    decision:
      decision === undefined ? null : { action: decision.action, reason: decision.reason, by: decision.by ?? '' },
    stopped_by: stopped_by ?? '',
    rows: size?.rows ?? null,
    cols: size?.cols ?? null,
    has_timing: session.sizeOf('timing') > 0,
  };
}

/** A part of the file of marks of a session; empty without a file. */
export function timingPart(store: SessionStore, id: string, from: number): { base64: string; next: number | null } {
  const session = kept(store, id);
  const buffer = Buffer.alloc(TIMING_PART);
  try {
    return readPlain(session.path('timing'), (fd, { size }) => {
      const length = readSync(fd, buffer, 0, buffer.length, from);
      const next = from + length < size && length > 0 ? from + length : null;
      return { base64: buffer.toString('base64', 0, length), next };
    });
  } catch {
    // The file is missing, or is something else.
    return { base64: '', next: null };
  }
}

/** Bytes of a stream from an offset on. Throws `WireRefusal` where it is gone. */
export function outputPart(store: SessionStore, id: string, stream: StreamName, from: number, bytes: number): Part {
  const session = kept(store, id);
  try {
    const all = session.stream(stream);
    return { base64: Buffer.from(all.read(from, bytes)).toString('base64'), size: all.size };
  } catch (error) {
    if (error instanceof SessionNotFound) throw new WireRefusal('BadRequest', error.hint ?? 'The output is gone.');
    throw error;
  }
}

function kept(store: SessionStore, id: string): Session {
  const session = store.find(id);
  if (session !== undefined && !session.record.closed) return session;
  throw new WireRefusal('BadRequest', 'This session has expired, and its output with it.');
}
