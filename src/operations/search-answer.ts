import { Type } from '@sinclair/typebox';
import { Growth } from '../sessions/growth.ts';
import type { Session } from '../sessions/session.ts';
import { envelopeChars, messageOf, replyChars, snapshot } from './answer.ts';
import { type Notes, recordHints } from './hints.ts';
import { maskerFor } from './masking.ts';
import type { Answer, Call } from './operation.ts';
import type { OperationParts } from './parts.ts';
import { type Found, search } from './search.ts';
import type { SliceRequest } from './slice.ts';

/** The lines that a search found. */
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

/** What is searched, and for how long. */
export interface MatchRequest extends SliceRequest {
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
  parts: OperationParts,
  session: Session,
  given: MatchRequest,
  call: Call,
  notes: Notes,
): Promise<Answer> {
  const { found, isOver } = await searchUntilFound(parts, session, given, call);
  const { fields, streams } = snapshot(session, parts.clock);
  const isAtEnd = found.nextOffset >= streams[given.stream].size;
  const { record } = session;
  const masker = maskerFor(parts, call.principal);
  const show = (text: string): string => masker?.mask(text) ?? text;
  return {
    stdout: '',
    stderr: '',
    ...fields,
    truncated: fields.stdout_bytes + fields.stderr_bytes > 0,
    matches: found.matches.map(({ line, offset, isPart, text, before, after }) => ({
      line,
      offset,
      ...(isPart && { part: true }),
      text: show(text),
      ...(given.context > 0 && { before: before.map(show), after: after.map(show) }),
    })),
    next_offset: found.nextOffset,
    eof: isOver && isAtEnd,
    ...messageOf(
      ...recordHints(record, parts.limits, notes.silence, 'next_offset'),
      ...notes.more,
      fateOf(found, isAtEnd, isOver, given),
      masker?.hint(),
    ),
  };
}

async function searchUntilFound(
  parts: OperationParts,
  session: Session,
  given: MatchRequest,
  call: Call,
): Promise<{ readonly found: Found; readonly isOver: boolean }> {
  const deadline = call.deadline.before(SEARCH_MARGIN_SECONDS).orAfter(given.wait);
  const { match, context, stream } = given;
  const isPlain = given.plain ?? session.record.input === 'terminal';
  const room = Math.max(LEAST_CHARS, replyChars(call, parts.limits) - FRAME_CHARS);
  const maxChars = Math.min(room, given.limit, parts.limits.maxOutputBytes);
  using growth = new Growth(session.path(stream));
  let offset = given.offset < 0 ? Math.max(0, session.sizeOf(stream) + given.offset) : given.offset;
  for (;;) {
    const grown = growth.next();
    const end = parts.commands.endOf(session);
    const seconds = call.deadline.before(SEARCH_MARGIN_SECONDS).leftMs / 1000;
    const found = await search(parts.ownArgv, session, stream, { match, context, isPlain, offset, maxChars, seconds });
    const isOver = end === undefined;
    if (found.matches.length > 0 || found.isStopped || isOver || call.shutdown.fired || deadline.passed) {
      return { found, isOver };
    }
    // A line that is not whole yet is looked at again.
    offset = lineStart(session, given, found.nextOffset);
    if (!end.fired && !grown.fired) await deadline.waitFor(end, call.shutdown, grown);
    await deadline.orAfter(NEXT_SEARCH_SECONDS).waitFor(end, call.shutdown);
  }
}

/** With the smallest answers that the settings allow: the sentences are hardly ever at their longest. */
const LEAST_CHARS = 300;
/** What a search answers beside its matches; statusHint and the others have at most 1,500 characters. */
const FRAME_CHARS = envelopeChars({ matches: [] }) + 2500;
/** A line that is longer is cut there by the search as well. */
const LONGEST_LINE_BYTES = 65_536;

/** Where the line begins that has `offset` in it or ends there. */
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
