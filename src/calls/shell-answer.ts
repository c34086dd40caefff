import { type ByteSource, decodeUtf8, divide, fitBeginning, fitEnd, jsonChars, type Share } from '../lib/utf8.ts';
import { plainText } from '../lib/visible.ts';
import type { Session, StoredStream, StreamName } from '../sessions/session.ts';
import {
  envelopeChars,
  finalSnapshot,
  type Hint,
  messageOf,
  OMITTED_CHARS,
  type Omission,
  type Snapshot,
  snapshot,
  turnFor,
} from './answer.ts';
import { type Answer, type CallContext, type OperationDeps, replyChars, revalidate } from './context.ts';
import { binaryHint, forgetNotes, type Notes, recordHints, scriptHint } from './hints.ts';
import { MASK_HINT, type Masker } from './masking.ts';
import { reasonOf } from './status-hints.ts';

interface OutputRequest {
  /** Most bytes of both streams together. */
  readonly max_output: number;
  readonly keep: 'both' | 'head' | 'tail';
  /** Whether escape sequences are left out; undefined: only if the command has a terminal. */
  readonly plain?: boolean;
}

/**
 * Returns the answer of `shell` for a session: its output as far as it fits, and the hints of its record. `isRepeat`:
 * the session belongs to an earlier call. Throws `AccessLapsed` when the token is gone: the answer is withheld.
 */
export async function shellAnswer(
  deps: OperationDeps,
  session: Session,
  given: OutputRequest,
  notes: Notes,
  isRepeat: boolean,
  called: CallContext,
): Promise<Answer> {
  const now = isRepeat ? snapshot(session, deps.clock) : finalSnapshot(session, deps.clock);
  await turnFor(called, now);
  const context = revalidate(called, withheld(session));
  const { streams, fields } = now;
  const build = (text: Texts, more: Answer, hints: readonly Hint[]): Answer => {
    const ofRecord = recordHints(session.record, context, {
      ...notes,
      durationMs: fields.duration_ms,
      next: streams.stdout.size,
    });
    const truncated = more['omitted'] !== undefined;
    const { record } = session;
    const told = {
      ...(isRepeat && { repeat: true }),
      ...(record.status === 'waiting' && { reason: reasonOf(record) }),
    };
    return { ...text, ...fields, ...told, truncated, ...more, ...messageOf(...ofRecord, ...notes.more, ...hints) };
  };
  const fitted = fit(streams, given, context, envelopeChars(build({ stdout: '', stderr: '' }, {}, [])));
  const text = await textsOf(fitted, streams, context.masker, given.plain ?? session.record.input === 'terminal');
  const omitted = omittedOf(fitted.stdout.omitted, fitted.stderr.omitted);
  const cut = context.isLean ? undefined : cutHint(fitted, session.id);
  const ofText = [binaryHint(text.stdout, text.stderr), scriptHint(session.record, text.stderr)];
  const hints = [cut, ...ofText, context.masker?.hint()];
  const answer = build(text, omitted === undefined ? {} : { omitted }, hints);
  if (session.record.key === null) forgetNotes(session);
  return answer;
}

type Streams = Snapshot['streams'];
type Texts = Readonly<Record<StreamName, string>>;

/** Returns what of both streams fits together with `frameChars` of other fields; masks may use the rest. */
function fit(streams: Streams, given: OutputRequest, context: CallContext, frameChars: number): FittedStreams {
  const { masker } = context;
  const reserve = frameChars + OMITTED_CHARS + HINT_CHARS + (masker === undefined ? 0 : MASK_HINT.length + 1);
  const budget = { bytes: given.max_output, chars: replyChars(context) - reserve };
  const fitted = fitStreams(streams.stdout, streams.stderr, budget, given.keep, context.isLean);
  masker?.allow(budget.chars - jsonChars(fitted.stdout.text) - jsonChars(fitted.stderr.text));
  return fitted;
}

/** Returns the text of both streams for the answer. One after the other: they share the room for masks. */
async function textsOf(
  fitted: FittedStreams,
  streams: Streams,
  masker: Masker | undefined,
  isPlain: boolean,
): Promise<Texts> {
  const show = (name: StreamName) => shown(masker, fitted[name], streams[name], isPlain ? plainText : same);
  return { stdout: await show('stdout'), stderr: await show('stderr') };
}

