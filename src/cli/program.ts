import { Command, CommanderError, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { OutputFault } from '../client/faults.ts';
import { StartupFault } from '../server/startup-fault.ts';
import { commit, version } from '../version.ts';
import { EXIT_EXEC, EXIT_USAGE, endOutput, fail, type OutputMode, watchOutput } from './exit.ts';

/** The summaries of the subcommands, by the headings of the help and in its order. Without a heading, a command is hidden. */
const SUMMARIES: Readonly<Record<string, Partial<Record<keyof typeof DEFINITIONS, string>>>> = {
  'Set up a server:': {
    install: 'Install or upgrade the agent as a service of this server',
    status: 'Show what is installed and whether it answers',
    uninstall: 'Remove the service, and keep settings, sessions and logs',
    doctor: 'Check the installation and show how to repair it',
    watchdog: 'Restart the agent if it does not answer',
  },
  'Run an agent:': {
    serve: 'Run the agent until SIGTERM',
    mcp: 'Run an agent for a local MCP client, over standard input and output',
    gpt: 'Print what to paste into the GPT builder of ChatGPT',
  },
  'Control what clients may do:': {
    connect: 'Connect ChatGPT, Claude or another MCP client',
    token: 'Create, list, rotate and revoke tokens',
    profile: 'List, check and explain profiles (what a token may do)',
    approval: 'List, approve and deny commands that wait for approval',
    console: "Link devices to the owner's console, and list or remove their passkeys",
    freeze: 'Pause everything that clients run, and start nothing new',
    thaw: 'Resume everything after a freeze',
    audit: 'Show, search and verify the audit record',
  },
  'Many servers:': {
    fleet: 'Manage many servers through this agent, as their hub',
    join: 'Join a hub, which may then use this server within a profile',
    leave: 'Leave the hub',
  },
  'Call an agent:': {
    exec: 'Run a command on an agent, and exit with its exit code',
    cp: 'Copy files to or from an agent',
    session: 'List, read, stop and close the sessions of an agent',
    completion: 'Print the completion script for a shell',
  },
  '': {
    __complete: 'Print completions of a command line (for the completion scripts)',
    'match-lines': 'Search a file as the JSON on standard input asks (for read_session with match)',
    'match-text': 'Search texts as the lines of JSON on standard input ask (for shell with dialog)',
    'try-sandboxes': 'Try the profiles in the JSON on standard input (for agent3 doctor and agent3 profile check)',
  },
};

/** The functions that define the subcommands. Each is loaded only when its subcommand is called. */
const DEFINITIONS = {
  install: async () => (await import('./install.ts')).defineInstall,
  status: async () => (await import('./install.ts')).defineStatus,
  uninstall: async () => (await import('./install.ts')).defineUninstall,
  doctor: async () => (await import('./doctor.ts')).defineDoctor,
  watchdog: async () => (await import('./watchdog.ts')).defineWatchdog,
  serve: async () => (await import('./serve.ts')).defineServe,
  mcp: async () => (await import('./serve.ts')).defineMcp,
  gpt: async () => (await import('./gpt.ts')).defineGpt,
  connect: async () => (await import('./connect.ts')).defineConnect,
  token: async () => (await import('./token.ts')).defineToken,
  profile: async () => (await import('./profile.ts')).defineProfile,
  approval: async () => (await import('./approval.ts')).defineApproval,
  freeze: async () => (await import('./freeze.ts')).defineFreeze,
  thaw: async () => (await import('./freeze.ts')).defineThaw,
  console: async () => (await import('./console.ts')).defineConsole,
  audit: async () => (await import('./audit.ts')).defineAudit,
  fleet: async () => (await import('./fleet.ts')).defineFleet,
  join: async () => (await import('./join.ts')).defineJoin,
  leave: async () => (await import('./join.ts')).defineLeave,
  exec: async () => (await import('./exec.ts')).defineExec,
  cp: async () => (await import('./cp.ts')).defineCp,
  session: async () => (await import('./session.ts')).defineSession,
  completion: async () => (await import('./completion.ts')).defineCompletion,
  __complete: async () => (await import('./completion.ts')).defineComplete,
  'match-lines': async () => (await import('./match-lines.ts')).defineMatchLines,
  'match-text': async () => (await import('./match-lines.ts')).defineMatchText,
  'try-sandboxes': async () => (await import('./profile.ts')).defineTrySandboxes,
};

/** These continue when their output cannot be written. `connect` ends its grant itself then. */
const IGNORING: readonly string[] = [
  'install',
  'uninstall',
  'watchdog',
  'connect',
  'freeze',
  'thaw',
  'console',
  'fleet',
  'join',
  'leave',
];
const WRITING_TO_DESCRIPTORS: readonly string[] = [
  'serve',
  'mcp',
  'audit',
  'exec',
  'session',
  'match-lines',
  'match-text',
];

/** All subcommands, in the order of the help. */
export const COMMANDS = Object.entries(SUMMARIES).flatMap(([group, summaries]) =>
  Object.entries(summaries).map(([name, summary]) => ({ name, summary, group, output: outputOf(name) })),
);

function outputOf(name: string): OutputMode {
  if (IGNORING.includes(name)) return 'ignore';
  return WRITING_TO_DESCRIPTORS.includes(name) ? 'descriptor' : 'stream';
}

/** Adds arguments, options and actions to the subcommand of this name. */
export async function define(name: string, command: Command): Promise<void> {
  (await DEFINITIONS[name as keyof typeof DEFINITIONS]())(command);
}

/** Runs the subcommand that `argv` names; prints the help when it names none. Exits with 2 when the command line is wrong. */
export async function runProgram(words: readonly string[]): Promise<void> {
  // `agent3 help token create`
  const isHelp = words[0] === 'help';
  const isKnown = words.length === 1 || COMMANDS.some(({ name }) => name === words[1]);
  const argv = isHelp ? [...words.slice(1), ...(isKnown ? ['--help'] : [])] : words;
  const program = new Command('agent3')
    .description('A shell on this server for an AI model: limits held, nothing lost.')
    .version(`agent3 ${version} (${commit})`, '--version', 'Print the version and the commit')
    .helpOption('-h, --help', 'Show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .configureOutput({ outputError: (text, write) => write(describeMistake(text, helpOf(program, argv))) })
    .exitOverride();
  const called = COMMANDS.find(({ name }) => name === argv[0]);
  watchOutput(program, called?.output ?? 'stream');
  // `agent3 __complete -- session read …` needs the definition of `session` as well.
  const needed = new Set([argv[0], ...(argv[0] === '__complete' ? [argv[2]] : [])]);
  for (const { name, summary, group } of COMMANDS) {
    const command = program
      .command(name, { hidden: group === '' })
      .description(summary)
      .helpCommand(false);
    if (group !== '') command.helpGroup(group);
    if (needed.has(name)) await define(name, command);
  }
  try {
    await program.parseAsync(argv.length === 0 ? ['--help'] : [...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof OutputFault) endOutput(error);
    if (error instanceof StartupFault) fail(error.exitCode, ...error.reasons);
    if (!(error instanceof CommanderError)) throw error;
    // The help has been printed.
    if (error.exitCode === 0) return;
    process.exit(called?.name === 'exec' ? EXIT_EXEC : EXIT_USAGE);
  }
}

/** Returns the command line that prints the help of the deepest subcommand in `argv`. */
function helpOf(program: CommandUnknownOpts, argv: readonly string[]): string {
  const names = [program.name()];
  let command: CommandUnknownOpts | undefined = program;
  for (const word of argv) {
    command = command.commands.find((one) => one.name() === word);
    if (command === undefined) break;
    names.push(word);
  }
  return [...names, '--help'].join(' ');
}

/** Commander's words on a mistake, with the help where they do not say what would be right. */
function describeMistake(text: string, help: string): string {
  const words = text.trimEnd().replace(/^error: /, 'agent3: ');
  if (/\(Did you mean|is invalid|--\w+ argument|cannot be used with/.test(words)) return `${words}\n`;
  return `${words.replace(/\.$/, '')}. To see what it takes: ${help}\n`;
}
