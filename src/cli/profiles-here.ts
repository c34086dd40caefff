import { existsSync } from 'node:fs';
import type { Profile } from '../access/profile.ts';
import { faultsOf, type ProfileSet, readProfiles } from '../access/profile-book.ts';
import { installedProfiles } from '../install/doctor/unreadable.ts';
import { PATHS } from '../install/layout.ts';
import { readManifest } from '../install/manifest.ts';
import { likelyOwner } from '../lib/foreign-hand.ts';
import { processEnvironment } from '../settings/config.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** The directory of profiles that was named, that of the settings, or that of the installed service. */
export function profilesDirectory(named?: string): string | undefined {
  const directory = named ?? processEnvironment()['AGENT3_PROFILES_DIR'];
  if (directory && !existsSync(directory)) fail(EXIT_USAGE, `there is no directory ${directory}`);
  return directory || (existsSync(PATHS.manifest) ? PATHS.profiles : undefined);
}

/** The profiles that there are for an agent that reads `directory`: for the installed one, as far as it can read them. */
export function profilesIn(directory: string | undefined): ProfileSet {
  if (directory === undefined) return readProfiles(undefined);
  if (directory !== PATHS.profiles) return readProfiles(directory, undefined, likelyOwner(directory));
  return installedProfiles(readManifest(PATHS.manifest)?.user);
}

/** The profile of a name; undefined where there is none. Ends the process, with all reasons, where its file cannot be used. */
export function profileHere(set: ProfileSet, name: string): Profile | undefined {
  const faults = faultsOf(set, name);
  if (faults.length > 0) fail(EXIT_FAILURE, `the profile ${name} cannot be used`, ...faults);
  return set.profiles.get(name);
}
