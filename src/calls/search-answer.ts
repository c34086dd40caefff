import { Type } from '@sinclair/typebox';
import { plainText } from '../lib/visible.ts';
import { Growth } from '../sessions/growth.ts';
import type { LineMatch } from '../sessions/match-lines.ts';
import type { Session, StoredStream } from '../sessions/session.ts';
import { envelopeChars, messageOf, snapshot } from './answer.ts';
import { type Answer, type CallContext, type OperationDeps, replyChars, revalidate } from './context.ts';
import { type Notes, recordHints } from './hints.ts';
import type { Masker } from './masking.ts';
import { type Found, search } from './search.ts';
import type { SliceRequest } from './slice.ts';

export const matchesField = Type.Array(
  Type.Object({
    line: Type.Integer({ description: 'Number of the line in the stream, from 1.' }),
    offset: Type.Integer({ description: 'Where the line begins, in bytes: read on from there.' }),
    part: Type.Optional(
      Type.Boolean({
        description: 'True for a part of a line that is longer than 65536 bytes; offset is where the part begins.',
      }),
    ),
    text: Type.String({ description: 'The line, up to 1000 characters of it.' }),
    before: Type.Optional(Type.Array(Type.String(), { description: 'Lines before it.' })),
    after: Type.Optional(Type.Array(Type.String(), { description: 'Lines after it.' })),
  }),
  { description: 'The lines that match, when match was given.' },
);

interface MatchRequest extends SliceRequest {
  readonly match: string;
  readonly context: number;
  readonly wait: number;
}

/** A search is a process: one that waits for output to match starts it no more often than that. */
const NEXT_SEARCH_SECONDS = 0.5;
/** The process starts, and its matches are read. */
const SEARCH_MARGIN_SECONDS = 1;

/** The lines of a session that match, as far as they fit one answer; with `wait`, waits until there is one. */
export async function searchAnswer(
  parts: OperationDeps,
  session: Session,
  given: MatchRequest,
  called: CallContext,
  notes: Notes,
): Promise<Answer> {
  const { found, isOver, context } = await searchUntilFound(parts, session, given, called);
  const { masker, limits } = context;
  const { fields, streams } = snapshot(session, parts.clock);
  const isAtEnd = found.nextOffset >= streams[given.stream].size;
  const { record } = session;
  return {
    stdout: '',
    stderr: '',
    ...fields,
    truncated: fields.stdout_bytes + fields.stderr_bytes > 0,
    matches: found.matches.map(({ line, offset, isPart, text, before, after }) => ({
      line,
      offset,
      ...(isPart && { part: true }),
      text,
      ...(given.context > 0 && { before, after }),
    })),
    next_offset: found.nextOffset,
    eof: isOver && isAtEnd,
    ...messageOf(
      ...recordHints(record, limits, notes.silence, 'next_offset'),
      ...notes.more,
      fateOf(found, isAtEnd, isOver, given),
      masker?.hint(),
    ),
  };
}

async function searchUntilFound(
  parts: OperationDeps,
  session: Session,
  given: MatchRequest,
  call: CallContext,
): Promise<{ readonly found: Found; readonly isOver: boolean; readonly context: CallContext }> {
  const deadline = call.deadline.before(SEARCH_MARGIN_SECONDS).orAfter(given.wait);
  const { match, context: linesAround, stream } = given;
  const isPlain = given.plain ?? session.record.input === 'terminal';
  const room = Math.max(LEAST_CHARS, replyChars(call) - FRAME_CHARS);
  const maxChars = Math.min(room, given.limit, call.limits.maxOutputBytes);
  const showText = isPlain ? plainText : (text: string): string => text;
  using growth = new Growth(session.path(stream));
  let offset = given.offset < 0 ? Math.max(0, session.sizeOf(stream) + given.offset) : given.offset;
  for (;;) {
    const grown = growth.next();
    const end = parts.commands.endOf(session);
    const context = revalidate(call);
    const show = async (found: LineMatch): Promise<LineMatch> =>
      context.masker === undefined ? found : withoutSecrets(context.masker, found, session.stream(stream), showText);
    const seconds = call.deadline.before(SEARCH_MARGIN_SECONDS).leftMs / 1000;
    const { principal } = call;
    const order = { principal, match, context: linesAround, isPlain, offset, maxChars, seconds };
    const turn = () => parts.turns.take(principal);
    const found = await search(parts.ownArgv, session, stream, { ...order, turn, show, roomChars: room });
    const isOver = end === undefined;
    if (found.matches.length > 0 || found.isStopped || isOver || call.shutdown.fired || deadline.passed) {
      return { found, isOver, context };
    }
    // A line that is not whole yet is looked at again.
    offset = lineStart(session, given, found.nextOffset);
    if (!end.fired && !grown.fired) await deadline.waitFor(end, call.shutdown, grown);
    await deadline.orAfter(NEXT_SEARCH_SECONDS).waitFor(end, call.shutdown);
  }
}

/** A match in which the secrets of its lines are masked, for what stands around them in the stream. */
async function withoutSecrets(
  masker: Masker,
  match: LineMatch,
  stream: StoredStream,
  show: (text: string) => string,
): Promise<LineMatch> {
  const { before, text, after, from, to } = match;
  const arePart = match.isPart || to - from >= LONGEST_LINE_BYTES;
  const texts = await masker.maskLines(
    { texts: [...before, text, ...after], start: from, end: to, arePart },
    stream,
    show,
  );
  return {
    ...match,
    before: texts.slice(0, before.length),
    text: texts[before.length] ?? '',
    after: texts.slice(before.length + 1),
  };
}

/** With the smallest answers that the settings allow: the sentences are hardly ever at their longest. */
const LEAST_CHARS = 300;
/** What a search answers beside its matches; statusHint and the others have at most 1,500 characters. */
const FRAME_CHARS = envelopeChars({ matches: [] }) + 2500;
/** A line that is longer is cut there by the search as well. */
const LONGEST_LINE_BYTES = 65_536;

function lineStart(session: Session, { stream }: MatchRequest, offset: number): number {
  const from = Math.max(0, offset - LONGEST_LINE_BYTES);
  const bytes = session.stream(stream).read(from, offset - from);
  return from + bytes.lastIndexOf(10) + 1;
}

function fateOf(
  { matches, nextOffset, isStopped }: Found,
  isAtEnd: boolean,
  isOver: boolean,
  { wait }: MatchRequest,
): string | undefined {
  if (isStopped) {
    return `The search took too long and was stopped at offset ${nextOffset}: go on from there, or use a simpler pattern.`;
  }
  if (matches.some(({ isPart }) => isPart))
    return `Lines of more than 65536 bytes were searched in parts of that size, marked part: true. Search on from offset ${nextOffset}.`;
  if (!isAtEnd) return `More may follow: search on from offset ${nextOffset}.`;
  if (matches.length > 0) return undefined;
  return wait > 0 && !isOver ? 'No line matched in this time.' : 'No line matches.';
}
