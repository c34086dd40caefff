import { randomBytes } from 'node:crypto';
import { type Command, InvalidArgumentError } from '@commander-js/extra-typings';
import { hashToken, RESERVED, rotateRecord, withoutToken } from '../access/token-file.ts';
import { networkFault } from '../lib/addresses.ts';
import { parseDuration } from '../lib/duration.ts';
import { newToken } from '../lib/token.ts';
import { visibleLine } from '../lib/visible.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { changeHere, fileOption, requireName, requireProfile, type TokenOptions, warnOfSandbox } from './token-here.ts';
import { listTokens } from './token-list.ts';

/** `agent3 token`: the tokens of this server. */
export function defineToken(token: Command): void {
  token.addHelpText(
    'after',
    `
Examples:
  AGENT3_API_TOKEN=$(agent3 token new) agent3 serve
  agent3 token create reports --profile readonly --expires 30d --ip 203.0.113.0/24
  agent3 token rotate reports --overlap 1h`,
  );
  token
    .command('new')
    .description('Print a new token for AGENT3_API_TOKEN, without storing it')
    .action(() => {
      process.stdout.write(`${newToken()}\n`);
    });
  token
    .command('create <name>')
    .description('Create a token with a name and a profile, and print it once')
    .usage('<name> --profile <name> [options]')
    .option(
      '--profile <profile>',
      'what the token may do (required): full, readonly, or another of agent3 profile list',
    )
    .option('--expires <time>', 'lifetime: 12h, 30d, 8w', parseTime)
    .option('--ip <network>', 'address or network that may use the token; may be repeated', addNetwork, [])
    .addOption(fileOption())
    .action(createToken);
  token
    .command('list')
    .description('List the tokens, without their secrets')
    .option('--json', 'print JSON')
    .addOption(fileOption())
    .action(listTokens);
  token
    .command('rotate <name>')
    .description('Replace a token by a new one, and print the new one once')
    .option('--overlap <time>', 'how long the old token still works; 0s ends it at once (default: 24h)', parseOverlap)
    .option('--expires <time>', 'lifetime of the new token (default: to the end of the old one)', parseTime)
    .addOption(fileOption())
    .action(rotateToken);
  token.command('revoke <name>').description('End a token now').addOption(fileOption()).action(revokeToken);
}

/** Parses a duration of the command line, in milliseconds. */
export function parseTime(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('A time is a number followed by s, m, h, d or w: 30d.');
  return ms;
}

/** Parses an overlap; 0 is for a token that has leaked. */
function parseOverlap(text: string): number {
  return /^0+[smhdw]?$/.test(text) ? 0 : parseTime(text);
}

function addNetwork(text: string, before: readonly string[]): string[] {
  const fault = text.trim() === '' ? 'It is empty.' : networkFault(text);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return [...before, text.trim()];
}

/** Creates a token of this name and prints it on standard output. */
async function createToken(
  name: string,
  options: TokenOptions & {
    readonly profile?: string | undefined;
    readonly expires?: number | undefined;
    readonly ip: readonly string[];
  },
): Promise<void> {
  requireName(name);
  const profile = requireProfile(options.profile);
  const secret = newToken();
  changeHere(options, (tokens) => {
    if (tokens.some((token) => token.name === name)) {
      fail(EXIT_FAILURE, `the token ${name} exists already. To replace it: agent3 token rotate ${name}`);
    }
    const now = Date.now();
    return [
      ...tokens,
      {
        name,
        id: randomBytes(4).toString('hex'),
        profile: profile.name,
        sha256: hashToken(secret),
        created_at: now,
        expires_at: options.expires === undefined ? null : now + options.expires,
        ips: [...options.ip],
      },
    ];
  });
  show(name, secret);
  await warnOfSandbox(profile);
}

/** Ends a token: the agent refuses it within half a second. */
function revokeToken(name: string, options: TokenOptions): void {
  requireOther(name);
  const isInForce = changeHere(options, (tokens) => withoutToken(tokens, name));
  if (isInForce) process.stderr.write(`token ${name} is revoked\n`);
}

/** Exits when `name` is the token of the settings, which is not in the file. */
function requireOther(name: string): void {
  if (name !== RESERVED) return;
  fail(EXIT_USAGE, 'this token is AGENT3_API_TOKEN of the settings: change it there, and restart the agent');
}

const OVERLAP_MS = 24 * 3_600_000;

/** Replaces a token by a new one. The old one works for `overlap` ms more, but not longer than its lifetime. */
function rotateToken(
  name: string,
  options: TokenOptions & { readonly overlap?: number | undefined; readonly expires?: number | undefined },
): void {
  requireOther(name);
  const secret = newToken();
  const now = Date.now();
  let until = 0;
  changeHere(options, (tokens) => {
    const token = tokens.find((one) => one.name === name);
    if (token === undefined) fail(EXIT_FAILURE, unknown(name));
    if (token.grant !== undefined)
      fail(
        EXIT_FAILURE,
        `${name} is a grant, whose tokens are replaced every hour. To connect its client again: agent3 token revoke ${name}, then agent3 connect`,
      );
    const end = token.expires_at ?? Number.POSITIVE_INFINITY;
    if (end <= now && options.expires === undefined) {
      const ended = new Date(end).toISOString();
      fail(EXIT_FAILURE, `the token ${name} expired at ${ended}. Give the lifetime of the new one: --expires 30d`);
    }
    until = Math.min(now + (options.overlap ?? OVERLAP_MS), end);
    const expiresAt = options.expires === undefined ? undefined : now + options.expires;
    const next = rotateRecord(token, { sha256: hashToken(secret), now, until, expiresAt });
    return tokens.map((one) => (one === token ? next : one));
  });
  show(name, secret);
  process.stderr.write(
    until > now ? `the old token works until ${new Date(until).toISOString()}\n` : 'the old token no longer works\n',
  );
}

/** Prints a new token on standard output, and its name on standard error. */
function show(name: string, secret: string): void {
  process.stdout.write(`${secret}\n`);
  process.stderr.write(`token ${name}, shown only once\n`);
}

function unknown(name: string): string {
  return `there is no token ${visibleLine(name.slice(0, 64))}. To see them: agent3 token list`;
}