/** Characters kept for the hints that depend on the output: two calls and the one on binary output, escaped. */
const HINT_CHARS = 850;

const same = (text: string): string => text;

function withheld({ id }: Session): string {
  return `, so the answer is withheld: its command was started and was not stopped (session ${id})`;
}

/** Returns a text for the answer, without secrets. The text around a cut is masked together with what was cut out. */
async function shown(
  masker: Masker | undefined,
  { text, omitted, parts, call }: FittedStream,
  stream: StoredStream,
  show: (text: string) => string,
): Promise<string> {
  if (masker === undefined) return show(text);
  if (omitted === undefined || parts === undefined) return masker.mask(show(text));
  const resume = omitted.offset + omitted.bytes;
  const head = await masker.maskPart(show(parts.head), stream, 0, omitted.offset, show);
  const tail = await masker.maskPart(show(parts.tail), stream, resume, stream.size, show);
  return joinWithNote({ head, tail }, omitted, call);
}

/** In the lean doors, the line in place of the missing part says it. */
function cutHint(fitted: FittedStreams, session: string): Hint {
  const calls: string[] = [];
  for (const stream of ['stdout', 'stderr'] as const) {
    const omitted = fitted[stream].omitted;
    if (omitted === undefined) continue;
    calls.push(
      `read_session {"session":"${session}","stream":"${stream}","offset":${omitted.offset},"limit":${omitted.bytes}}`,
    );
  }
  if (calls.length === 0) return undefined;
  return {
    text: `The output is cut here; the session holds all of it. Read the omitted part with ${calls.join(' and ')}.`,
    calls: ['read_session'],
  };
}

/** Which part of an over-long stream is in the answer. */
export type Keep = 'both' | 'head' | 'tail';

export interface FittedStream {
  readonly text: string;
  readonly omitted?: Omission;
  /** If something is omitted: the text before and after it. */
  readonly parts?: { readonly head: string; readonly tail: string };
  /** The call that reads what is omitted. */
  readonly call?: string;
}

interface FittedStreams {
  readonly stdout: FittedStream;
  readonly stderr: FittedStream;
}

/**
 * JSON characters kept for the line about an omission: 67 of text, two numbers of up to 14 digits, two line breaks of
 * two characters each.
 */
const NOTE_CHARS = 100;

/**
 * Returns the two streams as text that fits `budget`: whole if they fit together, else cut according to `keep`, with a
 * line in place of the missing part. That line counts as characters, not as output bytes. `isLean`: cuts fall between
 * lines, the line names the stream if it is not the usual one, and a part shorter than the line is not cut, even if it
 * exceeds the budget.
 */
export function fitStreams(
  stdout: ByteSource,
  stderr: ByteSource,
  budget: Share,
  keep: Keep,
  isLean = false,
): FittedStreams {
  const fitOne = (stream: ByteSource, share: Share): FittedStream => {
    const cut: Cut = { keep, isLean, call: isLean && stream === stderr ? `${READ} stream stderr` : READ };
    return fitStream(stream, share, cut);
  };
  const bytes = divide(budget.bytes, stdout.size, stderr.size);
  const first = {
    stdout: fitOne(stdout, { bytes: bytes.stdout, chars: budget.chars }),
    stderr: fitOne(stderr, { bytes: bytes.stderr, chars: budget.chars }),
  };
  const cost = { stdout: jsonChars(first.stdout.text), stderr: jsonChars(first.stderr.text) };
  if (cost.stdout + cost.stderr <= budget.chars) return first;
  const chars = divide(budget.chars, cost.stdout, cost.stderr);
  return {
    stdout: fitOne(stdout, { bytes: bytes.stdout, chars: chars.stdout }),
    stderr: fitOne(stderr, { bytes: bytes.stderr, chars: chars.stderr }),
  };
}

/** How a stream that does not fit is cut. */
interface Cut extends Required<Pick<FittedStream, 'call'>> {
  readonly keep: Keep;
  readonly isLean: boolean;
}

