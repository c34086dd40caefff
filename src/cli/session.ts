import { isatty } from 'node:tty';
import { type Command, Option } from '@commander-js/extra-typings';
import type { AgentClient } from '../client/agent-client.ts';
import { endMessage, note } from '../client/attend.ts';
import { isTransientOnceReached, retry } from '../client/backoff.ts';
import { writeAll } from '../client/descriptor.ts';
import { ClientFault, OutputClosed } from '../client/faults.ts';
import { findSession, type ListedSession, listSessions, readStream } from '../client/sessions.ts';
import { visibleJson, visibleText } from '../lib/visible.ts';
import { SIGNALS } from '../process/signals.ts';
import { SESSION_STATUSES } from '../sessions/record.ts';
import { processEnvironment } from '../settings/environment.ts';
import { describeStop, STOP_SECONDS, type StopAnswer } from './exec-many.ts';
import { EXIT_FAILURE, EXIT_USAGE, endOutput, fail } from './exit.ts';
import { numberOption } from './number-option.ts';
import { REMOTE_HELP, type RemoteOptions, remoteClient, withRemote } from './remote.ts';

/** `agent3 session`: the sessions of an agent. */
export function defineSession(session: Command): void {
  session.addHelpText('after', EXAMPLES + REMOTE_HELP);
  withRemote(
    session.command('list').description('List sessions, newest first (without a terminal: fields separated by tabs)'),
  )
    .addOption(new Option('--status <status>', 'only sessions in this state').choices(SESSION_STATUSES))
    .option('--limit <count>', 'most sessions to list', parseCount, 20)
    .option('--all', 'list all sessions')
    .option('--server <name>', 'server of a fleet whose sessions are listed')
    .option('--json', 'print JSON')
    .addHelpText('after', COLUMNS)
    .action(printSessions);
  withRemote(session.command('read <session>').description('Print what a command wrote'))
    .option('--stderr', 'print standard error instead of standard output')
    .option('--offset <bytes>', 'first byte; negative: counted from the end', parseBytes, 0)
    .option('-f, --follow', 'print new output until the command ends')
    .option('--raw', 'print exact bytes, with the escape sequences of a session with --tty')
    .addHelpText('after', READ_EXIT)
    .action(printStream);
  withRemote(
    session.command('stop <session>').description('Send a signal to every process of a session, and keep its output'),
  )
    .addOption(
      new Option('--signal <name>', 'name of the signal, without SIG').choices(SIGNALS).default('TERM' as const),
    )
    .action(stopSession);
  withRemote(session.command('close <session...>').description('Stop sessions and remove their output')).action(
    closeSessions,
  );
}

const EXAMPLES = `
An id may be shortened to its beginning, if no other session begins the same.

Examples:
  agent3 session list --status running
  agent3 session list | awk -F '\\t' '$3 != 0 { print $1, $8 }'
  agent3 session read --follow 01a209be-73a0-77a4-b108-794b51daa6b1
  agent3 session stop --signal KILL 01a209be-73a0-77a4-b108-794b51daa6b1
`;

const READ_EXIT = `
Exit code: 0. With --follow: that of the command, or 1 when it has none.`;

const COLUMNS = `
Fields without a terminal: session, status, exit code, start, duration in ms, bytes of stdout, bytes of stderr, command.`;

const parseCount = numberOption(/^\d+$/, 1, 999_999_999, 'It must be a whole number, at least 1.');

const parseBytes = numberOption(/^-?\d+$/, -1e15, 1e15, 'It must be a number of bytes.');

interface ListOptions extends RemoteOptions {
  readonly status?: string | undefined;
  readonly limit: number;
  readonly all?: true | undefined;
  readonly server?: string | undefined;
  readonly json?: true | undefined;
}

