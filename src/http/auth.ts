import { timingSafeEqual } from 'node:crypto';
import { type RefusedToken, Unauthorized } from '../lib/errors.ts';

/** Knows whose token a request carries. */
export interface Authenticator {
  /** The name of the token in the headers that came from `address`. Throws `Unauthorized`, the same for a wrong token and for none. */
  authenticate(headers: Headers, address: string): string;
}

/** The token of the settings bears this name. */
export const DEFAULT_PRINCIPAL = 'default';

/** Tokens beside the one of the settings. */
export interface MoreTokens {
  principalOf(token: string, address: string): string | undefined;
  refusalOf(token: string): RefusedToken | undefined;
}

/** The token of the settings, and more where there are some. They are compared by their SHA-256 in constant time: neither its length nor its beginning can be found by timing. */
export function tokens(token: string, more?: MoreTokens): Authenticator {
  const expected = sha256(token);
  return {
    authenticate: (headers, address) => {
      let known: RefusedToken | undefined;
      for (const candidate of [headers.get('x-auth-token'), bearerToken(headers.get('authorization'))]) {
        if (candidate === null) continue;
        if (timingSafeEqual(sha256(candidate), expected)) return DEFAULT_PRINCIPAL;
        const principal = more?.principalOf(candidate, address);
        if (principal !== undefined) return principal;
        known ??= more?.refusalOf(candidate);
      }
      throw new Unauthorized(
        'Send the token of this server in the header X-Auth-Token, or as Authorization: Bearer. If it was sent, it is not the right one: ask the owner of the server.',
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
