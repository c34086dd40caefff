import type { GrantKey } from '../access/grant.ts';
import type { GuessingLimiter } from '../http/auth.ts';
import type { Clock } from '../lib/clock.ts';
import type { Grants } from './grants.ts';
import type { Strangers } from './strangers.ts';
import type { GrantTokens } from './tokens.ts';

/** What the sign-in works with. */
export interface ConnectDeps {
  /** The public URL, without a slash at its end. */
  readonly issuer: string;
  readonly key: GrantKey;
  readonly grants: Grants;
  readonly tokens: GrantTokens;
  readonly guessing: GuessingLimiter;
  readonly clock: Clock;
  readonly strangers: Strangers;
}
