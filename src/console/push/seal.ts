import { createECDH, createHash, createPrivateKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import { encrypt } from 'http_ece';
import type { PushMessage } from './message.ts';

const CURVE = 'prime256v1';
/** RFC 8292 allows 24 hours. */
const JWT_SECONDS = 12 * 3600;
/** Every push is as long: a push service cannot tell them apart. */
const BODY_BYTES = 128;

/** The key by which push services know this agent (RFC 8292). */
export interface PushKey {
  /** An uncompressed point, base64url: what a browser is given. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

/** Returns the key that is derived from a secret. */
export function pushKeyOf(secret: string): PushKey {
  const ecdh = createECDH(CURVE);
  // One of 2^32 digests is no key of the curve: then the next one is.
  for (let count = 0; ; count++) {
    const d = createHash('sha256').update(`agent3 push key ${count} ${secret}`).digest();
    try {
      ecdh.setPrivateKey(d);
    } catch {
      continue;
    }
    const point = ecdh.getPublicKey();
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString('base64url'));
    const jwk = { kty: 'EC', crv: 'P-256', d: d.toString('base64url'), x: x ?? '', y: y ?? '' };
    return { publicKey: point.toString('base64url'), privateKey: createPrivateKey({ format: 'jwk', key: jwk }) };
  }
}

/** The header `Authorization` for a push service. `contact` is whom it may ask; `now` is in milliseconds. */
export function authorization({ publicKey, privateKey }: PushKey, service: URL, contact: string, now: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(now / 1000) + JWT_SECONDS;
  const text = `${part({ typ: 'JWT', alg: 'ES256' })}.${part({ aud: service.origin, exp, sub: contact })}`;
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `vapid t=${text}.${signature.toString('base64url')}, k=${publicKey}`;
}

/** Encrypts a message for the browser that has these keys (RFC 8291). Throws for keys that are not valid. */
export function seal(message: PushMessage, { p256dh, auth }: { readonly p256dh: string; readonly auth: string }) {
  const own = createECDH(CURVE);
  own.generateKeys();
  const text = Buffer.from(JSON.stringify(message).padEnd(BODY_BYTES));
  return new Uint8Array(
    encrypt(text, {
      version: 'aes128gcm',
      dh: Buffer.from(p256dh, 'base64url'),
      privateKey: own,
      salt: randomBytes(16),
      authSecret: Buffer.from(auth, 'base64url'),
    }),
  );
}
