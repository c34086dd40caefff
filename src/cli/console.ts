import type { Command } from '@commander-js/extra-typings';

/** `agent3 console`. */
export function defineConsole(command: Command): void {
  command
    .command('obey', { hidden: true })
    .description('Obey the orders that the console has left for root (its path unit runs this)')
    .action(async () => (await import('./console-obey.ts')).obeyConsole());
}
