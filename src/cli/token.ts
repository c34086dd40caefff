import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';

/** 256 bits: as many as the SHA-256 that it is compared by. */
const TOKEN_BYTES = 32;

export function addToken(program: Command): void {
  program
    .command('token')
    .description('Make a new token and print it')
    .addHelpText('after', '\nExample: AGENT3_API_TOKEN=$(agent3 token) agent3 serve')
    .action(() => {
      process.stdout.write(`${newToken()}\n`);
    });
}

/** A token of 43 characters that need no quoting anywhere. */
export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}
