import type { Command } from 'commander';
import { newToken } from '../core/token.ts';

export function addToken(program: Command): void {
  program
    .command('token')
    .description('Make a new token and print it')
    .addHelpText('after', '\nExample: AGENT3_API_TOKEN=$(agent3 token) agent3 serve')
    .action(() => {
      process.stdout.write(`${newToken()}\n`);
    });
}
