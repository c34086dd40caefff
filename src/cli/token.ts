import { type Command, InvalidArgumentError } from 'commander';
import { networkFault } from '../lib/address-list.ts';
import { parseDuration } from '../lib/duration.ts';
import { newToken } from '../lib/token.ts';

/** `agent3 token` and what looks after the tokens of a server. */
export function addToken(program: Command): void {
  const token = program
    .command('token')
    .description('Make a new token and print it; with a subcommand: the tokens of this server')
    .addHelpText(
      'after',
      `
Examples:
  AGENT3_API_TOKEN=$(agent3 token) agent3 serve
  agent3 token create reports --profile readonly --expires 30d --ip 203.0.113.0/24
  agent3 token rotate reports --overlap 1h`,
    )
    .action(() => {
      process.stdout.write(`${newToken()}\n`);
    });
  const file = [
    '--file <path>',
    'file of the tokens (default: AGENT3_TOKENS_FILE, or that of the installed service)',
  ] as const;
  token
    .command('create <name>')
    .description('Make a token and show it, once')
    .usage('<name> --profile <name> [options]')
    .option('--profile <name>', 'what it may do, required: full, readonly, or one of agent3 profile list')
    .option('--expires <time>', 'when it ends: 12h, 30d, 8w', asDuration)
    .option('--ip <network>', 'address or network that it may come from; may be repeated', addNetwork, [])
    .option(...file)
    .action(async (name: string, options) => (await import('./token-action.ts')).createToken(name, options));
  token
    .command('list')
    .description('The tokens, without themselves')
    .option('--json', 'as JSON')
    .option(...file)
    .action(async (options) => (await import('./token-action.ts')).listTokens(options));
  token
    .command('revoke <name>')
    .description('End a token now')
    .option(...file)
    .action(async (name: string, options) => (await import('./token-action.ts')).revokeToken(name, options));
  token
    .command('rotate <name>')
    .description('Make a new one in the place of a token and show it, once; both work for a while')
    .option('--overlap <time>', 'how long the old one still works; 0s: it ends at once (default: 24h)', asOverlap)
    .option('--expires <time>', 'when the new one ends (default: when the old one does)', asDuration)
    .option(...file)
    .action(async (name: string, options) => (await import('./token-action.ts')).rotateToken(name, options));
}

function asDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('A time is a number with s, m, h, d or w behind it: 30d.');
  return ms;
}

/** A token that has leaked is replaced at once. */
function asOverlap(text: string): number {
  return /^0+[smhdw]?$/.test(text) ? 0 : asDuration(text);
}

function addNetwork(text: string, before: readonly string[]): string[] {
  const fault = text.trim() === '' ? 'It is empty.' : networkFault(text);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return [...before, text.trim()];
}
