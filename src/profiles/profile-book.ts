import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import type { Clock } from '../core/clock.ts';
import { describeErrno, errnoOf } from '../core/errors.ts';
import { fileFingerprint } from '../core/file-fingerprint.ts';
import type { Notices } from '../core/notices.ts';
import { BUILT_IN, type Profile, profileOf, profileSchema } from './profile.ts';
import { schemaFaults } from './schema-faults.ts';

/** A file of a profile that cannot be used, or the directory of them. */
export interface FaultyFile {
  readonly path: string;
  /** Of the profile that is not there for it; undefined: of all in the directory. */
  readonly name: string | undefined;
  /** A sentence each. */
  readonly faults: readonly string[];
}

/** The profiles that can be used, and the files that cannot. */
export interface ProfileSet {
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly faulty: readonly FaultyFile[];
}

/** The built-in profiles and those in the files of `directory`; undefined: only the built-in ones. A file with faults costs its own profile alone. */
export function readProfiles(directory: string | undefined): ProfileSet {
  const { full, readonly } = BUILT_IN;
  const profiles = new Map<string, Profile>([
    ['full', full],
    ['readonly', readonly],
  ]);
  const faulty: FaultyFile[] = [];
  const files = directory === undefined ? [] : listFiles(directory);
  if (!Array.isArray(files)) return { profiles, faulty: [files] };
  for (const file of files) {
    const path = join(directory ?? '', file);
    const name = file.replace(ENDING, '');
    const isTwice = files.some((other) => other !== file && other.replace(ENDING, '') === name);
    // Nobody can tell which of two is meant.
    const read = profiles.has(name) || isTwice ? [`there is a profile ${name} already`] : readProfile(path);
    if ('name' in read) profiles.set(read.name, read);
    else faulty.push({ path, name, faults: read });
  }
  return { profiles, faulty };
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

/** The names of the files, or why there are none to be had. */
function listFiles(directory: string): string[] | FaultyFile {
  try {
    return readdirSync(directory)
      .filter((name) => ENDING.test(name))
      .sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    return { path: directory, name: undefined, faults: [`it cannot be read: ${describeErrno(error)}`] };
  }
}

/** A change of the files is seen within this. */
const LOOK_MS = 500;

/** The profiles in force, read anew when a file changes. */
export class ProfileBook {
  #profiles: ReadonlyMap<string, Profile>;
  #faulty: readonly FaultyFile[];
  #seen: string;
  #lookedMs: number;

  /** Reads the files; a profile whose file has faults is not there, and the owner hears of it. */
  constructor(
    private readonly directory: string | undefined,
    private readonly clock: Clock,
    private readonly notices: Notices,
  ) {
    this.#seen = this.#fingerprint();
    this.#lookedMs = clock.elapsed();
    const { profiles, faulty } = readProfiles(directory);
    this.#profiles = profiles;
    this.#faulty = faulty;
    for (const { path, faults } of faulty)
      notices.warn({ file: path, faults }, 'a profile cannot be used, so its tokens are answered 503');
  }

  /** The profile of this name; undefined where there is none that can be used. */
  get(name: string): Profile | undefined {
    this.#readAnew();
    return this.#profiles.get(name);
  }

  /** What is wrong with the file of a profile, its path before each sentence; nothing where there is none. */
  faultsOf(name: string): string[] {
    return faultsOf({ profiles: this.#profiles, faulty: this.#faulty }, name);
  }

  /** Of a file that cannot be used, the profile that was there goes on, and the owner hears of it. */
  #readAnew(): void {
    const now = this.clock.elapsed();
    if (this.directory === undefined || now - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = now;
    const seen = this.#fingerprint();
    if (seen === this.#seen) return;
    this.#seen = seen;
    const { profiles, faulty } = readProfiles(this.directory);
    const next = new Map(profiles);
    for (const { path, name, faults } of faulty) {
      const kept = [...this.#profiles].filter(([before]) => !next.has(before) && (name ?? before) === before);
      for (const [before, profile] of kept) next.set(before, profile);
      const what = kept.length > 0 ? 'the one from before stays in force' : 'its tokens are answered 503';
      this.notices.warn({ file: path, faults }, `a profile cannot be used: ${what}`);
    }
    this.#profiles = next;
    this.#faulty = faulty;
    this.notices.info({ profiles: [...next.keys()] }, 'the profiles were read anew');
  }

  #fingerprint(): string {
    const { directory } = this;
    if (directory === undefined) return '';
    const files = listFiles(directory);
    // To read them gives the reason.
    if (!Array.isArray(files)) return 'unreadable';
    return files.map((name) => `${name} ${fileFingerprint(join(directory, name))}`).join('\n');
  }
}

/** What keeps a profile from being there, the path of its file before each sentence; nothing where it is there, or has no file. */
export function faultsOf({ profiles, faulty }: ProfileSet, name: string): string[] {
  if (profiles.has(name)) return [];
  return faulty.filter((file) => file.name === undefined || file.name === name).flatMap(faultWords);
}

/** The faults of a file, its path before each. */
export function faultWords({ path, faults }: FaultyFile): string[] {
  return faults.map((fault) => `${path}: ${fault}`);
}
