import { createDecipheriv, createECDH, createPublicKey, type ECDH, hkdfSync, randomBytes, verify } from 'node:crypto';

/** What a browser keeps of a subscription, and how it reads a push (RFC 8291, RFC 8292): by no code of the agent's. */
export class PushBrowser {
  readonly #own: ECDH = createECDH('prime256v1');

  constructor(
    readonly endpoint: string,
    privateKey?: string,
    private readonly authSecret = randomBytes(16),
  ) {
    if (privateKey === undefined) this.#own.generateKeys();
    else this.#own.setPrivateKey(Buffer.from(privateKey, 'base64url'));
  }

  /** What the page sends to the console. */
  get keys() {
    return { p256dh: this.#own.getPublicKey('base64url'), auth: this.authSecret.toString('base64url') };
  }

  /** The text of a push. Throws for what is not for this browser. */
  open(body: Uint8Array): string {
    const all = Buffer.from(body);
    const [salt, keyLength] = [all.subarray(0, 16), all[20] ?? 0];
    const sender = all.subarray(21, 21 + keyLength);
    const sealed = all.subarray(21 + keyLength);
    const shared = this.#own.computeSecret(sender);
    const info = Buffer.concat([Buffer.from('WebPush: info\0'), this.#own.getPublicKey(), sender]);
    const ikm = Buffer.from(hkdfSync('sha256', shared, this.authSecret, info, 32));
    const derive = (what: string, length: number): Buffer =>
      Buffer.from(hkdfSync('sha256', ikm, salt, `Content-Encoding: ${what}\0`, length));
    const decipher = createDecipheriv('aes-128-gcm', derive('aes128gcm', 16), derive('nonce', 12));
    decipher.setAuthTag(sealed.subarray(-16));
    const text = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
    // Padding: 2 (the last record), then zeros.
    const end = text.lastIndexOf(2);
    if (end < 0 || text.subarray(end + 1).some((byte) => byte !== 0)) throw new Error('the padding is none');
    return text.toString('utf8', 0, end);
  }
}

/** What the header `Authorization` of a push says, when `publicKey` has signed it. Throws otherwise. */
export function claimsOf(header: string, publicKey: string): { aud: string; exp: number; sub: string } {
  const [, head = '', claims = '', signature = '', key] =
    /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), k=([\w-]+)$/.exec(header) ?? [];
  if (key !== publicKey) throw new Error(`another key: ${key}`);
  const point = Buffer.from(publicKey, 'base64url');
  const [x, y] = [point.subarray(1, 33).toString('base64url'), point.subarray(33).toString('base64url')];
  const jwk = createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x, y } });
  const isSigned = verify(
    'sha256',
    Buffer.from(`${head}.${claims}`),
    { key: jwk, dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature, 'base64url'),
  );
  if (!isSigned) throw new Error('the signature does not count');
  return JSON.parse(Buffer.from(claims, 'base64url').toString());
}
