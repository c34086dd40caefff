import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { AccessLapsed, NotKeptYet } from '../lib/errors.ts';
import { fileFingerprint } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import type { HubAccess } from './hub-access.ts';
import type { Profile } from './profile.ts';
import { type FaultyFile, faultsOf, listProfileFiles, readProfiles } from './profile-files.ts';

interface TokenProfiles {
  /** The name of the profile of a principal; undefined for one whose token has ended or is gone. */
  profileOf(principal: string): string | undefined;
  /** Whether a principal may do nothing yet: the owner has not said yes to its client. */
  isAwaiting(principal: string): boolean;
  isToken(word: string): boolean;
}

export class Access {
  /** What the tokens of this server's hub may do; undefined: it has none. */
  hub: HubAccess | undefined;

  /** `usual` is the profile of the token of the settings, whose principal `tokens` does not know. */
  constructor(
    private readonly book: ProfileBook,
    private readonly usual: string,
    private readonly tokens: TokenProfiles | undefined,
    private readonly usualPrincipal: string,
  ) {}

  /** Whether `word` is one of the tokens that are kept as hashes. */
  isToken(word: string): boolean {
    return this.tokens?.isToken(word) === true;
  }

  /** The profile of a principal. Throws `AccessLapsed` where it is not there, and `NotKeptYet`: nothing is then allowed. */
  profileFor(principal: string): Profile {
    const name = this.#profileNameOf(principal);
    if (this.tokens?.isAwaiting(principal) === true) throw new NotKeptYet();
    return this.#ofHub(principal, this.#profile(name));
  }

  /** As `profileFor`, also of a principal that may do nothing yet: for what it is told that it may do then. */
  promisedProfile(principal: string): Profile {
    return this.#ofHub(principal, this.#profile(this.#profileNameOf(principal)));
  }

  #ofHub(principal: string, profile: Profile): Profile {
    return this.hub?.profileOf(principal) === undefined ? profile : this.hub.narrowed(principal, profile);
  }

  #profileNameOf(principal: string): string {
    const name =
      principal === this.usualPrincipal
        ? this.usual
        : (this.hub?.profileOf(principal) ?? this.tokens?.profileOf(principal));
    if (name !== undefined) return name;
    throw new AccessLapsed('token', 'This token has ended or was taken away', 'Ask the owner of the server.');
  }

  #profile(name: string): Profile {
    const profile = this.book.get(name);
    if (profile !== undefined) return profile;
    const isFaulty = this.book.faultsOf(name).length > 0;
    throw new AccessLapsed(
      'profile',
      `The profile ${name} of this token ${isFaulty ? 'cannot be used: its file has a fault' : 'is not there'}`,
      `Tell the owner of the server: agent3 profile list shows ${isFaulty ? 'the fault' : 'what there is'}.`,
    );
  }

  /** Those that a token can have: those that somebody has set up, and the built-in ones that need no file. */
  profiles(): Profile[] {
    return [...this.book.all()].filter(({ name, source }) => source !== '' || name !== 'workspace');
  }

  /** Calls `listener` with the profiles that somebody has set up: at once, and when their files have changed. */
  watchProfiles(listener: (profiles: readonly Profile[]) => void): void {
    this.book.watch(() =>
      listener([...this.book.all()].filter(({ name, source }) => source !== '' || name === this.usual)),
    );
  }

  /** Why the workspace of a profile cannot be used beside the others there are: `overlapFault`. */
  overlapFault(profile: Profile, overlaps: (directory: string, other: string) => boolean): string | undefined {
    return overlapFault(profile, this.book.all(), overlaps);
  }
}

/** A change of the files is seen within this; a profile that was missing, at once. */
const LOOK_MS = 500;

/** The profiles in force, read again when a file changes. */
export class ProfileBook {
  #profiles: ReadonlyMap<string, Profile>;
  #faulty: readonly FaultyFile[];
  #seen: string;
  #lookedMs: number;
  #changed: () => void = () => {};

  /** Reads the files; a profile whose file has faults is not there, and the owner hears of it. */
  constructor(
    private readonly directory: string | undefined,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    this.#seen = this.#fingerprint();
    this.#lookedMs = clock.elapsed();
    const { profiles, faulty } = readProfiles(directory);
    this.#profiles = profiles;
    this.#faulty = faulty;
    for (const { path, faults } of faulty)
      logger.warn({ file: path, faults }, 'a profile cannot be used, so its tokens are answered 503');
  }

