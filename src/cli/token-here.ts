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

/** Why a token cannot be called `name`; undefined where it can. */
export function nameFault(name: string): string | undefined {
  if (!NAME.test(name)) return 'a name has up to 64 small letters, digits, and _ . - between them';
  if (name === RESERVED) return 'the token of the settings (AGENT3_API_TOKEN) has this name; choose another';
  return undefined;
}

/** Exits with the reason when a token cannot be called `name`. */
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

/** The profile of this name. Exits with the names of all profiles when it does not exist. */
export function requireProfile(name: string | undefined): Profile {
  // These need no file, and are there whatever is wrong with those that have one.
  if (name === 'full' || name === 'readonly') return BUILT_IN[name];
  const directory = profilesDirectory();
  const set = profilesIn(directory);
  const profile = name === undefined ? undefined : profileHere(set, name);
  return profile ?? fail(EXIT_USAGE, describeMissing(name, set, directory));
}

/**
 * Why a token cannot have the profile of this name; undefined where it can. `read` gives the profiles of a directory: by
 * default those that the agent can read as well, which takes the right to become its user.
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
    return `workspace needs a file of its own that extends it and names its directory, such as ${directory ?? PATHS.profiles}/app.toml with the lines extends = "workspace" and directory = "/srv/app"; then --profile app`;
  const what =
    name === undefined
      ? '--profile is required: it says what the token may do'
      : `there is no profile ${visibleLine(name)}`;
  const more =
    directory === undefined
      ? 'for more, set AGENT3_PROFILES_DIR here as for the agent'
      : `for more, see ${directory}: agent3 profile list shows what each is for`;
  return `${what}. There are: ${[...set.profiles.keys()].join(', ')}; ${more}`;
}

/** Says, on standard error, why commands of a profile cannot run on this machine as it is. */
export async function warnOfSandbox(profile: Profile): Promise<void> {
  const faults = await machineFaults([profile], readManifest(PATHS.manifest)?.user);
  const fault = faults.get(profile.name);
  if (fault !== undefined) process.stderr.write(`its commands cannot run as it is here: ${faultText(fault)}\n`);
}

/** Changes the file; false, with the reason on standard error, where the agent cannot read it. */
export function changeHere(options: TokenOptions, by: (tokens: TokenRecord[]) => TokenRecord[]): boolean {
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

/** What `work` gives. Exits with the reason when the file of tokens cannot be used. */
export function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TokenFileFault)) throw error;
    fail(EXIT_FAILURE, error.message);
  }
}
