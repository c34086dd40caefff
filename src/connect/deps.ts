import type { GrantKey } from '../access/grant.ts';
import type { GuessingLimiter } from '../http/auth.ts';
import type { Clock } from '../lib/clock.ts';
import type { Grants } from './grants.ts';
import type { GrantTokens } from './tokens.ts';

/** What the sign-in needs. */
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

/** Counts what strangers sent, without keeping any of it. */
export class Strangers {
  #counts: Record<string, number> = {};

  count(what: 'refused requests' | 'registrations' | 'wrong codes' | 'wrong tokens'): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  /** Returns the counts since the last time; undefined without any. */
  take(): Readonly<Record<string, number>> | undefined {
    const counts = this.#counts;
    this.#counts = {};
    return Object.keys(counts).length === 0 ? undefined : counts;
  }
}
