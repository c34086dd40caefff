import { existsSync } from 'node:fs';
import type { Profile } from '../access/profile.ts';
import { faultsOf, type ProfileSet, readProfiles } from '../access/profile-files.ts';
import { installedProfiles } from '../install/doctor/profile-machine.ts';
import { readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { likelyOwner } from '../lib/files.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { placeHere } from './here.ts';

/** Returns the directory of profiles. */
export function profilesDirectory(named?: string): string | undefined {
  const directory = placeHere(named, 'AGENT3_PROFILES_DIR', PATHS.profiles);
  if (directory !== undefined && directory !== PATHS.profiles && !existsSync(directory))
    fail(EXIT_USAGE, `there is no directory ${directory}`);
  return directory;
}

/** Returns the profiles in `directory`; of the installed agent, those that its user can read. */
export function profilesIn(directory: string | undefined): ProfileSet {
  if (directory === undefined) return readProfiles(undefined);
  if (directory !== PATHS.profiles) return readProfiles(directory, undefined, likelyOwner(directory));
  return installedProfiles(readManifest(PATHS.manifest)?.user);
}

/** Returns the profile of this name, or undefined. Exits with all reasons when its file cannot be used. */
export function profileHere(set: ProfileSet, name: string): Profile | undefined {
  const faults = faultsOf(set, name);
  if (faults.length > 0) fail(EXIT_FAILURE, `the profile ${name} cannot be used`, ...faults);
  return set.profiles.get(name);
}
