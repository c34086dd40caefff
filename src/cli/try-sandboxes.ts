import type { Command } from 'commander';

/** The command line of a try of sandboxes; doctor starts it in a unit like that of the agent. */
export function addTrySandboxes(program: Command): void {
  program
    .command('try-sandboxes', { hidden: true })
    .description('Try the profiles in the JSON on standard input (agent3 doctor and agent3 profile check run this)')
    .action(async () => (await import('./try-sandboxes-action.ts')).trySandboxes());
}
