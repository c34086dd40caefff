import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { GrantRecord } from '../access/grant.ts';
import { hashToken } from '../access/token-file.ts';
import type { RefusedToken } from '../lib/errors.ts';
import { onRecord } from './decisions.ts';
import type { GrantState } from './grant-state.ts';
import type { Grants } from './grants.ts';

/** Lifetime of an access token. */
const ACCESS_MS = 3_600_000;
/** A client that is silent for this long must sign in again. */
const IDLE_MS = 90 * 86_400_000;
/** How long the old refresh token works after the first use of the new one: clients refresh in several places at once. */
const GRACE_MS = 60_000;

/** A client gets no tokens: an error of RFC 6749, section 5.2. */
export class TokenFault extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** An unknown code or token, which counts as guessing. */
export class WrongSecret extends TokenFault {
  constructor() {
    super('invalid_grant', 'This code or token is unknown.');
  }
}

/** The tokens for a client. */
export interface Issued {
  readonly access_token: string;
  readonly token_type: 'Bearer';
  readonly expires_in: number;
  readonly refresh_token: string;
  readonly scope: string;
}

/** The client that sends a code or a refresh token. */
export interface Bearer {
  readonly clientId: string;
  readonly address: string;
}

/** An authorization code, and what its client sends with it. */
interface CodeShown extends Bearer {
  readonly code: string;
  readonly verifier: string;
  /** Undefined when the client does not repeat it (OAuth 2.1). */
  readonly redirectUri: string | undefined;
}

/**
 * The tokens of grants. They are computed with the key, so none is stored: an access token from its grant, generation and
 * end, a refresh token from its grant and generation. A repeated refresh token, after a lost answer or from several
 * workers, gets the same successor.
 */
export class GrantTokens {
  constructor(private readonly grants: Grants) {}

  /** Returns the first tokens of a grant, for its authorization code. Throws `TokenFault`, and `MachineRefused`. */
  exchange({ code, verifier, redirectUri, clientId, address }: CodeShown): Issued {
    const [, id = '', secret = ''] = /^ac\.([0-9a-f]{8})\.([\w-]{43})$/.exec(code) ?? [];
    const state = this.grants.state(id);
    if (state === undefined || !isSame(hashToken(secret), state.code_sha256)) throw new WrongSecret();
    const grant = this.#inForce(id);
    if (state.generation > 0) {
      this.#alarm(grant, 'its authorization code was used twice', address);
      throw new TokenFault('invalid_grant', 'This code was used before. The sign-in has ended: begin again.');
    }
    if (this.#now() >= state.code_until) throw new TokenFault('invalid_grant', 'This code has expired: begin again.');
    requireClient(state, clientId);
    if (redirectUri !== undefined && redirectUri !== state.redirect_uri)
      throw new TokenFault('invalid_grant', 'redirect_uri is not the URL to which the code was sent.');
    if (!/^[\w.~-]{43,128}$/.test(verifier) || !isSame(challengeOf(verifier), state.code_challenge))
      throw new TokenFault('invalid_grant', 'code_verifier does not match code_challenge.');
    const next = this.grants.change(grant, { ...state, generation: 1 }, 'connected', { client: clientId, address });
    return this.#issue(grant, next);
  }

  /** Returns new tokens for a refresh token. Throws `TokenFault`, and `MachineRefused`. */
  refresh(token: string, { clientId, address }: Bearer): Issued {
    const shown = this.#parse('rt', token);
    if (shown === undefined) throw new WrongSecret();
    const grant = this.#inForce(shown.id, shown.created);
    const state = this.grants.state(grant.id);
    if (state === undefined || state.ended !== null) throw gone();
    requireClient(state, clientId);
    const { generation, used_at } = state;
    const now = this.#now();
    if (shown.generation === generation) {
      if (now - state.changed_at >= IDLE_MS) {
        this.grants.end(grant, 'its client was not used for 90 days', {});
        throw gone();
      }
      const newer = { ...state, generation: generation + 1, used_at: null };
      const next = this.grants.change(grant, newer, 'refreshed', { address });
      this.grants.noteUse(grant, generation);
      return this.#issue(grant, next);
    }
    if (shown.generation === generation - 1 && (used_at === null || Math.abs(now - used_at) < GRACE_MS)) {
      this.grants.deps.trail.grant('refreshed again', onRecord(grant), { address });
      return this.#issue(grant, state);
    }
    this.#alarm(grant, 'an old refresh token was used again: it may have been stolen', address);
    throw gone();
  }

  /** Ends the grant of a token that its client revokes; ignores an unknown token. */
  revoke(token: string, address: string): void {
    const shown = this.#parse('rt', token) ?? this.#parse('at', token);
    const grant = shown === undefined ? undefined : this.grants.deps.keys.grant(shown.id);
    if (shown === undefined || grant === undefined || grant.created_at !== shown.created) return;
    this.grants.end(grant, 'its client signed out', { address });
  }

  /** Returns the principal of a valid access token; undefined otherwise. */
  principalOf(token: string): string | undefined {
    const shown = this.#parse('at', token);
    if (shown === undefined || this.#now() >= shown.untilMs) return undefined;
    const grant = this.grants.deps.keys.grant(shown.id);
    const state = this.grants.state(shown.id);
    if (grant === undefined || grant.created_at !== shown.created || state === undefined || state.ended !== null)
      return undefined;
    this.grants.noteUse(grant, shown.generation);
    return onRecord(grant).principal;
  }

  /** Returns the principal of an invalid access token; undefined for one that this agent never made. */
  refusalOf(token: string): RefusedToken | undefined {
    const shown = this.#parse('at', token);
    if (shown === undefined) return undefined;
    const grant = this.grants.deps.keys.grant(shown.id);
    const principal = grant === undefined ? shown.id : onRecord(grant).principal;
    return { principal, why: 'an expired access token', isSpent: true };
  }

  /** Returns the grant of this id, made at `created` if known. Throws `TokenFault` when it was removed or has ended. */
  #inForce(id: string, created?: number): GrantRecord {
    const grant = this.grants.deps.keys.grant(id);
    if (grant === undefined || (created !== undefined && grant.created_at !== created)) throw gone();
    return grant;
  }

  #alarm(grant: GrantRecord, why: string, address: string): void {
    this.grants.end(grant, why, { address });
    this.grants.deps.alarm(grant, why);
  }

