import { randomBytes } from 'node:crypto';

/** 256 bits: as many as the SHA-256 that it is compared by. */
const TOKEN_BYTES = 32;

/** A token of 43 characters that need no quoting anywhere. */
export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}
