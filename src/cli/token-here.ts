import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { Option } from '@commander-js/extra-typings';
import { BUILT_IN, type Profile } from '../access/profile.ts';
import { faultsOf, type ProfileSet } from '../access/profile-files.ts';
import { changeTokens, RESERVED, TokenFileFault, type TokenRecord } from '../access/token-file.ts';
import { machineFaults, unreadable } from '../install/doctor/profile-machine.ts';
import { readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { visibleLine } from '../lib/visible.ts';
import { currentAccount } from '../process/environment.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { groupOf, ownerOf, tokensFile } from './here.ts';
import { profileHere, profilesDirectory, profilesIn } from './profiles-here.ts';

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;

/** Returns why a token cannot be called `name`; undefined when it can. */
export function nameFault(name: string): string | undefined {
  if (!NAME.test(name)) return 'a name has up to 64 lower-case letters and digits, with _ . - between them';
  if (name === RESERVED) return 'the token of the settings (AGENT3_API_TOKEN) has this name. Choose another';
  return undefined;
}

/** Exits with 2 and the reason when a token cannot be called `name`. */
export function requireName(name: string): void {
  const fault = nameFault(name);
  if (fault !== undefined) fail(EXIT_USAGE, fault);
}

export const fileOption = () =>
  new Option('--file <file>', 'file of the tokens (default: AGENT3_TOKENS_FILE, or that of the installed service)');

/** The option that the subcommands of `agent3 token` share. */
export interface TokenOptions {
  readonly file?: string | undefined;
}

/** Returns the profile of this name. Exits with the names of all profiles when it does not exist. */
export function requireProfile(name: string | undefined): Profile {
  // The built-in profiles need no file. A fault in a file does not affect them.
  if (name === 'full' || name === 'readonly') return BUILT_IN[name];
  const directory = profilesDirectory();
  const set = profilesIn(directory);
  const profile = name === undefined ? undefined : profileHere(set, name);
  return profile ?? fail(EXIT_USAGE, describeMissing(name, set, directory));
}

/**
 * Returns why a token cannot have the profile of this name; undefined when it can. `read` returns the profiles of a
 * directory; by default, those that the agent's user can read, which needs the right to become that user.
 */
export function profileFault(name: string, read = profilesIn): string | undefined {
  if (name === 'full' || name === 'readonly') return undefined;
  const directory = profilesDirectory();
  const set = read(directory);
  const faults = faultsOf(set, name);
  if (faults.length > 0) return `the profile ${name} cannot be used: ${faults.join('; ')}`;
  return set.profiles.has(name) ? undefined : describeMissing(name, set, directory);
}

function describeMissing(name: string | undefined, set: ProfileSet, directory: string | undefined): string {
  if (name === 'workspace')
    return `workspace needs a profile of your own with its directory. Write ${directory ?? PATHS.profiles}/app.toml with the lines extends = "workspace" and directory = "/srv/app", then give --profile app`;
  const what =
    name === undefined
      ? '--profile is required: it sets what the token may do'
      : `there is no profile ${visibleLine(name)}`;
  const more =
    directory === undefined
      ? 'for more, set AGENT3_PROFILES_DIR as for the agent'
      : `for more, see ${directory}. What each is for: agent3 profile list`;
  return `${what}. There are: ${[...set.profiles.keys()].join(', ')}; ${more}`;
}

/** Prints on standard error why commands of a profile cannot run on this machine. */
export async function warnOfSandbox(profile: Profile): Promise<void> {
  const faults = await machineFaults([profile], readManifest(PATHS.manifest)?.user);
  const fault = faults.get(profile.name);
  if (fault !== undefined) process.stderr.write(`its commands cannot run on this machine: ${faultText(fault)}\n`);
}

/** Changes the file. Returns false, and prints the reason on standard error, when the agent cannot read it. */
export function changeHere(options: TokenOptions, by: (tokens: TokenRecord[]) => TokenRecord[]): boolean {
  const path = tokensFile(options.file);
  const isNew = !existsSync(path);
  attempt(() => changeTokens(path, by, { group: groupOf(path), own: ownerOf(path) }));
  const unread = path === PATHS.tokens ? unreadable(path, readManifest(PATHS.manifest)?.user) : undefined;
  if (unread !== undefined) {
    process.stderr.write(
      `agent3: ${path} was changed, but ${unread}, so it still uses the tokens from before. Let it read the directory: chmod a+rx ${dirname(path)}\n`,
    );
    process.exitCode = EXIT_FAILURE;
    return false;
  }
  if (isNew && path !== PATHS.tokens) {
    process.stderr.write(
      `${path} is new and only ${currentAccount().name} can read it; an agent of another user cannot\n`,
    );
  }
  return true;
}

/** Returns the result of `work`. Exits with the reason when the file of tokens cannot be used. */
export function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TokenFileFault)) throw error;
    fail(EXIT_FAILURE, error.message);
  }
}
