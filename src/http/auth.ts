import { timingSafeEqual } from 'node:crypto';
import { networkOf } from '../lib/addresses.ts';
import type { Clock } from '../lib/clock.ts';
import { GuessingRefused, type RefusedToken, Unauthorized } from '../lib/errors.ts';
import { remember } from './limiters.ts';

export interface Authenticator {
  /** Returns the name of the token in the headers of a request from `address`. Throws `Unauthorized` for a wrong or missing one. */
  authenticate(headers: Headers, address: string): string;
}

/** The name of the token of the settings. */
export const DEFAULT_PRINCIPAL = 'default';

/** Further tokens. */
export interface MoreTokens {
  principalOf(token: string, address: string): string | undefined;
  refusalOf(token: string): RefusedToken | undefined;
}

/** Checks the token of the settings and further tokens. Compares SHA-256 in constant time, so that timing reveals nothing. */
export function tokens(token: string, ...more: readonly (MoreTokens | undefined)[]): Authenticator {
  const expected = sha256(token);
  return {
    authenticate: (headers, address) => {
      let known: RefusedToken | undefined;
      for (const candidate of [headers.get('x-auth-token'), bearerToken(headers.get('authorization'))]) {
        if (candidate === null) continue;
        if (timingSafeEqual(sha256(candidate), expected)) return DEFAULT_PRINCIPAL;
        for (const some of more) {
          const principal = some?.principalOf(candidate, address);
          if (principal !== undefined) return principal;
          known ??= some?.refusalOf(candidate);
        }
      }
      throw new Unauthorized(
        'The token is missing or wrong. Send it in the header X-Auth-Token or as Authorization: Bearer. If you did, ask the owner of the server for the right one.',
        known,
      );
    },
  };
}

function sha256(text: string): Buffer {
  return new Bun.CryptoHasher('sha256').update(text).digest();
}

/** RFC 6750: the scheme's name is case-insensitive. */
function bearerToken(header: string | null): string | null {
  return /^bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? null;
}

/** Wrong tokens that one address may send within the window. After that, it is answered 429. */
const MAX_FAILURES = 10;
const WINDOW_MS = 60_000;

/** Wrong tokens from all addresses that are recorded within the window, so that many addresses cannot fill the disk. */
const MAX_TOLD = 1000;

/** How long after a right token its address is not blocked by wrong ones. */
const TRUST_MS = 600_000;

interface Failures {
  readonly sinceMs: number;
  count: number;
}

/** Called for each refused token until its address is answered 429. `known` is set for a token of the owner's. */
export type NoteFailure = (address: string, known: RefusedToken | undefined) => void;

/** Does nothing, where failures are counted elsewhere. */
export const noteNothing: NoteFailure = () => {};

/**
 * Refuses an address with 429 after too many wrong secrets, until a minute after the first one. An address that sent a
 * right one recently is not blocked, so that others behind the same proxy cannot lock out the owner. For IPv6, an
 * address is its /64.
 */
export class GuessingLimiter {
  readonly #failures = new Map<string, Failures>();
  readonly #trustedMs = new Map<string, number>();
  #all: Failures = { sinceMs: 0, count: 0 };

  constructor(
    private readonly clock: Clock,
    private readonly note: NoteFailure,
  ) {}

  /** Returns the result of `look` for a secret from `address`. Throws what it throws, and `GuessingRefused`. */
  attempt<T>(address: string, look: () => T, note: NoteFailure = this.note): T {
    const from = networkOf(address);
    const now = this.clock.elapsed();
    const isTrusted = now - (this.#trustedMs.get(from) ?? Number.NEGATIVE_INFINITY) < TRUST_MS;
    if (!isTrusted) refuseBlocked(this.#failures.get(from), MAX_FAILURES, now);
    try {
      const found = look();
      remember(this.#trustedMs, from, now);
      return found;
    } catch (error) {
      if (!(error instanceof Unauthorized) || error.known?.isSpent === true) throw error;
      refuseBlocked(countFailure(this.#failures, from, now), MAX_FAILURES + 1, now);
      if (now - this.#all.sinceMs >= WINDOW_MS) this.#all = { sinceMs: now, count: 0 };
      if (this.#all.count++ < MAX_TOLD) note(address, error.known);
      throw error;
    }
  }
}

/** An authenticator behind a limiter, which several may share. */
export function slowDownGuessing(inner: Authenticator, limiter: GuessingLimiter): Authenticator {
  return {
    // A request without a token is no guess, such as a health check.
    authenticate: (headers, address) =>
      hasToken(headers)
        ? limiter.attempt(address, () => inner.authenticate(headers, address))
        : inner.authenticate(headers, address),
  };
}

function hasToken(headers: Headers): boolean {
  return headers.has('x-auth-token') || headers.has('authorization');
}

function refuseBlocked(failures: Failures | undefined, count: number, nowMs: number): void {
  if (failures === undefined || failures.count < count || nowMs - failures.sinceMs >= WINDOW_MS) return;
  throw new GuessingRefused(Math.ceil((failures.sinceMs + WINDOW_MS - nowMs) / 1000));
}

function countFailure(failures: Map<string, Failures>, from: string, nowMs: number): Failures {
  const known = failures.get(from);
  if (known !== undefined && nowMs - known.sinceMs < WINDOW_MS) {
    known.count++;
    return known;
  }
  const first = { sinceMs: nowMs, count: 1 };
  remember(failures, from, first);
  return first;
}
