/** 256 bits: as many as the SHA-256 that it is compared by. */
const TOKEN_BYTES = 32;

/** Makes a token of 43 characters that need no quoting anywhere. */
export function newToken(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES))).toString('base64url');
}

const PREFIX = 'whsec_';
/** Standard Webhooks, "Signature scheme": a secret has 24 to 64 bytes. */
const [LEAST_BYTES, MOST_BYTES] = [24, 64];

/**
 * Returns the key of a secret of Standard Webhooks: the bytes of the Base64 after `whsec_`. Any other text is used as
 * its own bytes. Undefined if the Base64 is invalid.
 */
export function webhookKey(secret: string): Uint8Array | undefined {
  if (!secret.startsWith(PREFIX)) return Buffer.from(secret);
  const text = secret.slice(PREFIX.length);
  const key = Buffer.from(text, 'base64');
  const isWhole = key.toString('base64').replaceAll('=', '') === text.replace(/={0,2}$/, '');
  return isWhole && key.length >= LEAST_BYTES && key.length <= MOST_BYTES ? key : undefined;
}
