import { isatty } from 'node:tty';
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import type { AgentClient } from '../client/agent-client.ts';
import { Attendance, leave, note } from '../client/attend.ts';
import { Backoff } from '../client/backoff.ts';
import { writeAll } from '../client/descriptor.ts';
import { ClientFault, GivenUp, OutputClosed } from '../client/faults.ts';
import { type Input, type LocalTerminal, openTerminal, readInput } from '../client/input.ts';
import { Interrupts } from '../client/interrupts.ts';
import { type Order, type Started, startCommand } from '../client/sessions.ts';
import { processEnvironment } from '../settings/environment.ts';
import { execOnMany } from './exec-many.ts';
import { EXIT_EXEC, endOutput, fail } from './exit.ts';
import { numberOption } from './number-option.ts';
import { REMOTE_HELP, remoteClient, withRemote } from './remote.ts';

/** `agent3 exec`. Its options come before the first word of the command. */
export function defineExec(command: Command): void {
  withExecOptions(command).action((words, options) => runExec(words.join(' '), options));
}

type ExecOptions = ReturnType<ReturnType<typeof withExecOptions>['opts']>;

function withExecOptions(command: Command) {
  return withRemote(command.usage('[options] <command...>').passThroughOptions())
    .argument('<command...>', 'the command; several words are joined by spaces')
    .option('--timeout <seconds>', 'time limit (default: the longest that the agent allows)', parseSeconds)
    .option('--cwd <path>', 'working directory of the command, on the agent')
    .option('--env <assignment>', 'NAME=value for the command; may be repeated', addAssignment)
    .option('--key <key>', 'make a repeat safe: the same key follows the first command instead of running it again')
    .option('-n, --no-stdin', 'pass no standard input')
    .addOption(new Option('-d, --detach', 'print the session at once, and leave the command running').conflicts('tty'))
    .option('-t, --tty', 'run the command in a terminal')
    .option('--server <name>', 'server of a fleet, or several as web[1-3]; may be repeated', addName)
    .addOption(
      new Option('--select <labels>', 'servers with these labels, such as role=web,env=prod').conflicts('server'),
    )
    .addHelpText('after', EXAMPLES + REMOTE_HELP);
}

function addName(name: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, name];
}

const EXAMPLES = `
Examples:
  agent3 exec 'df -h / && free -m'
  agent3 exec --timeout 1800 'apt-get update && apt-get -y upgrade'
  agent3 exec --select role=web 'uname -r'
  agent3 exec 'cat > /etc/motd' < motd
  tar c site | agent3 exec 'tar x -C /srv'
  agent3 exec -t 'sudo passwd bob'
  session=$(agent3 exec --detach 'make -C /srv/app'); agent3 session read --follow "$session"

Options end at the first word of the command, as with ssh: agent3 exec --timeout 5 tail -n 1 /etc/motd
Standard input is passed on unless it is a terminal. Ctrl-C stops the command.
Exit code: that of the command, 124 at its time limit, 255 when exec itself failed.
`;

const parseSeconds = numberOption(/^\d+(\.\d+)?$/, Number.MIN_VALUE, 1e9, 'It must be a number of seconds.');

function addAssignment(text: string, earlier: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must have the form NAME=value.');
  return { ...earlier, [text.slice(0, at)]: text.slice(at + 1) };
}

async function runExec(cmd: string, options: ExecOptions): Promise<never> {
  const client = remoteClient(options, EXIT_EXEC);
  const interrupts = new Interrupts();
  try {
    process.exit(await execute(client, cmd, options, interrupts));
  } catch (error) {
    if (error instanceof OutputClosed) endOutput(error);
    if (error instanceof GivenUp) process.exit(interrupts.exitCode ?? EXIT_EXEC);
    if (error instanceof ClientFault) fail(EXIT_EXEC, error.message);
    throw error;
  }
}

async function execute(
  client: AgentClient,
  cmd: string,
  options: ExecOptions,
  interrupts: Interrupts,
): Promise<number> {
  using terminal =
    options.tty === true ? openTerminal(processEnvironment(), (fault) => fail(EXIT_EXEC, fault)) : undefined;
  const input = terminal === undefined ? await standardInput(options, interrupts) : terminal.input;
  if (isForMany(options)) return execOnMany(client, orderForMany(cmd, options, input), interrupts);
  const started = await start(client, orderOf(cmd, options, input, terminal), interrupts);
  if (options.detach === true) {
    await writeAll(1, Buffer.from(`${started.session}\n`));
    return 0;
  }
  // Awaited here, because the terminal is restored afterwards.
  return (await new Attendance(client, started, interrupts).untilEnd(input)) ?? EXIT_EXEC;
}

async function standardInput({ stdin, detach }: ExecOptions, interrupts: Interrupts): Promise<Input> {
  if (!stdin || isatty(0)) return { kind: 'none' };
  const givenUp = new Promise<never>((_, reject) => {
    interrupts.signal.addEventListener('abort', () => reject(new GivenUp('given up')));
  });
  return Promise.race([readInput(Bun.stdin.stream(), detach === true), givenUp]);
}

function orderOf(cmd: string, options: ExecOptions, input: Input, terminal: LocalTerminal | undefined): Order {
  const { cwd, env, timeout, key = crypto.randomUUID(), server = [] } = options;
  return {
    ...(server[0] !== undefined && { server: server[0] }),
    cmd,
    key,
    ...(cwd !== undefined && { cwd }),
    ...(timeout !== undefined && { timeout }),
    ...(input.kind === 'whole' && { stdin: input.text }),
    ...(input.kind === 'pieces' && { interactive: true }),
    ...(env !== undefined && { env }),
    ...(terminal !== undefined && { ...terminal.order, env: { ...terminal.order.env, ...env } }),
  };
}

/** Returns true when the command is for several servers, which answer together. */
function isForMany({ server = [], select }: ExecOptions): boolean {
  return select !== undefined || server.length > 1 || server.some((name) => name.includes('['));
}

/** Returns the arguments of `run_on`. */
function orderForMany(cmd: string, options: ExecOptions, input: Input): Readonly<Record<string, unknown>> {
  const { server, select, cwd, env, timeout, key = crypto.randomUUID(), tty, detach } = options;
  if (tty === true || detach === true || env !== undefined)
    fail(EXIT_EXEC, '--tty, --detach and --env do not work with several servers. Nothing was run.');
  if (input.kind === 'pieces')
    fail(
      EXIT_EXEC,
      'for several servers, standard input must be text of at most 64 KiB. To pass none: -n. Nothing was run.',
    );
  return { cmd, servers: server, select, cwd, timeout, key, ...(input.kind === 'whole' && { stdin: input.text }) };
}

async function start(client: AgentClient, order: Order, interrupts: Interrupts): Promise<Started> {
  let hasWarned = false;
  const backoff = new Backoff(interrupts.signal, (fault, seconds) => {
    if (!hasWarned) note(`${fault.message} Trying again in ${seconds} s, for up to a minute.`);
    hasWarned = true;
  });
  interrupts.listen((_, count) => {
    // The first signal stops the command as soon as its session is known.
    const where = order.server === undefined ? '' : ` --server ${order.server}`;
    if (count > 1) leave(interrupts, `the command may have started. To check: agent3 session list${where}`);
  });
  return startCommand(client, order, backoff);
}
