import { isatty } from 'node:tty';
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import type { AgentClient } from '../client/agent-client.ts';
import { writeAll } from '../client/descriptor.ts';
import { ClientFault, OutputClosed } from '../client/faults.ts';
import { mayPassOnceReached, persist } from '../client/patience.ts';
import { listSessions, readStream } from '../client/sessions.ts';
import { visibleJson } from '../lib/visible.ts';
import { SIGNALS } from '../process/signals.ts';
import { SESSION_STATUSES } from '../sessions/record.ts';
import { processEnvironment } from '../settings/config.ts';
import { endOutput } from './broken-pipe.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { REMOTE_HELP, type RemoteOptions, remoteClient, withRemote } from './remote.ts';
import { oneLine, sessionsTabbed, sessionsTable } from './session-table.ts';

/** `agent3 session`: the sessions of an agent. */
export function defineSession(session: Command): void {
  session.addHelpText('after', EXAMPLES + REMOTE_HELP);
  withRemote(
    session.command('list').description('List sessions, newest first: a table on a terminal, else fields between tabs'),
  )
    .addOption(new Option('--status <status>', 'only sessions in this state').choices(SESSION_STATUSES))
    .option('--limit <count>', 'at most this many', parseCount, 20)
    .option('--all', 'list all of them')
    .option('--json', 'print them as JSON')
    .addHelpText('after', COLUMNS)
    .action(printSessions);
  withRemote(session.command('read <session>').description('Print what a command wrote'))
    .option('--stderr', 'its standard error instead of its standard output')
    .option('--offset <bytes>', 'where to begin; negative: so many before the end', parseBytes, 0)
    .option('-f, --follow', 'continue until the command has ended')
    .option('--raw', 'exact bytes also on a terminal, with the escape sequences of a session with --tty')
    .action(printStream);
  withRemote(
    session.command('stop <session>').description('Send a signal to every process of a session; its output stays'),
  )
    .addOption(new Option('--signal <name>', 'signal, without its SIG').choices(SIGNALS).default('TERM' as const))
    .action(stopSession);
  withRemote(
    session.command('close <session...>').description('Stop what runs of sessions, and remove their output for good'),
  ).action(closeSessions);
}

const EXAMPLES = `
Examples:
  agent3 session list --status running
  agent3 session list | awk -F '\\t' '$3 != 0 { print $1, $8 }'
  agent3 session read --follow 01a209be-73a0-77a4-b108-794b51daa6b1
  agent3 session stop --signal KILL 01a209be-73a0-77a4-b108-794b51daa6b1
`;

const COLUMNS = `
Fields without a terminal: session, status, exit code, start, milliseconds, bytes of stdout, of stderr, command.`;

function parseCount(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('It has to be a number from 1.');
}

function parseBytes(text: string): number {
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It has to be a number of bytes.');
}

interface ListOptions extends RemoteOptions {
  readonly status?: string | undefined;
  readonly limit: number;
  readonly all?: true | undefined;
  readonly json?: true | undefined;
}

async function printSessions(options: ListOptions): Promise<void> {
  await withClient(options, async (client) => {
    const limit = options.all === true ? Number.MAX_SAFE_INTEGER : options.limit;
    const sessions = await listSessions(client, limit, options.status);
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

async function printStream(session: string, options: ReadOptions): Promise<void> {
  await withClient(options, async (client) => {
    const stream = options.stderr === true ? 'stderr' : 'stdout';
    const raw = options.raw === true || !isatty(1);
    const reading = { stream, offset: options.offset, follow: options.follow === true, raw } as const;
    for await (const bytes of readStream(client, session, reading)) await writeAll(1, bytes);
  });
}

async function stopSession(session: string, options: RemoteOptions & { readonly signal: string }): Promise<void> {
  await withClient(options, async (client) => {
    interface Killed {
      readonly status: string;
      readonly signalled: number;
    }
    const args = { session, signal: options.signal };
    const { status, signalled } = await persist(() => client.call<Killed>('kill_session', args), mayPassOnceReached());
    await print(
      `${session}\t${oneLine(status)}\t${signalled} ${signalled === 1 ? 'process' : 'processes'} signalled\n`,
    );
  });
}

async function closeSessions(ids: readonly string[], options: RemoteOptions): Promise<void> {
  await withClient(options, async (client) => {
    for (const session of ids) {
      await persist(() => client.call('close_session', { session }), mayPassOnceReached());
      await print(`${session}\tclosed\n`);
    }
  });
}

/** Runs `work` with the agent that the options name; exits with 1, and the reason, when that fails. */
async function withClient(options: RemoteOptions, work: (client: AgentClient) => Promise<void>): Promise<void> {
  try {
    await work(remoteClient(options, (fault) => fail(EXIT_USAGE, fault)));
  } catch (error) {
    // The reader had enough: `agent3 session read … | head`.
    if (error instanceof OutputClosed) endOutput(error);
    if (error instanceof ClientFault) fail(EXIT_FAILURE, error.message);
    throw error;
  }
}

function print(text: string): Promise<void> {
  return writeAll(1, Buffer.from(text));
}
