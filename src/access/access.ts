import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { AccessLapsed, NotKeptYet } from '../lib/errors.ts';
import { fileFingerprint } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import type { HubAccess } from './hub-access.ts';
import type { Profile } from './profile.ts';
import { type FaultyFile, faultsOf, listProfileFiles, readProfiles } from './profile-files.ts';

interface TokenProfiles {
  /** Returns the name of the profile of a principal; undefined when its token has ended or was removed. */
  profileOf(principal: string): string | undefined;
  /** Returns true when a principal may do nothing yet, because the owner has not kept its client. */
  isAwaiting(principal: string): boolean;
  isToken(word: string): boolean;
}

export class Access {
  /** What the tokens of this server's hub may do; undefined without a hub. */
  hub: HubAccess | undefined;

  /** `usual` is the profile of the token of the settings, which is not in `tokens`. */
  constructor(
    private readonly book: ProfileBook,
    private readonly usual: string,
    private readonly tokens: TokenProfiles | undefined,
    private readonly usualPrincipal: string,
  ) {}

  /** Returns true when `word` is one of the tokens in the file. */
  isToken(word: string): boolean {
    return this.tokens?.isToken(word) === true;
  }

  /** Returns the profile of a principal. Throws `AccessLapsed` without one, and `NotKeptYet`. */
  profileFor(principal: string): Profile {
    const name = this.#profileNameOf(principal);
    if (this.tokens?.isAwaiting(principal) === true) throw new NotKeptYet();
    return this.#ofHub(principal, this.#profile(name));
  }

  /** Like `profileFor`, also for a client that is not kept yet, to describe what it may do later. */
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
    throw new AccessLapsed('token', 'This token has ended or was revoked', 'Ask the owner of the server.');
  }

  #profile(name: string): Profile {
    const profile = this.book.get(name);
    if (profile !== undefined) return profile;
    const isFaulty = this.book.faultsOf(name).length > 0;
    throw new AccessLapsed(
      'profile',
      `The profile ${name} of this token ${isFaulty ? 'cannot be used: its file has a fault' : 'does not exist'}`,
      `Tell the owner of the server: agent3 profile list shows ${isFaulty ? 'the fault' : 'the profiles'}.`,
    );
  }

  /** The profiles that a token can have: those of files, and the built-in ones. */
  profiles(): Profile[] {
    return [...this.book.all()].filter(({ name, source }) => source !== '' || name !== 'workspace');
  }

  /** Calls `listener` with the profiles of files, at once and after each change. */
  watchProfiles(listener: (profiles: readonly Profile[]) => void): void {
    this.book.watch(() =>
      listener([...this.book.all()].filter(({ name, source }) => source !== '' || name === this.usual)),
    );
  }

  /** Returns why the workspace of a profile conflicts with others; see `overlapFault`. */
  overlapFault(profile: Profile, overlaps: (directory: string, other: string) => boolean): string | undefined {
    return overlapFault(profile, this.book.all(), overlaps);
  }
}

/** A change of the files is noticed within this time, a missing profile at once. */
const LOOK_MS = 500;

/** The valid profiles, read again when a file changes. */
export class ProfileBook {
  #profiles: ReadonlyMap<string, Profile>;
  #faulty: readonly FaultyFile[];
  #seen: string;
  #lookedMs: number;
  #changed: () => void = () => {};

  /** Reads the files. A profile whose file has faults is left out, and the fault is logged. */
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

  /** Returns the profile of this name; undefined when no such profile can be used. */
  get(name: string): Profile | undefined {
    if (this.clock.elapsed() - this.#lookedMs >= LOOK_MS) this.#look();
    // A new profile must be found by its first command.
    if (!this.#profiles.has(name)) this.#look();
    return this.#profiles.get(name);
  }

  /** Returns all usable profiles. */
  all(): Iterable<Profile> {
    if (this.clock.elapsed() - this.#lookedMs >= LOOK_MS) this.#look();
    return this.#profiles.values();
  }

  /** Calls `listener` at once, and whenever the profiles were read again. */
  watch(listener: () => void): void {
    this.#changed = listener;
    listener();
  }

  /** Returns the faults of a profile file, with its path before each sentence; empty for a good file or none. */
  faultsOf(name: string): string[] {
    return faultsOf({ profiles: this.#profiles, faulty: this.#faulty }, name);
  }

  /** When a file cannot be used, the profile from before stays valid, and the fault is logged. */
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
      const what = kept.length > 0 ? 'the one from before stays valid' : 'its tokens are answered 503';
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
    // Reading the files returns the reason.
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
 * Returns why the workspace of a profile conflicts with those of `others`; undefined when it does not. When one workspace
 * is inside another, a command of the outer one could replace the inner directory, or show what the inner profile hides.
 * Two profiles may share a directory when they hide the same. `overlaps` detects directories that are the same by mounts.
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
      return `its directory ${own.directory} is inside ${where}, whose commands could replace it`;
    } else if (isIn(other.directory, own.directory)) {
      return `its directory ${own.directory} contains ${where}, which its commands could replace`;
    } else if (overlaps(own.directory, other.directory)) {
      return `its directory ${own.directory} overlaps, by a mount, with ${where}`;
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
