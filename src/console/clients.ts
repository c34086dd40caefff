import { type GrantRecord, isGrant } from '../access/grant.ts';
import type { Profile } from '../access/profile.ts';
import { readTokens, TokenFileFault, type TokenRecord } from '../access/token-file.ts';
import type { SessionStore } from '../sessions/store.ts';
import { SLICE } from './past-sessions.ts';
import type { Client, SignInState } from './shown.ts';
import { makerOf } from './signed-tokens.ts';

export interface ClientsDeps {
  readonly store: SessionStore;
  /** The file of tokens; undefined: there is only the token of the settings. */
  readonly tokensFile: string | undefined;
  /** The token of the settings: its name, and its profile. */
  readonly usual: { readonly name: string; readonly profile: string };
  /** When a grant was used last; undefined when unknown. */
  readonly lastUseOf: (id: string) => number | undefined;
  /** The state of a grant's sign-in; undefined once its client is kept. */
  readonly signInOf: (grant: GrantRecord) => SignInState | undefined;
  /** Lets others have their turn. */
  readonly rest: () => Promise<void>;
}

/** Addresses of one client that are shown, the last ones. */
const MOST_ADDRESSES = 5;

interface Seen {
  at: number;
  readonly addresses: string[];
}

/** The tokens and grants there are, with what the sessions that are kept tell of their use. */
export async function clientsOf({
  store,
  tokensFile,
  usual,
  lastUseOf,
  signInOf,
  rest,
}: ClientsDeps): Promise<Client[]> {
  const seen = await seenOf(store, rest);
  const shown = (token: TokenRecord): Client => {
    const { name, id, profile = 'full', expires_at } = token;
    const { at, addresses } = seen.get(`${name}#${id}`) ?? { at: undefined, addresses: [] };
    const grantUse = isGrant(token) ? lastUseOf(id) : undefined;
    const used = [at, grantUse].filter((time) => time !== undefined);
    return {
      ...{ name, made: id, profile, expires_at, addresses },
      kind: isGrant(token) ? 'grant' : 'token',
      last_used_at: used.length === 0 ? null : Math.round(Math.max(...used)),
      client: token.grant?.client ?? null,
      revocable: true,
      made_by: makerOf(token) ?? null,
      sign_in: (isGrant(token) && signInOf(token)) || null,
    };
  };
  const { at = null, addresses = [] } = seen.get(usual.name) ?? {};
  const first: Client = {
    ...{ ...usual, kind: 'token', made: '', expires_at: null, last_used_at: at, addresses, client: null },
    // It is in the settings, which only root changes.
    revocable: false,
    ...{ made_by: null, sign_in: null },
  };
  return [first, ...tokensIn(tokensFile).map(shown)];
}

/** The tokens of a file; none while it cannot be used. */
export function tokensIn(path: string | undefined): TokenRecord[] {
  try {
    return path === undefined ? [] : readTokens(path);
  } catch (error) {
    // The agent works with those from before, and its log says so.
    if (error instanceof TokenFileFault) return [];
    throw error;
  }
}

async function seenOf(store: SessionStore, rest: () => Promise<void>): Promise<ReadonlyMap<string, Seen>> {
  const seen = new Map<string, Seen>();
  let looked = 0;
  for (const { record } of store.newestFirst()) {
    if (++looked % SLICE === 0) await rest();
    const { principal, started_at, address } = record;
    const one = seen.get(principal) ?? { at: started_at, addresses: [] };
    seen.set(principal, one);
    if (address === undefined || one.addresses.length >= MOST_ADDRESSES || one.addresses.includes(address)) continue;
    one.addresses.push(address);
  }
  return seen;
}

/** Whether a command of a profile can do all that root can, for an agent that runs as root. */
export function isUnprotected({ isPlain, user, sandbox }: Profile): boolean {
  return isPlain || (sandbox === undefined && (user === undefined || user === 'root'));
}
