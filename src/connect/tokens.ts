import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { GrantRecord } from '../access/grant.ts';
import { hashToken } from '../access/token-file.ts';
import type { RefusedToken } from '../lib/errors.ts';
import { onRecord } from './decisions.ts';
import type { GrantState } from './grant-state.ts';
import type { Grants } from './grants.ts';

/** How long an access token is good. */
const ACCESS_MS = 3_600_000;
/** A client that does not come for this long has to sign in again. */
const IDLE_MS = 90 * 86_400_000;
/** How long the refresh token before still works once the newer one was used: clients refresh in several places at once. */
const GRACE_MS = 60_000;

/** Why a client gets no tokens, in the words of RFC 6749, section 5.2. */
export class TokenFault extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Nobody was given this code or token: whoever sends it guesses. */
export class WrongSecret extends TokenFault {
  constructor() {
    super('invalid_grant', 'This server did not give this out.');
  }
}

/** What a client gets. */
export interface Issued {
  readonly access_token: string;
  readonly token_type: 'Bearer';
  readonly expires_in: number;
  readonly refresh_token: string;
  readonly scope: string;
}

/** A client that shows a code or a refresh token. */
export interface Bearer {
  readonly clientId: string;
  readonly address: string;
}

/** An authorization code, and what its client shows with it. */
interface CodeShown extends Bearer {
  readonly code: string;
  readonly verifier: string;
  /** Undefined where the client does not repeat it (OAuth 2.1). */
  readonly redirectUri: string | undefined;
}

/**
 * The tokens of grants. They are made from the key by what they stand for, so none is kept: an access token by its grant,
 * generation and end, a refresh token by its grant and generation. Who presents a refresh token again, because the answer
 * was lost or several workers refresh at once, gets the same successor.
 */
export class GrantTokens {
  constructor(private readonly grants: Grants) {}

  /** The first tokens of a grant, for its authorization code. Throws `TokenFault`, and `MachineRefused`. */
  exchange({ code, verifier, redirectUri, clientId, address }: CodeShown): Issued {
    const [, id = '', secret = ''] = /^ac\.([0-9a-f]{8})\.([\w-]{43})$/.exec(code) ?? [];
    const state = this.grants.state(id);
    if (state === undefined || !isSame(hashToken(secret), state.code_sha256)) throw new WrongSecret();
    const grant = this.#inForce(id);
    if (state.generation > 0) {
      this.#alarm(grant, 'its authorization code came a second time', address);
      throw new TokenFault('invalid_grant', 'This code was used before. The sign-in has ended: begin again.');
    }
    if (this.#now() >= state.code_until) throw new TokenFault('invalid_grant', 'This code is over: begin again.');
    requireClient(state, clientId);
    if (redirectUri !== undefined && redirectUri !== state.redirect_uri)
      throw new TokenFault('invalid_grant', 'redirect_uri is not the one that the code was sent to.');
    if (!/^[\w.~-]{43,128}$/.test(verifier) || !isSame(challengeOf(verifier), state.code_challenge))
      throw new TokenFault('invalid_grant', 'code_verifier does not fit the code_challenge.');
    const next = this.grants.change(grant, { ...state, generation: 1 }, 'connected', { client: clientId, address });
    return this.#issue(grant, next);
  }

  /** New tokens for a refresh token. Throws `TokenFault`, and `MachineRefused`. */
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
        this.grants.end(grant, 'its client did not come for 90 days', {});
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
    this.#alarm(grant, 'a refresh token that was replaced before came again: somebody may have stolen it', address);
    throw gone();
  }

  /** Ends the grant of a token that its client gives back; does nothing for what is none. */
  revoke(token: string, address: string): void {
    const shown = this.#parse('rt', token) ?? this.#parse('at', token);
    const grant = shown === undefined ? undefined : this.grants.deps.keys.grant(shown.id);
    if (shown === undefined || grant === undefined || grant.created_at !== shown.created) return;
    this.grants.end(grant, 'its client signed out', { address });
  }

  /** Whose access token this is, when it is good now. */
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

  /** Whose access token this was; undefined for one that this agent never made. */
  refusalOf(token: string): RefusedToken | undefined {
    const shown = this.#parse('at', token);
    if (shown === undefined) return undefined;
    const grant = this.grants.deps.keys.grant(shown.id);
    const principal = grant === undefined ? shown.id : onRecord(grant).principal;
    return { principal, why: 'an access token that is over', isSpent: true };
  }

  /** The grant of this id, made at `created` where that is known. Throws `TokenFault` when it is gone or has ended. */
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

/** The challenge of a verifier (RFC 7636, section 4.2, S256). */
export function challengeOf(verifier: string): string {
  return new Bun.CryptoHasher('sha256').update(verifier).digest('base64url');
}

function requireClient(state: GrantState, clientId: string): void {
  if (state.client_id !== clientId)
    throw new TokenFault('invalid_grant', 'This was given to a client with another client_id.');
}

function gone(): TokenFault {
  return new TokenFault('invalid_grant', 'This sign-in has ended: the owner of the server can allow another one.');
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
