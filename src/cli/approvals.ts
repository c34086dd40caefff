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
An id may be cut short. Only root decides: a command of the agent must not approve another.

Examples:
  sudo agent3 approvals
  sudo agent3 approvals approve 01a2
  sudo agent3 approvals deny 01a2 --why 'not before the backup'
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
    .action(async (id: string) => (await import('./approvals-action.ts')).decideOn(id, 'approve', ''));
  approvals
    .command('deny <id>')
    .description('Have it not run')
    .option('--why <text>', 'what the model is told', '')
    .action(async (id: string, { why }) => (await import('./approvals-action.ts')).decideOn(id, 'deny', why));
  approvals
    .command('watch')
    .description('Show each that comes, with a bell, until Ctrl-C')
    .action(async () => (await import('./approvals-action.ts')).watchApprovals());
}
