import { Command, CommanderError } from '@commander-js/extra-typings';
import { OutputFault } from '../client/faults.ts';
import { StartupFault } from '../server/startup-fault.ts';
import { commit, version } from '../version.ts';
import { endOutput, type OutputMode, watchOutput } from './broken-pipe.ts';
import { EXIT_EXEC, EXIT_USAGE, fail } from './exit.ts';

/** A subcommand: what the help shows of it, and its definition, which is loaded only when it is called. */
interface CommandEntry {
  readonly summary: string;
  readonly output?: OutputMode;
  /** Gives the function that adds arguments, options and actions to a command of this name. */
  load(): Promise<(command: Command) => void>;
}

/** All subcommands by their heading in the help, in its order; those of no heading are for Agent3 itself and hidden. */
const GROUPS: Readonly<Record<string, Readonly<Record<string, CommandEntry>>>> = {
  'Set up a server:': {
    install: {
      summary: 'Install the agent as a service of this server, or upgrade it',
      output: 'ignore',
      load: async () => (await import('./install.ts')).defineInstall,
    },
    status: {
      summary: 'Show what is installed and whether it answers',
      load: async () => (await import('./install.ts')).defineStatus,
    },
    uninstall: {
      summary: 'Remove the service; settings, sessions and logs stay',
      output: 'ignore',
      load: async () => (await import('./install.ts')).defineUninstall,
    },
    doctor: {
      summary: 'Check the installation and say how to repair it',
      load: async () => (await import('./doctor.ts')).defineDoctor,
    },
    watchdog: {
      summary: 'Check that the agent answers, and restart it if it does not',
      output: 'ignore',
      load: async () => (await import('./watchdog.ts')).defineWatchdog,
    },
  },
  'Run an agent:': {
    serve: {
      summary: 'Run the agent until SIGTERM',
      output: 'descriptor',
      load: async () => (await import('./serve.ts')).defineServe,
    },
    mcp: {
      summary: 'Speak MCP over standard input and output, for a client on this machine that starts it',
      output: 'descriptor',
      load: async () => (await import('./serve.ts')).defineMcp,
    },
    gpt: {
      summary: 'Print what to paste into the GPT builder of ChatGPT',
      load: async () => (await import('./gpt.ts')).defineGpt,
    },
  },
  'Control what clients may do:': {
    connect: {
      summary: 'Let ChatGPT, Claude or another MCP client sign in',
      // It ends its grant itself when nobody reads it.
      output: 'ignore',
      load: async () => (await import('./connect.ts')).defineConnect,
    },
    token: {
      summary: 'Create, list, rotate and revoke tokens',
      load: async () => (await import('./token.ts')).defineToken,
    },
    profile: {
      summary: 'List, check and explain profiles: what a token may do',
      load: async () => (await import('./profile.ts')).defineProfile,
    },
    approval: {
      summary: 'Show, approve and deny the commands that wait for approval',
      load: async () => (await import('./approval.ts')).defineApproval,
    },
    audit: {
      summary: 'Show, search and verify the audit record',
      output: 'descriptor',
      load: async () => (await import('./audit.ts')).defineAudit,
    },
  },
  'Call an agent:': {
    exec: {
      summary: 'Run a command on an agent: its output as it comes, its exit code as this one',
      output: 'descriptor',
      load: async () => (await import('./exec.ts')).defineExec,
    },
    session: {
      summary: 'List, read, stop and close the sessions of an agent',
      output: 'descriptor',
      load: async () => (await import('./session.ts')).defineSession,
    },
    completion: {
      summary: 'Print the completion script for a shell',
      load: async () => (await import('./completion.ts')).defineCompletion,
    },
  },
  '': {
    __complete: {
      summary: 'Print what may follow words of a command line (the completion scripts run this)',
      load: async () => (await import('./completion.ts')).defineComplete,
    },
    'match-lines': {
      summary: 'Search a file as the JSON on standard input says (the agent runs this for read_session with match)',
      output: 'descriptor',
      load: async () => (await import('./match-lines.ts')).defineMatchLines,
    },
    'try-sandboxes': {
      summary: 'Try the profiles in the JSON on standard input (agent3 doctor and agent3 profile check run this)',
      load: async () => (await import('./profile.ts')).defineTrySandboxes,
    },
  },
};

/** All subcommands, in the order of the help. */
export const COMMANDS = Object.entries(GROUPS).flatMap(([group, entries]) =>
  Object.entries(entries).map(([name, entry]) => ({ name, group, ...entry })),
);

/** Runs the subcommand that `argv` names; prints the help when it names none. Exits with 2 when the command line is wrong. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = new Command('agent3')
    .description('A shell on this server for an AI model: limits held, nothing lost.')
    .version(`agent3 ${version} (${commit})`, '--version', 'Print the version and the commit')
    .helpOption('-h, --help', 'Show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'agent3: ')) })
    .exitOverride();
  const called = COMMANDS.find(({ name }) => name === argv[0]);
  watchOutput(program, called?.output ?? 'stream');
  // `agent3 __complete -- session read …` needs the definition of `session` as well.
  const needed = new Set([argv[0], ...(argv[0] === '__complete' ? [argv[2]] : [])]);
  for (const { name, summary, group, load } of COMMANDS) {
    const command = program
      .command(name, { hidden: group === '' })
      .description(summary)
      .helpCommand(false);
    if (group !== '') command.helpGroup(group);
    if (needed.has(name)) (await load())(command);
  }
  try {
    await program.parseAsync(argv.length === 0 ? ['--help'] : [...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof OutputFault) endOutput(error);
    if (error instanceof StartupFault) fail(error.exitCode, ...error.reasons);
    if (!(error instanceof CommanderError)) throw error;
    // Help: it ends by itself, once it is written.
    if (error.exitCode === 0) return;
    process.exit(called?.name === 'exec' ? EXIT_EXEC : EXIT_USAGE);
  }
}