  /** The profile of this name; undefined where no such profile can be used. */
  get(name: string): Profile | undefined {
    if (this.clock.elapsed() - this.#lookedMs >= LOOK_MS) this.#look();
    // One that was just written is there for its first command.
    if (!this.#profiles.has(name)) this.#look();
    return this.#profiles.get(name);
  }

  /** All that can be used. */
  all(): Iterable<Profile> {
    if (this.clock.elapsed() - this.#lookedMs >= LOOK_MS) this.#look();
    return this.#profiles.values();
  }

  /** Calls `listener` at once, and when the profiles were read again. */
  watch(listener: () => void): void {
    this.#changed = listener;
    listener();
  }

  /** What is wrong with the file of a profile, its path before each sentence; empty for a good file, and for no file. */
  faultsOf(name: string): string[] {
    return faultsOf({ profiles: this.#profiles, faulty: this.#faulty }, name);
  }

  /** Of a file that cannot be used, the profile that was there goes on, and the owner hears of it. */
  #look(): void {
    if (this.directory === undefined) return;
    this.#lookedMs = this.clock.elapsed();
    const seen = this.#fingerprint();
    if (seen === this.#seen) return;
    this.#seen = seen;
    const { profiles, faulty } = readProfiles(this.directory);
    const next = new Map(profiles);
    for (const { path, name, faults } of faulty) {
      const kept = [...this.#profiles].filter(([before]) => !next.has(before) && (name ?? before) === before);
      for (const [before, profile] of kept) next.set(before, profile);
      const what = kept.length > 0 ? 'the one from before stays in force' : 'its tokens are answered 503';
      this.logger.warn({ file: path, faults }, `a profile cannot be used: ${what}`);
    }
    this.#profiles = next;
    this.#faulty = faulty;
    this.logger.info({ profiles: [...next.keys()] }, 'the profiles were read again');
    this.#changed();
  }

  #fingerprint(): string {
    const { directory } = this;
    if (directory === undefined) return '';
    const files = listProfileFiles(directory);
    // To read them gives the reason.
    if (!Array.isArray(files)) return files.faults.join();
    return ['', ...files].map((name) => `${name} ${fileFingerprint(join(directory, name))}`).join('\n');
  }
}

interface Workspace {
  readonly name: string;
  readonly directory: string;
  readonly hidden: readonly string[];
}

function workspacesOf(profiles: Iterable<Profile>): Workspace[] {
  return [...profiles].flatMap(({ name, sandbox }) =>
    sandbox?.directory === undefined ? [] : [{ name, directory: sandbox.directory, hidden: sandbox.hidden }],
  );
}

/**
 * Why the workspace of a profile cannot be used beside those of `others`; undefined when it can. In one that lies in
 * another, a command of the outer one could put another directory in its place, or show what the inner one hides. Two
 * profiles may share a directory when they hide the same: what one of them shows, it could move for the other.
 * `overlaps` tells of directories that are one by mounts, though their names differ.
 */
export function overlapFault(
  profile: Profile,
  others: Iterable<Profile>,
  overlaps: (directory: string, other: string) => boolean = () => false,
): string | undefined {
  const [own] = workspacesOf([profile]);
  if (own === undefined) return undefined;
  for (const other of workspacesOf(others)) {
    if (other.name === own.name) continue;
    const where = `${other.directory}, the workspace of the profile ${other.name}`;
    if (own.directory === other.directory) {
      if (!hidesTheSame(own, other))
        return `its directory is also ${where}, which hides other paths: hide and show the same in both`;
    } else if (isIn(own.directory, other.directory)) {
      return `its directory ${own.directory} lies in ${where}: a command there could put another in its place`;
    } else if (isIn(other.directory, own.directory)) {
      return `in its directory ${own.directory} lies ${where}: a command here could put another in its place`;
    } else if (overlaps(own.directory, other.directory)) {
      return `its directory ${own.directory} and ${where}, are one in the other, or the same by a mount`;
    }
  }
  return undefined;
}

function isIn(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

function hidesTheSame({ hidden }: Workspace, other: Workspace): boolean {
  const theirs = new Set(other.hidden);
  return new Set(hidden).size === theirs.size && hidden.every((path) => theirs.has(path));
}
