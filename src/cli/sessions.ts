import { type Command, InvalidArgumentError, Option } from 'commander';
import { SIGNALS } from '../process/signals.ts';
import { SESSION_STATUSES } from '../sessions/record.ts';
import { REMOTE_HELP, type RemoteOptions, withRemote } from './remote.ts';
import type { KillOptions, ListOptions, ReadOptions } from './sessions-arguments.ts';

export function addSessions(program: Command): void {
  const sessions = program
    .command('sessions')
    .description('List, read, stop and remove the sessions of a remote agent')
    .addHelpText('after', EXAMPLES + REMOTE_HELP);
  addLs(sessions);
  addRead(sessions);
  withRemote(sessions.command('kill'))
    .description('Send a signal to every process of a session; its output stays')
    .argument('<session>', 'id of the session')
    .addOption(new Option('--signal <name>', 'signal, without its SIG').choices(SIGNALS).default('TERM'))
    .action(async (session: string, options: KillOptions) => {
      await (await import('./sessions-action.ts')).killSession(session, options);
    });
  withRemote(sessions.command('close'))
    .description('Stop what runs of sessions, and remove their output for good')
    .argument('<session...>', 'ids of the sessions')
    .action(async (ids: readonly string[], options: RemoteOptions) => {
      await (await import('./sessions-action.ts')).closeSessions(ids, options);
    });
}

function addLs(sessions: Command): void {
  withRemote(sessions.command('ls'))
    .description('List sessions, newest first: a table on a terminal, else tab-separated')
    .addOption(new Option('--status <status>', 'only sessions in this state').choices(SESSION_STATUSES))
    .option('--limit <count>', 'at most so many', count, 20)
    .option('--all', 'all of them')
    .option('--json', 'as JSON')
    .addHelpText('after', COLUMNS)
    .action(async (options: ListOptions) => {
      await (await import('./sessions-action.ts')).printSessions(options);
    });
}

function addRead(sessions: Command): void {
  withRemote(sessions.command('read'))
    .description('Print what a command wrote')
    .argument('<session>', 'id of the session')
    .option('--stderr', 'its standard error instead of its standard output')
    .option('--offset <bytes>', 'where to begin; negative: so many before the end', integer, 0)
    .option('-f, --follow', 'go on until the command has ended')
    .option('--raw', 'exact bytes also on a terminal, with the escape sequences of a session with --tty')
    .action(async (session: string, options: ReadOptions) => {
      await (await import('./sessions-action.ts')).printStream(session, options);
    });
}

const EXAMPLES = `
Examples:
  agent3 sessions ls --status running
  agent3 sessions ls | awk -F '\\t' '$3 != 0 { print $1, $8 }'
  agent3 sessions read --follow 01a209be-73a0-77a4-b108-794b51daa6b1
  agent3 sessions kill --signal KILL 01a209be-73a0-77a4-b108-794b51daa6b1
`;

const COLUMNS = `
Columns where it is no terminal: session, status, exit code, start, milliseconds, bytes of stdout, of stderr, command.`;

function count(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('It has to be a number from 1.');
}

function integer(text: string): number {
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It has to be a number of bytes.');
}
