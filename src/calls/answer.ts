import { type TObject, Type } from '@sinclair/typebox';
import type { Freeze } from '../access/freeze.ts';
import type { OperationName } from '../access/profile.ts';
import type { Clock } from '../lib/clock.ts';
import { incompleteTail } from '../lib/utf8.ts';
import { SESSION_STATUSES, type SessionRecord } from '../sessions/record.ts';
import type { Session, StoredStream, StreamName } from '../sessions/session.ts';
import { ADVISED, type Answer, type CallContext, SPARE, STATE } from './context.ts';

/** The fields that `shell` and `read_session` have in common. */
export const outputFields = {
  stdout: Type.String({ description: 'Standard output as text.' }),
  stderr: Type.String({ description: 'Standard error as text.' }),
  exit_code: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Exit code; 128+n after signal n, 124 at the execution limit, null while it runs.',
  }),
  session: Type.String({ description: 'Id of the session that holds the whole output.' }),
  status: Type.Union(
    SESSION_STATUSES.map((status) => Type.Literal(status)),
    { description: 'done, running, timeout, killed, output_limit, lost, denied or waiting (for a person).' },
  ),
  duration_ms: Type.Integer({ description: 'Wall time so far, in milliseconds.' }),
  frozen: Type.Optional(
    Type.Boolean({ description: 'True while the owner has frozen the server: the command is stopped.' }),
  ),
  taken_over: Type.Optional(
    Type.Boolean({ description: 'True while the owner types in its terminal: write_session writes nothing.' }),
  ),
  stdout_bytes: Type.Integer({ description: 'Size of the whole standard output, in bytes.' }),
  stderr_bytes: Type.Integer({ description: 'Size of the whole standard error, in bytes.' }),
  truncated: Type.Boolean({ description: 'True when stdout or stderr here is not the whole stream.' }),
  usage: Type.Optional(
    Type.Object(
      {
        cpu_ms: Type.Integer({ description: 'CPU time in milliseconds.' }),
        peak_memory_bytes: Type.Optional(Type.Integer({ description: 'The most memory at one moment.' })),
        processes: Type.Optional(Type.Integer({ description: 'The most processes and threads at one moment.' })),
      },
      { description: 'What the ended command used, where the server counts it.' },
    ),
  ),
  dialog_ms: Type.Optional(
    Type.Array(Type.Integer(), { description: 'The duration of each completed step of the dialog.' }),
  ),
  message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
} as const;

const omission = Type.Object({ offset: Type.Integer(), bytes: Type.Integer() });

export const omittedField: TObject = Type.Object({
  stdout: Type.Optional(omission),
  stderr: Type.Optional(omission),
});

/** The state of a session at one moment, as answers describe it. */
export interface Snapshot {
  readonly streams: Readonly<Record<StreamName, StoredStream>>;
  readonly running: boolean;
  readonly fields: Answer & {
    readonly exit_code: number | null;
    readonly session: string;
    readonly status: string;
    readonly duration_ms: number;
    readonly stdout_bytes: number;
    readonly stderr_bytes: number;
    readonly usage?: SessionRecord['usage'];
    readonly dialog_ms?: SessionRecord['dialog_ms'];
  };
}

/** Takes a snapshot of a session. Throws `SessionNotFound` when its files were removed. */
export function snapshot(session: Session, clock: Clock): Snapshot {
  const running = isOpen(session.record);
  const streams = { stdout: streamNow(session, 'stdout', running), stderr: streamNow(session, 'stderr', running) };
  return snapshotOf(session, streams, clock);
}

function isOpen({ status }: SessionRecord): boolean {
  return status === 'running' || status === 'waiting';
}

/** The same for a command that has just ended: its sizes were taken at its end, and nothing writes any more. */
export function finalSnapshot(session: Session, clock: Clock): Snapshot {
  const { record } = session;
  if (isOpen(record) || record.survivors > 0) return snapshot(session, clock);
  const streams = {
    stdout: session.streamOf('stdout', record.stdout_bytes),
    stderr: session.streamOf('stderr', record.stderr_bytes),
  };
  return snapshotOf(session, streams, clock);
}

/** Reading and cutting less takes a fraction of a millisecond. */
const SHORT_BYTES = 8192;

/** Garbage that an answer leaves: the text of a page, its cut, and its JSON. */
const ANSWER_GARBAGE_BYTES = 262_144;

/** Resolves when it is the turn of a call to make its answer from `streams`; at once if they are short. */
export async function turnFor({ deps, principal }: CallContext, { streams }: Snapshot): Promise<void> {
  if (streams.stdout.size + streams.stderr.size > SHORT_BYTES) await deps.turns.take(principal, ANSWER_GARBAGE_BYTES);
}

function snapshotOf(session: Session, streams: Snapshot['streams'], clock: Clock): Snapshot {
  const { record } = session;
  return {
    streams,
    running: isOpen(record),
    fields: {
      exit_code: record.exit_code,
      session: session.id,
      status: record.status,
      duration_ms: record.duration_ms ?? Math.max(0, clock.now() - record.started_at),
      stdout_bytes: streams.stdout.size,
      stderr_bytes: streams.stderr.size,
      ...(record.usage !== undefined && { usage: record.usage }),
      ...(record.dialog_ms !== undefined && { dialog_ms: record.dialog_ms }),
      ...takenOver(session),
      ...stateOf(record),
    },
  };
}

