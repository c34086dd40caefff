import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import type { Clock } from '../core/clock.ts';
import { describeErrno, errnoOf } from '../core/errors.ts';
import { fileFingerprint } from '../core/file-fingerprint.ts';
import type { Notices } from '../core/notices.ts';
import { BUILT_IN, type Profile, profileOf, profileSchema } from './profile.ts';
import { schemaFaults } from './schema-faults.ts';

/** Faults in the files of profiles, a sentence for each. */
export class ProfileFaults extends Error {
  constructor(readonly faults: readonly string[]) {
    super(faults.join('\n'));
    this.name = 'ProfileFaults';
  }
}

/** The built-in profiles and those in the files of `directory`; undefined: only the built-in ones. Throws `ProfileFaults`. */
export function readProfiles(directory: string | undefined): ReadonlyMap<string, Profile> {
  const { full, readonly } = BUILT_IN;
  const profiles = new Map<string, Profile>([
    ['full', full],
    ['readonly', readonly],
  ]);
  const faults: string[] = [];
  for (const file of directory === undefined ? [] : listFiles(directory)) {
    const read = readProfile(join(directory ?? '', file));
    if (!('name' in read)) faults.push(...read.map((fault) => `${file}: ${fault}`));
    else if (profiles.has(read.name)) faults.push(`${file}: there is a profile ${read.name} already`);
    else profiles.set(read.name, read);
  }
  if (faults.length > 0) throw new ProfileFaults(faults);
  return profiles;
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const ENDING = /\.(?:toml|json)$/;

/** The profile in a file, or what is wrong with it, a sentence each. */
export function readProfile(path: string): Profile | readonly string[] {
  if (!ENDING.test(path)) return ['the name of a file of a profile ends with .toml or .json'];
  const name = path.slice(path.lastIndexOf('/') + 1).replace(ENDING, '');
  if (!NAME.test(name)) return ['the name of a profile has up to 64 small letters, digits, and _ - between them'];
  let value: unknown;
  try {
    const fault = modeFault(path);
    if (fault !== undefined) return [fault];
    const text = readFileSync(path, 'utf8');
    value = path.endsWith('.json') ? JSON.parse(text) : Bun.TOML.parse(text);
  } catch (error) {
    if (errnoOf(error)?.startsWith('E') === true) return [`it cannot be read: ${describeErrno(error)}`];
    return [`it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`];
  }
  if (!Value.Check(profileSchema, value)) return schemaFaults(value);
  return profileOf(name, value);
}

/** Whoever may write a profile may do everything that it allows. */
function modeFault(path: string): string | undefined {
  const mode = statSync(path).mode & 0o7777;
  if ((mode & 0o022) === 0) return undefined;
  return `others than its owner may write to it (mode ${mode.toString(8).padStart(4, '0')}): chmod go-w ${path}`;
}

function listFiles(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => ENDING.test(name))
      .sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw new ProfileFaults([`${directory} cannot be read: ${describeErrno(error)}`]);
  }
}

/** A change of the files is seen within this. */
const LOOK_MS = 500;

/** The profiles in force, read anew when a file changes. */
export class ProfileBook {
  #profiles: ReadonlyMap<string, Profile>;
  #seen: string;
  #lookedMs: number;

  /** Reads the files; throws `ProfileFaults`. */
  constructor(
    private readonly directory: string | undefined,
    private readonly clock: Clock,
    private readonly notices: Notices,
  ) {
    this.#seen = this.#fingerprint();
    this.#lookedMs = clock.elapsed();
    this.#profiles = readProfiles(directory);
  }

  /** The profile of this name; undefined where there is none. */
  get(name: string): Profile | undefined {
    this.#readAnew();
    return this.#profiles.get(name);
  }

  /** With files that cannot be used, the profiles that were there go on, and the owner hears of it. */
  #readAnew(): void {
    const now = this.clock.elapsed();
    if (this.directory === undefined || now - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = now;
    const seen = this.#fingerprint();
    if (seen === this.#seen) return;
    this.#seen = seen;
    try {
      this.#profiles = readProfiles(this.directory);
      this.notices.info({ profiles: [...this.#profiles.keys()] }, 'the profiles were read anew');
    } catch (error) {
      const faults = error instanceof ProfileFaults ? error.faults : [String(error)];
      this.notices.warn({ faults }, 'the profiles cannot be used: those from before stay in force');
    }
  }

  #fingerprint(): string {
    const { directory } = this;
    if (directory === undefined) return '';
    try {
      return listFiles(directory)
        .map((name) => `${name} ${fileFingerprint(join(directory, name))}`)
        .join('\n');
    } catch {
      // To read them gives the reason.
      return 'unreadable';
    }
  }
}
