import type { ListedSession } from '../client/sessions.ts';
import { visibleText } from '../lib/visible.ts';

/** How a table is shown. */
export interface TableLook {
  readonly columns: number;
  readonly hasColours: boolean;
  readonly nowMs: number;
}

const HEAD = ['SESSION', 'STATUS', 'EXIT', 'STARTED', 'TOOK', 'OUTPUT', 'COMMAND'] as const;

const RIGHT: ReadonlySet<string> = new Set(['EXIT', 'TOOK', 'OUTPUT']);

/** Least width of a command, however narrow the terminal is. */
const LEAST_COMMAND = 20;

const GREEN = '\x1b[32m';
const RED = '\x1b[31m';
const YELLOW = '\x1b[33m';
const PLAIN = '\x1b[0m';

/** Sessions as a table for a person. */
export function sessionsTable(sessions: readonly ListedSession[], look: TableLook): string {
  const rows = sessions.map((session) => cellsOf(session, look.nowMs));
  const widths = HEAD.map((name, at) => Math.max(name.length, ...rows.map((row) => (row[at] ?? '').length)));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const room = Math.max(LEAST_COMMAND, look.columns - before);
  const line = (cells: readonly string[], colour: string): string => {
    const padded = cells.slice(0, -1).map((cell, at) => pad(cell, widths[at] ?? 0, RIGHT.has(HEAD[at] ?? '')));
    if (colour !== '') padded[1] = `${colour}${padded[1]}${PLAIN}`;
    return `${[...padded, cut(cells.at(-1) ?? '', room)].join('  ').trimEnd()}\n`;
  };
  const body = sessions.map((session, at) => line(rows[at] ?? [], look.hasColours ? colourOf(session) : ''));
  return [line(HEAD, ''), ...body].join('');
}

/** Sessions as lines of fields between tabs, for programs. */
export function sessionsTabbed(sessions: readonly ListedSession[]): string {
  return sessions
    .map(({ session, status, exit_code, started_at, duration_ms, stdout_bytes, stderr_bytes, cmd }) =>
      [session, status, exit_code ?? '', started_at, duration_ms, stdout_bytes, stderr_bytes, cmd]
        .map((field) => oneLine(String(field)))
        .join('\t'),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function cellsOf(session: ListedSession, nowMs: number): string[] {
  return [
    session.session,
    session.status,
    String(session.exit_code ?? '-'),
    age(nowMs - Date.parse(session.started_at)),
    duration(session.duration_ms),
    size(session.stdout_bytes + session.stderr_bytes),
    session.cmd,
  ].map(oneLine);
}

function colourOf({ status, exit_code }: ListedSession): string {
  if (status === 'running') return YELLOW;
  return status === 'done' && exit_code === 0 ? GREEN : RED;
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Escapes what would move the cursor, end the line or be invisible. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
  const line = text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => ESCAPES[character] ?? hexEscape(character));
  return visibleText(line);
}

function hexEscape(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function pad(text: string, width: number, isRight: boolean): string {
  return isRight ? text.padStart(width) : text.padEnd(width);
}

function cut(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, room - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** A time in its largest unit, whole: 3h. */
function duration(ms: number): string {
  for (const [unit, length] of UNITS) {
    if (ms >= length) return `${Math.floor(ms / length)}${unit}`;
  }
  return `${Math.max(0, Math.round(ms))}ms`;
}

/** How long ago; the clocks of two machines differ by some seconds. */
function age(ms: number): string {
  return ms < 1000 ? 'now' : `${duration(ms)} ago`;
}

/** Bytes in the largest unit that leaves a number from 1. */
function size(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const number = bytes / 1024 ** power;
  return `${power > 0 && number < 10 ? number.toFixed(1) : Math.floor(number)}${'BKMGT'[power]}`;
}
