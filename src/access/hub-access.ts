import { OperationNotAllowed } from '../lib/errors.ts';
import { BUILT_IN, isReadOnly, lookProfile, type Profile } from './profile.ts';

/** What a token of the hub may do on servers: what the profile of the hub there allows, or only read. */
export type Reach = 'profile' | 'readonly';

/** Prefix of principals of the hub's tokens. No token of this server can have such a name. */
const PREFIX = 'hub/';
/** Returns the principal of a token of the hub. */
export const hubPrincipal = (token: string): string => `${PREFIX}${token}`;

/** Returns true for the principal of a token of the hub. */
export function isOfHub(principal: string): boolean {
  return principal.startsWith(PREFIX);
}

/** Most principals to remember. The one that called longest ago is forgotten first, and then may only read. */
const MOST_REMEMBERED = 10_000;

/** What the tokens of the hub may do on this server. */
export class HubAccess {
  readonly #reaches = new Map<string, Reach>();
  /** Tokens that have ended, as the hub reported. */
  readonly #ended = new Set<string>();

  /** `profileName` returns the profile that the owner chose when this server joined; undefined when it has left. */
  constructor(private readonly profileName: () => string | undefined) {}

  /** Returns the principal of a token of the hub. Its latest request sets what it may do, also for what still waits. */
  admit(token: string, reach: Reach): string {
    const principal = hubPrincipal(token);
    this.#ended.delete(principal);
    this.#reaches.delete(principal);
    const [oldest] = this.#reaches.size >= MOST_REMEMBERED ? this.#reaches.keys() : [];
    if (oldest !== undefined) this.#reaches.delete(oldest);
    this.#reaches.set(principal, reach);
    return principal;
  }

  /** Ends a token of the hub: its commands that wait for approval are denied. */
  end(token: string): void {
    const principal = hubPrincipal(token);
    this.#reaches.delete(principal);
    const [oldest] = this.#ended.size >= MOST_REMEMBERED ? this.#ended : [];
    if (oldest !== undefined) this.#ended.delete(oldest);
    this.#ended.add(principal);
  }

  /** Returns the profile of a principal; undefined when it is not a token of the hub, has ended, or this server has left the hub. */
  profileOf(principal: string): string | undefined {
    return isOfHub(principal) && !this.#ended.has(principal) ? this.profileName() : undefined;
  }

  /** Returns the part of that profile that a principal may use. */
  narrowed(principal: string, profile: Profile): Profile {
    return this.#reaches.get(principal) === 'profile' ? profile : readOnlyOf(profile);
  }
}

/** Returns a profile that can only read; the same object for the same profile. */
function readOnlyOf(profile: Profile): Profile {
  if (isReadOnly(profile)) return profile;
  return profile === BUILT_IN.full ? BUILT_IN.readonly : lookProfile(profile);
}

/**
 * Returns what a token with this profile of the hub may do on servers. Undefined, nothing, for a profile with rules, limits
 * or directories: they have no meaning on another machine, and the token must not be able to do more there.
 */
export function reachOf({ hasRules, user, limits, sandbox, mask }: Profile): Reach | undefined {
  if (hasRules || user !== undefined || Object.keys(limits).length > 0) return undefined;
  if (sandbox === undefined) return mask ? undefined : 'profile';
  const { hidden = [] } = BUILT_IN.readonly.sandbox ?? {};
  return sandbox.directory === undefined && sandbox.hidden.every((path) => hidden.includes(path))
    ? 'readonly'
    : undefined;
}

/** Returns what a token with this profile may do on the server of this name. Throws `OperationNotAllowed` for nothing. */
export function requireReach(profile: Profile, server: string): Reach {
  const reach = reachOf(profile);
  if (reach !== undefined) return reach;
  throw new OperationNotAllowed(
    `Nothing was done: the profile ${profile.name} of this token has rules, limits or directories of the hub, which mean nothing on ${server}. For servers, a token needs full, readonly, or one of these with only operations added.`,
  );
}
