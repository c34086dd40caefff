import type { Clock } from '../core/clock.ts';
import { TooManyRequests, Unauthorized } from '../core/errors.ts';
import type { Authenticator } from './auth.ts';

/** Wrong tokens that one address may send within the window; the next ones are answered 429. */
const MAX_FAILURES = 10;
const WINDOW_MS = 60_000;

/** Wrong tokens from all addresses within the window that are told of: many addresses must not fill a disk either. */
const MAX_TOLD = 1000;

/** Addresses remembered at once: an attacker with many of them must not fill the memory. The oldest go first. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  readonly sinceMs: number;
  count: number;
}

/** Told of each wrong token until its address is answered 429. */
export type NoteFailure = (address: string) => void;

/**
 * An authenticator that answers an address with 429 after too many wrong tokens, until a minute after the first one.
 * The right token is taken all the while: a neighbour behind the same proxy must not lock the owner out.
 */
export function slowDownGuessing(inner: Authenticator, clock: Clock, note: NoteFailure): Authenticator {
  const failures = new Map<string, Failures>();
  let all: Failures = { sinceMs: 0, count: 0 };
  return {
    authenticate: (headers, address) => {
      try {
        return inner.authenticate(headers, address);
      } catch (error) {
        if (!(error instanceof Unauthorized) || !hasToken(headers)) throw error;
        const nowMs = clock.elapsed();
        refuseGuessing(failures, address, nowMs);
        if (nowMs - all.sinceMs >= WINDOW_MS) all = { sinceMs: nowMs, count: 0 };
        if (all.count++ < MAX_TOLD) note(address);
        throw error;
      }
    },
  };
}

/** Who sends no token guesses none: a health check without it is no attack. */
function hasToken(headers: Headers): boolean {
  return headers.has('x-auth-token') || headers.has('authorization');
}

function refuseGuessing(failures: Map<string, Failures>, address: string, nowMs: number): void {
  const known = failures.get(address);
  if (known === undefined || nowMs - known.sinceMs >= WINDOW_MS) {
    failures.delete(address);
    if (failures.size >= MAX_ADDRESSES) dropOldest(failures);
    failures.set(address, { sinceMs: nowMs, count: 1 });
    return;
  }
  known.count++;
  if (known.count <= MAX_FAILURES) return;
  const seconds = Math.ceil((known.sinceMs + WINDOW_MS - nowMs) / 1000);
  throw new TooManyRequests(
    seconds,
    `Too many wrong tokens came from this address. Wait ${seconds} seconds, then send the right one.`,
  );
}

function dropOldest(failures: Map<string, Failures>): void {
  const oldest = failures.keys().next();
  if (!oldest.done) failures.delete(oldest.value);
}
