import { readSync } from 'node:fs';
import { plainText } from '../lib/visible.ts';

/** The descriptor of the stream in the search process. */
export const STREAM_DESCRIPTOR = 3;

/** What is searched in a stream. */
export interface MatchRequest {
  /** A descriptor of the stream; the caller closes it. */
  readonly fd: number;
  readonly pattern: RegExp;
  /** Where to begin, in bytes: lines that begin before it are only counted. */
  readonly offset: number;
  /** Where the search ends, in bytes. */
  readonly end: number;
  /** Lines shown before and after each match. */
  readonly context: number;
  /**
   * Whether lines are searched and shown as a terminal shows them: without escape sequences, only the last state of a
   * progress bar.
   */
  readonly isPlain: boolean;
}

/** A line that matches. */
export interface LineMatch {
  /** Counted from 1 at the beginning of the stream. */
  readonly line: number;
  /** Where it begins, in bytes. */
  readonly offset: number;
  /** Where the next line begins. */
  readonly next: number;
  readonly text: string;
  /** Whether it is a part of a line that is too long. */
  readonly isPart: boolean;
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** Where the first line before it begins, and where the last one after it ends. */
  readonly from: number;
  readonly to: number;
}

/** A step of a search: a match, or the position reached. */
export type SearchStep = { readonly match: LineMatch } | { readonly at: number };

const CHUNK_BYTES = 1_048_576;
/** A longer line is matched in parts of this size: the stream may be one line of a gigabyte. */
export const LONGEST_LINE_BYTES = 65_536;
const NEWLINE = 10;

/** A match that still gets lines after it. */
interface OpenMatch extends LineMatch {
  readonly after: string[];
  to: number;
}

/** Searches a stream line by line, in bounded memory; reports its position after each chunk. */
export function* matchLines(request: MatchRequest): Generator<SearchStep> {
  const { pattern, offset, context } = request;
  const before: Line[] = [];
  const open: OpenMatch[] = [];
  for (const piece of readLines(request)) {
    if ('at' in piece) {
      if (open.length === 0) yield piece;
      continue;
    }
    const { line, start, next, text, isPart } = piece;
    for (const match of open) {
      match.after.push(text);
      match.to = next;
    }
    while (open[0] !== undefined && open[0].after.length >= context) yield { match: open.shift() as OpenMatch };
    if (start >= offset && pattern.test(text)) {
      const from = before[0]?.start ?? start;
      const around = { before: before.map((one) => one.text), after: [], from, to: next };
      const match: OpenMatch = { line, offset: start, next, text, isPart, ...around };
      if (context === 0) yield { match };
      else open.push(match);
    }
    before.push(piece);
    if (before.length > context) before.shift();
  }
  for (const match of open) yield { match };
  yield { at: request.end };
}

interface Line {
  readonly line: number;
  readonly start: number;
  readonly next: number;
  readonly text: string;
  readonly isPart: boolean;
}

/** Returns the lines of a stream, and the position after each chunk. */
function* readLines({ fd, offset, end, context, isPlain }: MatchRequest): Generator<Line | { readonly at: number }> {
  const buffer = Buffer.alloc(CHUNK_BYTES + LONGEST_LINE_BYTES);
  let held = 0;
  let at = 0;
  let line = 1;
  let isRest = false;
  while (at + held < end) {
    const room = Math.min(CHUNK_BYTES, end - at - held);
    const got = readSync(fd, buffer, held, room, at + held);
    if (got === 0) break;
    const filled = held + got;
    const isLast = at + filled >= end;
    const view = buffer.subarray(0, filled);
    let from = 0;
    for (;;) {
      const newline = view.indexOf(NEWLINE, from);
      const isCut = newline === -1 ? filled - from >= LONGEST_LINE_BYTES : newline - from > LONGEST_LINE_BYTES;
      if (newline === -1 && !isCut && !(isLast && from < filled)) break;
      const to = isCut ? from + LONGEST_LINE_BYTES : newline === -1 ? filled : newline;
      const next = isCut || newline === -1 ? to : newline + 1;
      // Before the offset, only lines that are shown as context need their text.
      const isNeeded = at + next > offset - context * LONGEST_LINE_BYTES;
      const raw = isNeeded ? buffer.toString('utf8', from, to) : '';
      const text = isPlain ? plainText(raw) : withoutReturn(raw);
      yield { line, start: at + from, next: at + next, text, isPart: isCut || isRest };
      isRest = isCut;
      if (!isCut) line++;
      from = next;
    }
    buffer.copyWithin(0, from, filled);
    held = filled - from;
    at += from;
    yield { at };
  }
}

function withoutReturn(text: string): string {
  return text.endsWith('\r') ? text.slice(0, -1) : text;
}