  #now(): number {
    return this.grants.deps.clock.now();
  }

  #issue(grant: GrantRecord, { generation, scope }: GrantState): Issued {
    const now = this.#now();
    const seconds = Math.floor(Math.min(ACCESS_MS, (grant.expires_at ?? Number.POSITIVE_INFINITY) - now) / 1000);
    const what = `${grant.id}.${grant.created_at.toString(36)}.${generation}`;
    const until = Math.floor(now / 1000) + seconds;
    return {
      access_token: this.#sealed('at', `${what}.${until.toString(36)}.${randomBytes(9).toString('base64url')}`),
      token_type: 'Bearer',
      expires_in: seconds,
      refresh_token: this.#sealed('rt', what),
      scope,
    };
  }

  #sealed(kind: 'at' | 'rt', body: string): string {
    return `${kind}.${body}.${this.grants.deps.key.mac(kind, body)}`;
  }

  #parse(kind: 'at' | 'rt', token: string) {
    const [, body = '', id = '', created = '', generation = '', until = '', mac = ''] = FORMS[kind].exec(token) ?? [];
    if (id === '' || !this.grants.deps.key.checks(mac, kind, body)) return undefined;
    const untilMs = Number.parseInt(until, 36) * 1000;
    return { id, created: Number.parseInt(created, 36), generation: Number(generation), untilMs };
  }
}

const WHAT = '([0-9a-f]{8})\\.([0-9a-z]{1,11})\\.(\\d{1,12})';
const FORMS = {
  at: new RegExp(`^at\\.(${WHAT}\\.([0-9a-z]{1,9})\\.[\\w-]{12})\\.([\\w-]{43})$`),
  rt: new RegExp(`^rt\\.(${WHAT}())\\.([\\w-]{43})$`),
} as const;

/** Returns the challenge of a verifier (RFC 7636, section 4.2, S256). */
export function challengeOf(verifier: string): string {
  return new Bun.CryptoHasher('sha256').update(verifier).digest('base64url');
}

function requireClient(state: GrantState, clientId: string): void {
  if (state.client_id !== clientId)
    throw new TokenFault('invalid_grant', 'This belongs to a client with another client_id.');
}

function gone(): TokenFault {
  return new TokenFault('invalid_grant', 'This sign-in has ended. The owner of the server can allow a new one.');
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
