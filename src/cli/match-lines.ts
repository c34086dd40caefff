import type { Command } from 'commander';

/** The command line of a search in a session's output; the agent starts it for itself. */
export function addMatchLines(program: Command): void {
  program
    .command('match-lines', { hidden: true })
    .description('Search a file as the JSON on standard input says (the agent runs this for read_session with match)')
    .action(async () => (await import('./match-lines-action.ts')).searchFile());
}