const READ = 'read_session';

function fitStream(stream: ByteSource, share: Share, cut: Cut): FittedStream {
  if (stream.size <= share.bytes) {
    const text = decodeUtf8(stream.read(0, stream.size));
    // One byte becomes at most six characters (ESC as an escape sequence of JSON).
    if (stream.size * 6 <= share.chars || jsonChars(text) <= share.chars) return { text };
  }
  const [headPart, tailPart] = PARTS[cut.keep];
  const chars = Math.max(0, share.chars - NOTE_CHARS);
  const head = readHead(stream, scale(share.bytes, chars, headPart));
  const tail = readTail(stream, scale(share.bytes, chars, tailPart));
  if (!cut.isLean) return joined(stream, head, tail, cut);
  const omitted = { offset: head.length, bytes: stream.size - head.length - tail.length };
  if (omitted.bytes <= omissionNote(omitted, cut.call).length) {
    const text = decodeUtf8(stream.read(0, stream.size));
    if (jsonChars(text) <= share.chars) return { text };
  }
  return joined(stream, wholeLines(head), wholeLastLines(tail), cut);
}

function joined(stream: ByteSource, head: Uint8Array, tail: Uint8Array, { call }: Cut): FittedStream {
  const omitted = { offset: head.length, bytes: stream.size - head.length - tail.length };
  const parts = { head: decodeUtf8(head), tail: decodeUtf8(tail) };
  return { text: joinWithNote(parts, omitted, call), omitted, parts, call };
}

/** How a share is divided between beginning and end: beginnings show what ran, ends show what failed. */
const PARTS: Readonly<Record<Keep, readonly [number, number]>> = {
  both: [1 / 3, 2 / 3],
  head: [1, 0],
  tail: [0, 1],
};

function scale(bytes: number, chars: number, part: number): Share {
  return { bytes: Math.floor(bytes * part), chars: Math.floor(chars * part) };
}

/** Bytes next to a piece that show whether its last or first character is complete. */
const CONTEXT_BYTES = 3;

function readHead(stream: ByteSource, share: Share): Uint8Array {
  const bytes = stream.read(0, share.bytes + CONTEXT_BYTES);
  return bytes.subarray(0, fitBeginning(bytes, share).end);
}

function readTail(stream: ByteSource, share: Share): Uint8Array {
  const from = Math.max(0, stream.size - share.bytes - CONTEXT_BYTES);
  const bytes = stream.read(from, stream.size - from);
  return bytes.subarray(fitEnd(bytes, share).start);
}

/** Returns the beginning of `head` that ends with a line; all of it if that is less than half. */
function wholeLines(head: Uint8Array): Uint8Array {
  const end = head.lastIndexOf(LINE_FEED) + 1;
  return end >= head.length / 2 ? head.subarray(0, end) : head;
}

/** Returns the end of `tail` that begins with a line; all of it if that is less than half. */
function wholeLastLines(tail: Uint8Array): Uint8Array {
  const start = tail.indexOf(LINE_FEED) + 1;
  return start <= tail.length / 2 ? tail.subarray(start) : tail;
}

const LINE_FEED = 10;

/** Returns the line between beginning and end. */
export function omissionNote({ offset, bytes }: Omission, call = READ): string {
  return `[agent3: ${bytes} bytes omitted; ${call} offset ${offset} reads them]`;
}

function joinWithNote({ head, tail }: NonNullable<FittedStream['parts']>, omitted: Omission, call?: string): string {
  const before = head === '' || head.endsWith('\n') ? '' : '\n';
  const after = tail === '' ? '' : '\n';
  return `${head}${before}${omissionNote(omitted, call)}${after}${tail}`;
}

/** Returns the field `omitted` of an answer, with the streams that were cut; undefined if none was. */
function omittedOf<T>(stdout: T | undefined, stderr: T | undefined): { stdout?: T; stderr?: T } | undefined {
  if (stdout === undefined && stderr === undefined) return undefined;
  return { ...(stdout !== undefined && { stdout }), ...(stderr !== undefined && { stderr }) };
}
