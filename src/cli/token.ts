import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { BUILT_IN, type Profile } from '../access/profile.ts';
import {
  changeTokens,
  hashToken,
  readTokens,
  rotateRecord,
  TokenFileFault,
  type TokenRecord,
} from '../access/token-file.ts';
import { machineFaults, unreadable } from '../install/doctor/profile-machine.ts';
import { installedSettings, readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { networkFault } from '../lib/addresses.ts';
import { parseDuration } from '../lib/duration.ts';
import { newToken } from '../lib/token.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { currentAccount } from '../process/environment.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { processEnvironment } from '../settings/config.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { groupOf, ownerOf, profileHere, profilesDirectory, profilesIn, tokensFile } from './here.ts';

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
    .description('Print a new token for AGENT3_API_TOKEN; nothing is kept of it')
    .action(() => {
      process.stdout.write(`${newToken()}\n`);
    });
  token
    .command('create <name>')
    .description('Create a token with a name and a profile, and show it once')
    .usage('<name> --profile <name> [options]')
    .option('--profile <profile>', 'what it may do, required: full, readonly, or one of agent3 profile list')
    .option('--expires <time>', 'when it ends: 12h, 30d, 8w', parseTime)
    .option('--ip <network>', 'address or network that it may come from; may be repeated', addNetwork, [])
    .addOption(fileOption())
    .action(createToken);
  token
    .command('list')
    .description('List the tokens, without their secrets')
    .option('--json', 'print them as JSON')
    .addOption(fileOption())
    .action(listTokens);
  token
    .command('rotate <name>')
    .description('Replace a token by a new one and show that once; both work for a while')
    .option('--overlap <time>', 'how long the old one still works; 0s: it ends at once (default: 24h)', parseOverlap)
    .option('--expires <time>', 'when the new one ends (default: when the old one does)', parseTime)
    .addOption(fileOption())
    .action(rotateToken);
  token.command('revoke <name>').description('End a token now').addOption(fileOption()).action(revokeToken);
}

const fileOption = () =>
  new Option('--file <file>', 'file of the tokens (default: AGENT3_TOKENS_FILE, or that of the installed service)');

/** The option that the subcommands share. */
interface TokenOptions {
  readonly file?: string | undefined;
}

function parseTime(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('A time is a number with s, m, h, d or w behind it: 30d.');
  return ms;
}

/** A token that has leaked is replaced at once. */
function parseOverlap(text: string): number {
  return /^0+[smhdw]?$/.test(text) ? 0 : parseTime(text);
}

function addNetwork(text: string, before: readonly string[]): string[] {
  const fault = text.trim() === '' ? 'It is empty.' : networkFault(text);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return [...before, text.trim()];
}

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
/** The token of the settings has this name. */
const RESERVED = 'default';

