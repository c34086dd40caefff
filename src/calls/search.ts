import { Type } from '@sinclair/typebox';
import { MAX_SEARCHES, SEARCH_SECONDS } from '../lib/limits.ts';
import { type Pattern, parsePattern } from '../lib/pattern.ts';
import { plainText } from '../lib/visible.ts';
import { ConcurrencyLimiter } from '../process/concurrency-limiter.ts';
import { Descriptors } from '../process/start.ts';
import { Growth } from '../sessions/growth.ts';
import { type LineMatch, LONGEST_LINE_BYTES, type SearchStep } from '../sessions/match-lines.ts';
import type { Session, StoredStream } from '../sessions/session.ts';
import { envelopeChars, messageOf, snapshot } from './answer.ts';
import { type Answer, type CallContext, type OperationDeps, replyChars, revalidate } from './context.ts';
import { type Notes, recordHints } from './hints.ts';
import type { Masker } from './masking.ts';
import type { SliceRequest } from './slice.ts';

export const matchesField = Type.Array(
  Type.Object({
    line: Type.Integer({ description: 'Number of the line in the stream, from 1.' }),
    offset: Type.Integer({ description: 'Where the line begins, in bytes: continue reading from there.' }),
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
  readonly context_lines: number;
  readonly wait: number;
}

/**
 * A search is a process that counts all lines. While waiting, it pauses for as long as the last one took, at least
 * this.
 */
const NEXT_SEARCH_SECONDS = 0.5;
/** How often to check whether the command waits for input, which it may begin to do without output. */
const INPUT_LOOK_SECONDS = 1;
/** Time for the process to start and for its matches to be read. */
const SEARCH_MARGIN_SECONDS = 1;

/** Returns the lines of a session that match, as far as they fit one answer; with `wait`, waits until there is one. */
export async function searchAnswer(
  deps: OperationDeps,
  session: Session,
  given: MatchRequest,
  called: CallContext,
  notes: Notes,
): Promise<Answer> {
  const { found, isOver, context } = await searchUntilFound(deps, session, given, called);
  const { masker, isLean = false } = context;
  const { fields, streams } = snapshot(session, deps.clock);
  const isAtEnd = found.nextOffset >= streams[given.stream].size;
  const told = { ...notes, durationMs: fields.duration_ms, next: 'next_offset', hidesStderr: isLean } as const;
  return {
    ...(isLean ? { [given.stream]: '' } : { stdout: '', stderr: '' }),
    ...fields,
    truncated: fields.stdout_bytes + fields.stderr_bytes > 0,
    matches: found.matches.map(({ line, offset, isPart, text, before, after }) => ({
      line,
      offset,
      ...(isPart && { part: true }),
      text,
      ...(given.context_lines > 0 && { before, after }),
    })),
    next_offset: found.nextOffset,
    eof: isOver && isAtEnd,
    ...messageOf(
      ...recordHints(session.record, context, told),
      ...notes.more,
      fateOf(found, isAtEnd, isOver, given, isLean),
      masker?.hint(),
    ),
  };
}

async function searchUntilFound(
  deps: OperationDeps,
  session: Session,
  given: MatchRequest,
  call: CallContext,
): Promise<{ readonly found: Found; readonly isOver: boolean; readonly context: CallContext }> {
  const deadline = call.deadline.before(SEARCH_MARGIN_SECONDS).orAfter(given.wait);
  const { stream } = given;
  const isPlain = given.plain ?? session.record.input === 'terminal';
  const roomChars = Math.max(LEAST_CHARS, replyChars(call) - FRAME_CHARS);
  const maxChars = Math.min(roomChars, given.limit, call.limits.maxOutputBytes);
  const showText = isPlain ? plainText : (text: string): string => text;
  using growth = new Growth(session.path(stream));
  let offset = given.offset < 0 ? Math.max(0, session.sizeOf(stream) + given.offset) : given.offset;
  let found: Found | undefined;
  let [searchedBytes, pauseSeconds] = [0, NEXT_SEARCH_SECONDS];
  for (;;) {
    const grown = growth.next();
    const end = deps.commands.endOf(session);
    const context = revalidate(call);
    const bytes = session.sizeOf(stream);
    const show = async (found: LineMatch): Promise<LineMatch> =>
      context.masker === undefined ? found : withoutSecrets(context.masker, found, session.stream(stream), showText);
    // A change is reported twice, and may be something else than new output.
    if (found === undefined || bytes !== searchedBytes) {
      const sinceMs = performance.now();
      found = await search(deps, session, given, call, { offset, isPlain, maxChars, roomChars }, show);
      pauseSeconds = Math.max(NEXT_SEARCH_SECONDS, (performance.now() - sinceMs) / 1000);
      searchedBytes = bytes;
    }
    const isOver = end === undefined;
    const isDone = found.matches.length > 0 || found.isStopped || isOver || deps.commands.waitsForInput(session);
    if (isDone || call.shutdown.fired || deadline.passed) {
      return { found, isOver, context };
    }
    // A line that is not complete yet is searched again.
    offset = lineStart(session, given, found.nextOffset);
    const next = deps.commands.inputOf(session) === undefined ? deadline : deadline.orAfter(INPUT_LOOK_SECONDS);
    if (!end.fired && !grown.fired) await next.waitFor(end, call.shutdown, grown);
    await deadline.orAfter(pauseSeconds).waitFor(end, call.shutdown);
  }
}

/** Masks the secrets in the lines of a match, with their surroundings in the stream. */
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
/** Characters of a search's answer besides its matches; statusHint and the others have at most 1,500. */
const FRAME_CHARS = envelopeChars({ matches: [] }) + 2500;

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
  isLean = false,
): string | undefined {
  if (isStopped) {
    return `The search took too long and was stopped at offset ${nextOffset}: continue from there, or use a simpler pattern.`;
  }
  if (matches.some(({ isPart }) => isPart))
    return `Lines of more than 65536 bytes were searched in parts of that size, marked part: true. Search on from offset ${nextOffset}.`;
  if (!isAtEnd) return isLean ? undefined : `More may follow: search on from offset ${nextOffset}.`;
  if (matches.length > 0 || isLean) return undefined;
  return wait > 0 && !isOver ? 'No line matched in this time.' : 'No line matches.';
}

/** The order to a search process, as JSON. */
export interface SearchOrder extends Pattern {
  readonly offset: number;
  readonly end: number;
  readonly context: number;
  /** Whether lines are searched and shown as a terminal shows them. */
  readonly isPlain: boolean;
  /** The search may end when its matches have more characters than this. */
  readonly maxChars: number;
}

export interface Found {
  readonly matches: readonly LineMatch[];
  readonly nextOffset: number;
  /** Whether it was stopped before the end of the output. */
  readonly isStopped: boolean;
}

const slots = new ConcurrencyLimiter(MAX_SEARCHES, 'searches', '');

/**
 * Searches a stream of a session from `offset` on, in its own process, which is killed when its time is over: no
 * pattern blocks the agent. All matches together have at most `roomChars` characters, even a single one. Throws
 * `InvalidArguments` for an invalid pattern, and `TooManyRequests`.
 */
async function search(
  { ownArgv, turns }: OperationDeps,
  session: Session,
  { stream, match, context_lines: context }: MatchRequest,
  { principal, deadline: callDeadline }: CallContext,
  { roomChars, ...bounds }: Pick<SearchOrder, 'offset' | 'isPlain' | 'maxChars'> & { readonly roomChars: number },
  show: (match: LineMatch) => Promise<LineMatch>,
): Promise<Found> {
  const end = session.stream(stream).size;
  const order: SearchOrder = { end, context, ...parsePattern(match), ...bounds };
  const deadline = callDeadline.before(SEARCH_MARGIN_SECONDS).orAfter(SEARCH_SECONDS);
  // In this order: the beginning of a secret does not look like one.
  const shorten = async (found: LineMatch): Promise<LineMatch> => shortened(await show(found), roomChars);
  const release = await slots.acquire(principal, MAX_SEARCHES, (assigned) => deadline.waitFor(assigned));
  try {
    await turns.take(principal);
    using descriptors = new Descriptors();
    const fd = descriptors.add(session.openReading(stream));
    return await collect(await runSearch([...ownArgv, 'match-lines'], fd, order, deadline.leftMs), order, shorten);
  } finally {
    release();
  }
}

async function runSearch(argv: string[], stream: number, order: SearchOrder, timeoutMs: number) {
  const child = Bun.spawn(argv, {
    cwd: '/',
    // Nothing of the agent's own environment.
    env: {},
    // In its own session, so that it takes no time from the agent (see goBeforeCommands).
    detached: true,
    stdio: [Buffer.from(JSON.stringify(order)), 'pipe', 'ignore', stream],
  });
  let isStopped = false;
  const timer = setTimeout(() => {
    isStopped = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  try {
    return { text: await new Response(child.stdout).text(), isStopped };
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

async function collect(
  { text, isStopped }: Awaited<ReturnType<typeof runSearch>>,
  { maxChars, offset, end }: SearchOrder,
  show: (match: LineMatch) => Promise<LineMatch>,
): Promise<Found> {
  const matches: LineMatch[] = [];
  let chars = 0;
  let nextOffset = Math.min(offset, end);
  // A last line without a line feed was cut off when the search was stopped.
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue;
    const step = JSON.parse(line) as SearchStep;
    if ('at' in step) {
      nextOffset = Math.max(nextOffset, step.at);
      continue;
    }
    const match = await show(step.match);
    chars += JSON.stringify(match).length;
    // At least one, or a reader could not get past it.
    if (chars > maxChars && matches.length > 0) return { matches, nextOffset, isStopped: false };
    matches.push(match);
    nextOffset = match.next;
  }
  return { matches, nextOffset, isStopped };
}

/** A single very long line would fill the answer. */
const LONGEST_SHOWN_CHARS = 1000;

/** Cuts the lines of a match to at most `roomChars` characters of JSON. */
function shortened(match: LineMatch, roomChars: number): LineMatch {
  let shown = match;
  for (let longest = LONGEST_SHOWN_CHARS; longest >= 1; longest = Math.floor(longest / 2)) {
    const cut = (text: string): string => beginningOf(text, longest);
    shown = { ...match, text: cut(match.text), before: match.before.map(cut), after: match.after.map(cut) };
    if (JSON.stringify(shown).length <= roomChars) break;
  }
  return shown;
}

function beginningOf(text: string, longest: number): string {
  // Not between the halves of a surrogate pair.
  return text.length <= longest ? text : `${text.slice(0, longest).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
