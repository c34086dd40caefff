import type { Command } from 'commander';

/** `agent3 approvals`: the commands that wait for a person. */
export function addApprovals(program: Command): void {
  const approvals = program
    .command('approvals')
    .description('The commands that wait for a person, and what that person says')
    .option('--json', 'as JSON, with everything that would run')
    .addHelpText(
      'after',
      `
Only root decides: a command of the agent must not approve another. approve shows the command once more and asks;
a script says with --digest what somebody has seen. An id may be cut short.

Examples:
  sudo agent3 approvals
  sudo agent3 approvals approve 01a20ced-f233
  sudo agent3 approvals approve 01a20ced-f233 --digest 9f86d081884c7d65…
  sudo agent3 approvals deny 01a20ced-f233 --why 'not before the backup'
  sudo agent3 approvals watch`,
    )
    .action(async (options) => (await import('./approvals-action.ts')).listApprovals(options));
  approvals
    .command('list')
    .description('The commands that wait')
    .option('--json', 'as JSON, with everything that would run')
    .action(async (_, command: Command) =>
      (await import('./approvals-action.ts')).listApprovals(command.optsWithGlobals()),
    );
  approvals
    .command('approve <id>')
    .description('Have it run, as it is shown, once')
    .option('--digest <hex>', 'of the request as it was listed: without a question, and nothing else is approved')
    .action(async (id: string, options) => (await import('./approvals-action.ts')).approve(id, options));
  approvals
    .command('deny <id>')
    .description('Have it not run')
    .option('--why <text>', 'what the model is told', '')
    .action(async (id: string, options) => (await import('./approvals-action.ts')).deny(id, options));
  approvals
    .command('watch')
    .description('Show each that comes, with a bell, until Ctrl-C')
    .action(async () => (await import('./approvals-action.ts')).watchApprovals());
}
