import { existsSync } from 'node:fs';
import { processEnvironment } from '../config.ts';
import { PATHS } from '../install/layout.ts';
import type { Profile } from '../profiles/profile.ts';
import { ProfileFaults, readProfiles } from '../profiles/profile-book.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** The directory of profiles that was named, that of the settings, or that of the installed service. */
export function profilesDirectory(named?: string): string | undefined {
  const directory = named ?? processEnvironment()['AGENT3_PROFILES_DIR'];
  if (directory && !existsSync(directory)) fail(EXIT_USAGE, `there is no directory ${directory}`);
  return directory || (existsSync(PATHS.manifest) ? PATHS.profiles : undefined);
}

/** The built-in profiles and those in `directory`; ends the process, with all reasons, when they cannot be used. */
export function profilesIn(directory: string | undefined): ReadonlyMap<string, Profile> {
  try {
    return readProfiles(directory);
  } catch (error) {
    if (!(error instanceof ProfileFaults)) throw error;
    fail(EXIT_FAILURE, ...error.faults);
  }
}