async function printSessions(options: ListOptions): Promise<void> {
  await withClient(options, async (client) => {
    const limit = options.all === true ? Number.MAX_SAFE_INTEGER : options.limit;
    const sessions = await listSessions(client, limit, options.status, options.server);
    if (options.json === true) return print(`${visibleJson(sessions)}\n`);
    if (!isatty(1)) return print(sessionsTabbed(sessions));
    const { NO_COLOR, TERM } = processEnvironment();
    const hasColours = (NO_COLOR ?? '') === '' && TERM !== 'dumb';
    const [columns] = process.stdout.getWindowSize();
    return print(sessionsTable(sessions, { columns, hasColours, nowMs: Date.now() }));
  });
}

interface ReadOptions extends RemoteOptions {
  readonly stderr?: true | undefined;
  readonly offset: number;
  readonly follow?: true | undefined;
  readonly raw?: true | undefined;
}

async function printStream(id: string, options: ReadOptions): Promise<void> {
  await withClient(options, async (client) => {
    const session = await findSession(client, id);
    const stream = options.stderr === true ? 'stderr' : 'stdout';
    const raw = options.raw === true || !isatty(1);
    const reading = { stream, offset: options.offset, follow: options.follow === true, raw } as const;
    const pieces = readStream(client, session, reading);
    let piece = await pieces.next();
    for (; piece.done !== true; piece = await pieces.next()) await writeAll(1, piece.value);
    if (!reading.follow) return;
    process.exitCode = piece.value.exit_code ?? EXIT_FAILURE;
    const message = endMessage(piece.value, stream === 'stderr');
    if (message !== undefined) note(message);
  });
}

async function stopSession(id: string, options: RemoteOptions & { readonly signal: string }): Promise<void> {
  await withClient(options, async (client) => {
    interface Killed {
      readonly status: string;
      readonly signalled: number;
    }
    const session = await findSession(client, id);
    const args = { session, signal: options.signal };
    const answer = await retry(
      () => client.call<Killed | StopAnswer>('kill_session', args, { seconds: STOP_SECONDS }),
      isTransientOnceReached(),
    );
    if ('run' in answer) {
      for (const line of describeStop(answer)) await print(`${oneLine(line)}\n`);
      return;
    }
    const { status, signalled } = answer;
    await print(
      `${session}\t${oneLine(status)}\t${signalled} ${signalled === 1 ? 'process' : 'processes'} signalled\n`,
    );
  });
}

async function closeSessions(ids: readonly string[], options: RemoteOptions): Promise<void> {
  await withClient(options, async (client) => {
    for (const id of ids) {
      const session = await findSession(client, id);
      await retry(() => client.call('close_session', { session }), isTransientOnceReached());
      await print(`${session}\tclosed\n`);
    }
  });
}

/** Runs `work` with the agent that the options name. Prints the reason and exits with 1 when it fails. */
async function withClient(options: RemoteOptions, work: (client: AgentClient) => Promise<void>): Promise<void> {
  try {
    await work(remoteClient(options, EXIT_USAGE));
  } catch (error) {
    // The reader has gone: `agent3 session read … | head`.
    if (error instanceof OutputClosed) endOutput(error);
    if (error instanceof ClientFault) fail(EXIT_FAILURE, error.message);
    throw error;
  }
}

function print(text: string): Promise<void> {
  return writeAll(1, Buffer.from(text));
}

/** How a table is shown. */
interface TableLook {
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

/** Formats sessions as a table for a person. */
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

/** Formats sessions as lines of fields separated by tabs, for programs. */
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
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it escapes control characters.
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

/** Formats a time in its largest whole unit: 3h. */
function duration(ms: number): string {
  for (const [unit, length] of UNITS) {
    if (ms >= length) return `${Math.floor(ms / length)}${unit}`;
  }
  return `${Math.max(0, Math.round(ms))}ms`;
}

/** Formats how long ago a time was. The clocks of two machines differ by some seconds. */
function age(ms: number): string {
  return ms < 1000 ? 'now' : `${duration(ms)} ago`;
}

/** Formats bytes in the largest unit in which the number is at least 1. */
function size(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const number = bytes / 1024 ** power;
  return `${power > 0 && number < 10 ? number.toFixed(1) : Math.floor(number)}${'BKMGT'[power]}`;
}
