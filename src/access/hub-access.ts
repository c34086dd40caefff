import { BUILT_IN, isReadOnly, lookProfile, type Profile } from './profile.ts';

/** How far a token of the hub reaches on servers: as far as they let their hub, or that far without changing anything. */
export type Reach = 'ceiling' | 'readonly';

/** Principals of the hub's tokens begin so: no token of this server can have such a name. */
const PREFIX = 'hub/';
/** Principals remembered at once. The one that called longest ago goes first, and is taken for one that only reads. */
const MOST_REMEMBERED = 10_000;

/** What the tokens of the hub may do on this server. */
export class HubAccess {
  readonly #reaches = new Map<string, Reach>();

  /** `ceiling` gives the name of the profile that the owner chose when this server joined; undefined: it has left. */
  constructor(private readonly ceiling: () => string | undefined) {}

  /** The principal of a token of the hub, which reaches as far as its latest request says: also what waits goes by that. */
  admit(token: string, reach: Reach): string {
    const principal = `${PREFIX}${token}`;
    this.#reaches.delete(principal);
    const [oldest] = this.#reaches.size >= MOST_REMEMBERED ? this.#reaches.keys() : [];
    if (oldest !== undefined) this.#reaches.delete(oldest);
    this.#reaches.set(principal, reach);
    return principal;
  }

  /** The name of the profile of a principal; undefined for one that is no token of the hub, or whose server has left it. */
  profileOf(principal: string): string | undefined {
    return principal.startsWith(PREFIX) ? this.ceiling() : undefined;
  }

  /** What of that profile a principal gets. */
  narrowed(principal: string, profile: Profile): Profile {
    return this.#reaches.get(principal) === 'ceiling' ? profile : readOnlyOf(profile);
  }
}

/** A profile without whatever changes something; the same object for the same profile. */
function readOnlyOf(profile: Profile): Profile {
  if (isReadOnly(profile)) return profile;
  return profile === BUILT_IN.full ? BUILT_IN.readonly : lookProfile(profile);
}

/**
 * How far a token with this profile of the hub reaches on servers; undefined: nowhere, because the profile has rules,
 * limits or directories, which mean nothing on another machine. What it narrows must never be wider there.
 */
export function reachOf({ hasRules, user, limits, sandbox, mask }: Profile): Reach | undefined {
  if (hasRules || user !== undefined || Object.keys(limits).length > 0) return undefined;
  if (sandbox === undefined) return mask ? undefined : 'ceiling';
  const { hidden = [] } = BUILT_IN.readonly.sandbox ?? {};
  return sandbox.directory === undefined && sandbox.hidden.every((path) => hidden.includes(path))
    ? 'readonly'
    : undefined;
}
