import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { BUILT_IN, type Profile } from '../access/profile.ts';
import { changeTokens, hashToken, readTokens, TokenFileFault, type TokenRecord } from '../access/token-file.ts';
import { machineFaults } from '../install/doctor/profile-machine.ts';
import { unreadable } from '../install/doctor/unreadable.ts';
import { PATHS } from '../install/layout.ts';
import { readManifest } from '../install/manifest.ts';
import { installedSettings } from '../install/settings-file.ts';
import { likelyOwner } from '../lib/foreign-hand.ts';
import { newToken } from '../lib/token.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { accountOf, currentAccount } from '../process/environment.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { processEnvironment } from '../settings/config.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { profileHere, profilesDirectory, profilesIn } from './profiles-here.ts';
import type { TokenOptions } from './token-arguments.ts';

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
/** The token of the settings has this name. */
const RESERVED = 'default';

/** Makes a token of this name and prints it, on standard output alone. */
export function createToken(
  name: string,
  options: TokenOptions & { readonly profile?: string; readonly expires?: number; readonly ip: readonly string[] },
): void {
  if (!NAME.test(name)) fail(EXIT_USAGE, 'a name has up to 64 small letters, digits, and _ . - between them');
  if (name === RESERVED) fail(EXIT_USAGE, 'the token of the settings (AGENT3_API_TOKEN) has this name; choose another');
  const profile = demandProfile(options.profile);
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
  const fault = machineFaults([profile], readManifest(PATHS.manifest)?.user).get(profile.name);
  if (fault !== undefined) process.stderr.write(`its commands cannot run as it is here: ${faultText(fault)}\n`);
}

/** A profile that there is; ends the process with the names of those there are. */
function demandProfile(name: string | undefined): Profile {
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
    name === undefined ? '--profile has to say what the token may do' : `there is no profile ${visibleLine(name)}`;
  const more =
    directory === undefined
      ? 'for more, set AGENT3_PROFILES_DIR here as for the agent'
      : `for more, see ${directory}: agent3 profile list tells what each is for`;
  fail(EXIT_USAGE, `${what}. There are: ${[...set.profiles.keys()].join(', ')}; ${more}`);
}

/** Ends a token: within half a second no request is taken with it. */
export function revokeToken(name: string, options: TokenOptions): void {
  demandOther(name);
  const isInForce = change(options, (tokens) => {
    const left = tokens.filter((token) => token.name !== name);
    if (left.length === tokens.length) fail(EXIT_FAILURE, unknown(name));
    return left;
  });
  if (isInForce) process.stderr.write(`token ${name} is revoked\n`);
}

/** The token of the settings is not in the file. */
function demandOther(name: string): void {
  if (name !== RESERVED) return;
  fail(EXIT_USAGE, 'the token of the settings is AGENT3_API_TOKEN: set another one there, and restart the agent');
}

const OVERLAP_MS = 24 * 3_600_000;

/**
 * A new token in the place of one: its sessions stay its own, and the old one works for `overlap` milliseconds more, but
 * not beyond its own end. One that has ended needs a new end, and does not come back.
 */
export function rotateToken(
  name: string,
  options: TokenOptions & { readonly overlap?: number; readonly expires?: number },
): void {
  demandOther(name);
  const secret = newToken();
  const now = Date.now();
  let until = 0;
  change(options, (tokens) => {
    const token = tokens.find((one) => one.name === name);
    if (token === undefined) fail(EXIT_FAILURE, unknown(name));
    const { previous = [], ...kept } = token;
    const end = token.expires_at ?? Number.POSITIVE_INFINITY;
    if (end <= now && options.expires === undefined) {
      const ended = new Date(end).toISOString();
      fail(EXIT_FAILURE, `token ${name} ended at ${ended}; say how long the new one works: --expires 30d`);
    }
    until = Math.min(now + (options.overlap ?? OVERLAP_MS), end);
    // One that was promised time by an earlier rotation keeps it; where the old one ends at once, all of them do.
    const before = until > now ? [...previous.filter((one) => one.until > now), { sha256: token.sha256, until }] : [];
    const next: TokenRecord = {
      ...kept,
      sha256: hashToken(secret),
      ...(options.expires !== undefined && { expires_at: now + options.expires }),
      ...(before.length > 0 && { previous: before }),
    };
    return tokens.map((one) => (one === token ? next : one));
  });
  show(name, secret);
  process.stderr.write(
    until > now ? `the old one works until ${new Date(until).toISOString()}\n` : 'the old one has ended\n',
  );
}

/** Tells of every token what is known, which is not the token. */
export function listTokens(options: TokenOptions & { readonly json?: boolean }): void {
  const path = fileOf(options);
  const tokens = attempt(() => readTokens(path, ownOf(path)));
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
  if (tokens.length === 0) process.stderr.write('no tokens beside the one of the settings\n');
  for (const row of [...defaultRow(options), ...tokens.map(rowOf)]) process.stdout.write(`${row}\n`);
}

/** What the token of the settings may do, as far as they can be read; undefined where there is none. */
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

/** When the last of the tokens before ends; null where there is none. */
function lastOf(previous: TokenRecord['previous'] = []): number | null {
  return previous.length === 0 ? null : Math.max(...previous.map(({ until }) => until));
}

/** Prints a new token: alone on standard output, the rest on standard error. */
function show(name: string, secret: string): void {
  process.stdout.write(`${secret}\n`);
  process.stderr.write(`token ${name}, shown this once\n`);
}

function unknown(name: string): string {
  return `there is no token ${visibleLine(name.slice(0, 64))}; agent3 token list names those there are`;
}

/** Changes the file; false, with the reason on standard error, where the agent does not go by it. */
function change(options: TokenOptions, by: (tokens: TokenRecord[]) => TokenRecord[]): boolean {
  const path = fileOf(options);
  const isNew = !existsSync(path);
  attempt(() => changeTokens(path, by, { group: groupOf(path), own: ownOf(path) }));
  const unread = path === PATHS.tokens ? unreadable(path, readManifest(PATHS.manifest)?.user) : undefined;
  if (unread !== undefined) {
    process.stderr.write(
      `agent3: ${path} is changed, and ${unread}: it goes on with the tokens that it knows. Open the directory to it: chmod a+rx ${dirname(path)}\n`,
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

/** The file that was named, that of the settings, or that of the installed service. */
function fileOf({ file }: TokenOptions): string {
  const named = file ?? processEnvironment()['AGENT3_TOKENS_FILE'];
  if (named) return named;
  if (existsSync(PATHS.manifest)) return PATHS.tokens;
  fail(EXIT_USAGE, 'no file of tokens: name it with --file, or set AGENT3_TOKENS_FILE for the agent and here');
}

/** The user of the agent that goes by a file; in a service, nobody but root writes it. */
function ownOf(path: string): number | undefined {
  return path === PATHS.tokens ? undefined : likelyOwner(path);
}

/**
 * The service reads its file by the group of its user, and cannot write it: its commands run as the same user. Undefined:
 * the file of another agent.
 */
function groupOf(path: string): number | undefined {
  const user = path === PATHS.tokens && process.geteuid?.() === 0 ? readManifest(PATHS.manifest)?.user : undefined;
  return user === undefined ? undefined : accountOf(user)?.groups[0];
}
