import { Command, CommanderError } from 'commander';
import { OutputFault } from '../client/faults.ts';
import { StartupFault } from '../server/startup-fault.ts';
import { commit, version } from '../version.ts';
import { addApprovals } from './approvals.ts';
import { addAudit } from './audit.ts';
import { endOutput, endWithReader } from './broken-pipe.ts';
import { addCompletion } from './completion.ts';
import { addDoctor } from './doctor.ts';
import { addExec } from './exec.ts';
import { EXIT_EXEC, EXIT_USAGE, fail } from './exit.ts';
import { addGpt } from './gpt.ts';
import { addInstall } from './install.ts';
import { addMatchLines } from './match-lines.ts';
import { addMcp } from './mcp.ts';
import { addProfile } from './profile.ts';
import { addServe } from './serve.ts';
import { addSessions } from './sessions.ts';
import { addToken } from './token.ts';
import { addTrySandboxes } from './try-sandboxes.ts';
import { addWatchdog } from './watchdog.ts';

/** Runs the subcommand that `argv` names; prints the help when it names none. Ends the process with 2 when the command line is wrong. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = new Command('agent3')
    .description('A shell on this server for an AI model: limits held, nothing lost.')
    .version(`agent3 ${version} (${commit})`, '--version', 'Print the version and the commit')
    .helpOption('-h, --help', 'Show this help')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'agent3: ')) })
    .exitOverride();
  addServe(program);
  addToken(program);
  addProfile(program);
  addApprovals(program);
  addAudit(program);
  addInstall(program);
  addWatchdog(program);
  addDoctor(program);
  addGpt(program);
  addExec(program);
  addSessions(program);
  addCompletion(program);
  addMatchLines(program);
  addTrySandboxes(program);
  addMcp(program);
  endWithReader(program);
  for (const command of program.commands) inherit(command, program);
  try {
    await program.parseAsync(argv.length === 0 ? ['--help'] : [...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof OutputFault) endOutput(error);
    if (error instanceof StartupFault) fail(error.exitCode, ...error.reasons);
    if (!(error instanceof CommanderError)) throw error;
    // Help: it ends by itself, once it is written.
    if (error.exitCode === 0) return;
    process.exit(argv[0] === 'exec' ? EXIT_EXEC : EXIT_USAGE);
  }
}

/** Commander hands settings down only to commands that are made later. */
function inherit(command: Command, parent: Command): void {
  command
    .allowExcessArguments(false)
    .helpOption('-h, --help', 'Show this help')
    .helpCommand(false)
    .copyInheritedSettings(parent);
  for (const inner of command.commands) inherit(inner, command);
}