/** Creates a token of this name and prints it, on standard output alone. */
async function createToken(
  name: string,
  options: TokenOptions & {
    readonly profile?: string | undefined;
    readonly expires?: number | undefined;
    readonly ip: readonly string[];
  },
): Promise<void> {
  if (!NAME.test(name)) fail(EXIT_USAGE, 'a name has up to 64 small letters, digits, and _ . - between them');
  if (name === RESERVED) fail(EXIT_USAGE, 'the token of the settings (AGENT3_API_TOKEN) has this name; choose another');
  const profile = requireProfile(options.profile);
  const secret = newToken();
  change(options, (tokens) => {
    if (tokens.some((token) => token.name === name)) {
      fail(EXIT_FAILURE, `there is a token ${name}; agent3 token rotate ${name} makes a new one in its place`);
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
  const faults = await machineFaults([profile], readManifest(PATHS.manifest)?.user);
  const fault = faults.get(profile.name);
  if (fault !== undefined) process.stderr.write(`its commands cannot run as it is here: ${faultText(fault)}\n`);
}

/** The profile of this name. Exits with the names of all profiles when it does not exist. */
function requireProfile(name: string | undefined): Profile {
  // These need no file, and are there whatever is wrong with those that have one.
  if (name === 'full' || name === 'readonly') return BUILT_IN[name];
  const directory = profilesDirectory();
  const set = profilesIn(directory);
  const profile = name === undefined ? undefined : profileHere(set, name);
  if (profile !== undefined) return profile;
  if (name === 'workspace') {
    fail(
      EXIT_USAGE,
      `workspace needs a file of its own that extends it and names its directory, such as ${directory ?? PATHS.profiles}/app.toml with the lines extends = "workspace" and directory = "/srv/app"; then --profile app`,
    );
  }
  const what =
    name === undefined
      ? '--profile is required: it says what the token may do'
      : `there is no profile ${visibleLine(name)}`;
  const more =
    directory === undefined
      ? 'for more, set AGENT3_PROFILES_DIR here as for the agent'
      : `for more, see ${directory}: agent3 profile list shows what each is for`;
  fail(EXIT_USAGE, `${what}. There are: ${[...set.profiles.keys()].join(', ')}; ${more}`);
}

/** Ends a token: within half a second no request is taken with it. */
function revokeToken(name: string, options: TokenOptions): void {
  requireOther(name);
  const isInForce = change(options, (tokens) => {
    const left = tokens.filter((token) => token.name !== name);
    if (left.length === tokens.length) fail(EXIT_FAILURE, unknown(name));
    return left;
  });
  if (isInForce) process.stderr.write(`token ${name} is revoked\n`);
}

/** The token of the settings is not in the file. */
function requireOther(name: string): void {
  if (name !== RESERVED) return;
  fail(EXIT_USAGE, 'the token of the settings is AGENT3_API_TOKEN: set another one there, and restart the agent');
}

const OVERLAP_MS = 24 * 3_600_000;

/** Replaces a token by a new one. The old one works for `overlap` ms more, but not beyond its own end. */
function rotateToken(
  name: string,
  options: TokenOptions & { readonly overlap?: number | undefined; readonly expires?: number | undefined },
): void {
  requireOther(name);
  const secret = newToken();
  const now = Date.now();
  let until = 0;
  change(options, (tokens) => {
    const token = tokens.find((one) => one.name === name);
    if (token === undefined) fail(EXIT_FAILURE, unknown(name));
    const end = token.expires_at ?? Number.POSITIVE_INFINITY;
    if (end <= now && options.expires === undefined) {
      const ended = new Date(end).toISOString();
      fail(EXIT_FAILURE, `token ${name} ended at ${ended}; say how long the new one works: --expires 30d`);
    }
    until = Math.min(now + (options.overlap ?? OVERLAP_MS), end);
    const expiresAt = options.expires === undefined ? undefined : now + options.expires;
    const next = rotateRecord(token, { sha256: hashToken(secret), now, until, expiresAt });
    return tokens.map((one) => (one === token ? next : one));
  });
  show(name, secret);
  process.stderr.write(
    until > now ? `the old one works until ${new Date(until).toISOString()}\n` : 'the old one has ended\n',
  );
}

/** Prints what is known of every token, but not the token. */
function listTokens(options: TokenOptions & { readonly json?: true | undefined }): void {
  const path = tokensFile(options.file);
  const tokens = attempt(() => readTokens(path, ownerOf(path)));
  if (options.json === true) {
    const known = tokens.map(({ sha256: _, previous, ...token }) => ({
      ...token,
      previous_until: lastOf(previous),
    }));
    const usual = profileOfDefault(options);
    const first = usual === undefined ? [] : [{ name: RESERVED, profile: usual, expires_at: null, ips: [] }];
    process.stdout.write(`${visibleJson([...first, ...known])}\n`);
    return;
  }
  if (tokens.length === 0) process.stderr.write('no tokens but the one of the settings\n');
  for (const row of [...defaultRow(options), ...tokens.map(rowOf)]) process.stdout.write(`${row}\n`);
}

/** The profile of the token of the settings; undefined where they have none or cannot be read. */
function profileOfDefault({ file }: TokenOptions): string | undefined {
  if (file !== undefined) return undefined;
  const here = processEnvironment();
  const settings = here['AGENT3_TOKENS_FILE'] ? here : installedSettings();
  return settings['AGENT3_API_TOKEN'] ? settings['AGENT3_PROFILE'] || 'full' : undefined;
}

function defaultRow(options: TokenOptions): string[] {
  const profile = profileOfDefault(options);
  if (profile === undefined) return [];
  return [`${RESERVED.padEnd(24)}  ${visibleLine(profile.padEnd(10))}  AGENT3_API_TOKEN of the settings`];
}

/** Names and profiles are small letters; the addresses are what somebody wrote into the file. */
function rowOf({ name, profile = 'full', created_at, expires_at, ips, previous }: TokenRecord): string {
  const day = (time: number): string => `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const until = expires_at === null ? 'no end' : `${expires_at < Date.now() ? 'ended' : 'until'} ${day(expires_at)}`;
  const before = lastOf(previous);
  return [
    name.padEnd(24),
    profile.padEnd(10),
    `since ${day(created_at)}`,
    until.padEnd(26),
    ips.length === 0 ? 'from everywhere' : `from ${visibleLine(ips.join(', '))}`,
    ...(before !== null && before > Date.now() ? [`the one before until ${day(before)}`] : []),
  ].join('  ');
}

/** When the last of the earlier tokens ends; null where there are none. */
function lastOf(previous: TokenRecord['previous'] = []): number | null {
  return previous.length === 0 ? null : Math.max(...previous.map(({ until }) => until));
}

/** Prints a new token: alone on standard output, the rest on standard error. */
function show(name: string, secret: string): void {
  process.stdout.write(`${secret}\n`);
  process.stderr.write(`token ${name}, shown this once\n`);
}

function unknown(name: string): string {
  return `there is no token ${visibleLine(name.slice(0, 64))}; agent3 token list shows them`;
}

/** Changes the file; false, with the reason on standard error, where the agent cannot read it. */
function change(options: TokenOptions, by: (tokens: TokenRecord[]) => TokenRecord[]): boolean {
  const path = tokensFile(options.file);
  const isNew = !existsSync(path);
  attempt(() => changeTokens(path, by, { group: groupOf(path), own: ownerOf(path) }));
  const unread = path === PATHS.tokens ? unreadable(path, readManifest(PATHS.manifest)?.user) : undefined;
  if (unread !== undefined) {
    process.stderr.write(
      `agent3: ${path} is changed, and ${unread}: it continues with the tokens that it knows. Open the directory to it: chmod a+rx ${dirname(path)}\n`,
    );
    process.exitCode = EXIT_FAILURE;
    return false;
  }
  if (isNew && path !== PATHS.tokens) {
    process.stderr.write(
      `${path} is new, and ${currentAccount().name}'s alone: an agent of another user cannot read it\n`,
    );
  }
  return true;
}

function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TokenFileFault)) throw error;
    fail(EXIT_FAILURE, error.message);
  }
}
