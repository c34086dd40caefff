import { Command, CommanderError } from '@commander-js/extra-typings';
import { OutputFault } from '../client/faults.ts';
import { StartupFault } from '../server/startup-fault.ts';
import { commit, version } from '../version.ts';
import { EXIT_EXEC, EXIT_USAGE, endOutput, fail, type OutputMode, watchOutput } from './exit.ts';

/** What the help shows of the subcommands, by its headings and in its order; those of no heading are hidden. */
const SUMMARIES: Readonly<Record<string, Partial<Record<keyof typeof DEFINITIONS, string>>>> = {
  'Set up a server:': {
    install: 'Install the agent as a service of this server, or upgrade it',
    status: 'Show what is installed and whether it answers',
    uninstall: 'Remove the service; settings, sessions and logs stay',
    doctor: 'Check the installation and say how to repair it',
    watchdog: 'Check that the agent answers, and restart it if it does not',
  },
  'Run an agent:': {
    serve: 'Run the agent until SIGTERM',
    mcp: 'Speak MCP over standard input and output, for a client on this machine that starts it',
    gpt: 'Print what to paste into the GPT builder of ChatGPT',
  },
  'Control what clients may do:': {
    connect: 'Let ChatGPT, Claude or another MCP client sign in',
    token: 'Create, list, rotate and revoke tokens',
    profile: 'List, check and explain profiles: what a token may do',
    approval: 'Show, approve and deny the commands that wait for approval',
    console: 'Link phones to the page of the owner, list and remove their passkeys',
    freeze: 'Stop everything that clients run, and start nothing more',
    thaw: 'Let everything continue after a freeze',
    audit: 'Show, search and verify the audit record',
  },
  'Many servers:': {
    fleet: 'Make this agent the hub of many servers, and invite, list and remove them',
    join: 'Join a hub: it may then run calls here, as far as a profile allows',
    leave: 'Leave the hub',
  },
  'Call an agent:': {
    exec: 'Run a command on an agent: its output as it comes, its exit code as this one',
    cp: 'Copy files to an agent and back',
    session: 'List, read, stop and close the sessions of an agent',
    completion: 'Print the completion script for a shell',
  },
  '': {
    __complete: 'Print what may follow words of a command line (the completion scripts run this)',
    'match-lines': 'Search a file as the JSON on standard input says (the agent runs this for read_session with match)',
    'match-text': 'Search texts as lines of JSON on standard input say (the agent runs this for shell with dialog)',
    'try-sandboxes': 'Try the profiles in the JSON on standard input (agent3 doctor and agent3 profile check run this)',
  },
};

/** What adds arguments, options and actions to a subcommand; it is loaded only when that is called. */
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

/** What they do when their output cannot be written; the others end. `connect` ends its grant itself when nobody reads it. */
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
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'agent3: ')) })
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
    // Help: it ends by itself, once it is written.
    if (error.exitCode === 0) return;
    process.exit(called?.name === 'exec' ? EXIT_EXEC : EXIT_USAGE);
  }
}
