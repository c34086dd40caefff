import { AccessLapsed } from '../lib/errors.ts';
import type { Profile } from './profile.ts';
import type { ProfileBook } from './profile-book.ts';
import { overlapFault } from './workspace-overlap.ts';

/** Tokens that have a profile of their own. */
export interface TokenProfiles {
  /** The name of the profile of a principal; undefined for one whose token has ended or is gone. */
  profileOf(principal: string): string | undefined;
  /** Whether `word` is one of them. */
  isToken(word: string): boolean;
}

/** Knows what the bearer of a token may do. */
export class Access {
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

  /** The profile of a principal. Throws `AccessLapsed` where it is not there: nothing is then allowed. */
  profileFor(principal: string): Profile {
    const name = principal === this.usualPrincipal ? this.usual : this.tokens?.profileOf(principal);
    if (name === undefined)
      throw new AccessLapsed('token', 'This token has ended or was taken away', 'Ask the owner of the server.');
    const profile = this.book.get(name);
    if (profile !== undefined) return profile;
    const isFaulty = this.book.faultsOf(name).length > 0;
    throw new AccessLapsed(
      'profile',
      `The profile ${name} of this token ${isFaulty ? 'cannot be used: its file has a fault' : 'is not there'}`,
      `Tell the owner of the server: agent3 profile list shows ${isFaulty ? 'the fault' : 'what there is'}.`,
    );
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
