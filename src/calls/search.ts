import { closeSync } from 'node:fs';
import { Deadline } from '../lib/clock.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { MAX_SEARCHES, SEARCH_SECONDS } from '../lib/limits.ts';
import { Gate } from '../process/gate.ts';
import type { LineMatch, SearchStep } from '../sessions/match-lines.ts';
import type { Session, StreamName } from '../sessions/session.ts';

/** What a search is told, as JSON. */
export interface SearchOrder {
  readonly path: string;
  readonly pattern: string;
  readonly flags: string;
  readonly offset: number;
  readonly end: number;
  readonly context: number;
  /** Lines are searched and shown as a terminal shows them. */
  readonly isPlain: boolean;
  /** It may end when its matches have more characters than this. */
  readonly maxChars: number;
}

export interface Found {
  readonly matches: readonly LineMatch[];
  readonly nextOffset: number;
  /** It was stopped before it came to the end of what there was. */
  readonly isStopped: boolean;
}

/** A pattern in the syntax of JavaScript; `(?i)` at its beginning, as other languages write it, ignores case. */
function parsePattern(text: string): Pick<SearchOrder, 'pattern' | 'flags'> {
  const ignoresCase = text.startsWith('(?i)');
  const pattern = ignoresCase ? text.slice(4) : text;
  try {
    new RegExp(pattern, 'u');
    return { pattern, flags: ignoresCase ? 'iu' : 'u' };
  } catch {
    // Without `u` more escapes are allowed, such as `\-`.
  }
  try {
    new RegExp(pattern);
    return { pattern, flags: ignoresCase ? 'i' : '' };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InvalidArguments(
      `match is no regular expression (${reason.slice(0, 200)}). Escape special characters with a backslash.`,
    );
  }
}

const slots = new Gate(MAX_SEARCHES, 'searches', '');

/**
 * Searches a stream of a session from `offset` on, in a process of its own that is killed when its time is over: no
 * pattern can hold the agent up. Throws `InvalidArguments` for a pattern that is none, `TooManyRequests`.
 */
export async function search(
  argv: readonly string[],
  session: Session,
  stream: StreamName,
  request: Pick<SearchOrder, 'offset' | 'context' | 'isPlain' | 'maxChars'> & {
    readonly principal: string;
    readonly match: string;
    readonly seconds: number;
    /** Resolves when it is the turn of the principal to start a process. */
    readonly turn: () => Promise<void>;
    readonly show: (match: LineMatch) => Promise<LineMatch>;
    /** What all matches together may have in characters, also when there is only one. */
    readonly roomChars: number;
  },
): Promise<Found> {
  const { principal, match, seconds, turn, show, roomChars, ...bounds } = request;
  const end = session.stream(stream).size;
  // The search opens it by its path.
  closeSync(session.openReading(stream));
  const order: SearchOrder = { path: session.path(stream), end, ...parsePattern(match), ...bounds };
  const deadline = Deadline.after(Math.min(seconds, SEARCH_SECONDS));
  // Not the other way round: the beginning of a secret does not look like one.
  const shorten = async (found: LineMatch): Promise<LineMatch> => shortened(await show(found), roomChars);
  const release = await slots.enter(principal, MAX_SEARCHES, (called) => deadline.waitFor(called));
  try {
    await turn();
    return await collect(await runSearch([...argv, 'match-lines'], order, deadline.leftMs / 1000), order, shorten);
  } finally {
    release();
  }
}

interface Searched {
  readonly text: string;
  readonly isStopped: boolean;
}

async function runSearch(argv: string[], order: SearchOrder, seconds: number): Promise<Searched> {
  const child = Bun.spawn(argv, {
    cwd: '/',
    // Nothing of the agent's own.
    env: {},
    // A session of its own, so that it takes no time from the agent (see goBeforeCommands).
    detached: true,
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: 'pipe',
    stderr: 'ignore',
  });
  let isStopped = false;
  const timer = setTimeout(() => {
    isStopped = true;
    child.kill('SIGKILL');
  }, seconds * 1000);
  try {
    const text = await new Response(child.stdout).text();
    return { text, isStopped };
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

async function collect(
  { text, isStopped }: Searched,
  { maxChars, offset, end }: SearchOrder,
  show: (match: LineMatch) => Promise<LineMatch>,
): Promise<Found> {
  const matches: LineMatch[] = [];
  let chars = 0;
  let nextOffset = Math.min(offset, end);
  // What follows the last line feed was cut off when the search was stopped.
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue;
    const step = JSON.parse(line) as SearchStep;
    if ('at' in step) {
      nextOffset = Math.max(nextOffset, step.at);
      continue;
    }
    const match = await show(step.match);
    chars += JSON.stringify(match).length;
    // One at least, or nobody would come past it.
    if (chars > maxChars && matches.length > 0) return { matches, nextOffset, isStopped: false };
    matches.push(match);
    nextOffset = match.next;
  }
  return { matches, nextOffset, isStopped };
}

/** A line of a log that has no lines would fill the answer. */
const LONGEST_SHOWN_CHARS = 1000;

/** The lines of a match, cut so that it has no more than `roomChars` characters of JSON. */
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