/** Fields of every answer about a session while its owner types. */
export function takenOver({ typist, record }: Session): { readonly taken_over?: true } {
  return typist !== undefined && isOpen(record) ? { taken_over: true } : {};
}

/** Returns what the lean form of an answer about a session depends on. */
export function stateOf(record: SessionRecord): Pick<Answer, typeof STATE> {
  const { key, survivors, status, hits, dialog_ms = [], dialog_note } = record;
  return {
    [STATE]: {
      isNeeded: isOpen(record) || survivors > 0 || key !== null,
      hitLimit: status === 'timeout' || status === 'output_limit' || hits !== undefined,
      hasSpoken: dialog_ms.length > 0 && dialog_note !== '',
    },
  };
}

/** A running stream may end within a character: that part comes with the next read. */
function streamNow(session: Session, name: StreamName, running: boolean): StoredStream {
  const stream = session.stream(name);
  if (!running || stream.size === 0) return stream;
  return stream.upTo(stream.size - incompleteTail(stream.read(stream.size - Math.min(3, stream.size), 3)));
}

/** Returns the size of the answer's JSON without the text of the streams, in characters; the rest is for the text. */
export function envelopeChars(answer: Readonly<Record<string, unknown>>): number {
  return JSON.stringify({ ...answer, stdout: '', stderr: '' }).length;
}

/** The part of a stream that is not in the answer: where it begins and how long it is. */
export interface Omission {
  readonly offset: number;
  readonly bytes: number;
}

/** Both streams cut, with the largest numbers: the most characters that `omitted` can take. */
const LARGEST: Omission = { offset: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
export const OMITTED_CHARS = JSON.stringify({ omitted: { stdout: LARGEST, stderr: LARGEST } }).length;

/** A sentence of a message that advises operations, some of which the profile of a token may not allow. */
interface Advice {
  readonly text: string;
  readonly calls: readonly OperationName[];
}

export type Hint = string | Advice | undefined;

/** Joins the sentences to one `message` with the operations they advise; empty without any. */
export function messageOf(...hints: readonly Hint[]): Answer {
  const said = hints.filter((hint) => hint !== undefined);
  if (said.length === 0) return {};
  const message = said.map((hint) => (typeof hint === 'string' ? hint : hint.text)).join(' ');
  return { message, [ADVISED]: said.flatMap((hint) => (typeof hint === 'string' ? [] : hint.calls)) };
}

/** A shorter duration is not shown. */
const LONG_MS = 1000;

/**
 * Returns an answer for the lean doors: without fields that add nothing. Answers that are not about one session stay as
 * they are. A session is named if there is more to read or to do; `omitted` says what is missing, and `message` why.
 */
export function leanAnswer(answer: Answer): Answer {
  const { [STATE]: state, server, stdout, stderr, exit_code, status, session, duration_ms, ...others } = answer;
  const spare = answer[SPARE];
  if (spare !== undefined) return Object.fromEntries(Object.entries(answer).filter(([name]) => !spare.includes(name)));
  if (state === undefined) return answer;
  const { stdout_bytes, stderr_bytes, ...rest } = others;
  const { truncated, repeat: _repeat, reason: _reason, usage, next_offset, eof, dialog_ms, ...more } = rest;
  // A page is cut if something follows it, not if something precedes it.
  const isCut = eof === undefined ? truncated === true : eof === false;
  // An answer to typed input is complete, unless it did not fit.
  const hasNext = isCut && eof !== undefined && !('written' in more && next_offset === stdout_bytes);
  const isOpen = status === 'running' || status === 'waiting';
  const hasSize = (text: unknown, bytes: unknown): boolean => (text === undefined ? bytes !== 0 : isOpen || isCut);
  return {
    ...(server !== undefined && { server }),
    ...(stdout !== undefined && { stdout }),
    ...(stderr !== undefined && (stderr !== '' || stdout === undefined) && { stderr }),
    ...(exit_code !== null && { exit_code }),
    ...(status !== 'done' && { status }),
    ...((state.isNeeded || isCut) && { session }),
    ...(stdout_bytes !== undefined && hasSize(stdout, stdout_bytes) && { stdout_bytes }),
    ...(stderr_bytes !== undefined && stderr_bytes !== 0 && hasSize(stderr, stderr_bytes) && { stderr_bytes }),
    ...(typeof duration_ms === 'number' && duration_ms >= LONG_MS && { duration_ms }),
    ...(state.hitLimit && usage !== undefined && { usage }),
    ...(state.hasSpoken && dialog_ms !== undefined && { dialog_ms }),
    ...(hasNext && { next_offset, eof }),
    ...more,
  };
}

/** An answer about a command that waits or runs, which shows while the server is frozen. */
export function withFrozen(answer: Answer, { isFrozen }: Freeze): Answer {
  const { status } = answer;
  return (status === 'running' || status === 'waiting') && isFrozen ? { ...answer, frozen: true } : answer;
}
