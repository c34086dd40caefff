import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { isoCBOR } from '@simplewebauthn/server/helpers';
import { type Assertion, challengeOf, challengeOfAll, fingerprintOf, type Order } from '../../src/console/order.ts';
import type { Passkey } from '../../src/console/passkeys.ts';

/** Flags of authenticator data (WebAuthn, 6.1). */
const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
const HAS_CREDENTIAL = 0x40;

/** Where a passkey is used, and what a browser or a thief does otherwise than it should. */
interface Use {
  readonly origin?: string;
  readonly rpId?: string;
  readonly isVerified?: boolean;
  readonly crossOrigin?: boolean;
  readonly type?: string;
}

/** An authenticator with one passkey (ES256), as a phone has it. */
export class Authenticator {
  readonly id: string;
  readonly #keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly #madeAt = Date.now();
  #counter = 0;

  /** `id` is that of the credential: two with the same one differ in their keys. */
  constructor(
    readonly origin = 'http://localhost:8443',
    readonly rpId = new URL(origin).hostname,
    id = randomBytes(16).toString('base64url'),
  ) {
    this.id = id;
    this.#keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  }

  /** COSE. */
  get publicKey(): Uint8Array {
    const { x = '', y = '' } = this.#keys.publicKey.export({ format: 'jwk' });
    const entries: [number, number | Uint8Array][] = [
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, new Uint8Array(Buffer.from(x, 'base64url'))],
      [-3, new Uint8Array(Buffer.from(y, 'base64url'))],
    ];
    return isoCBOR.encode(new Map(entries));
  }

  /** As root pins it. */
  async passkey(name = 'Pixel 9'): Promise<Passkey> {
    const { id, publicKey } = this;
    const public_key = Buffer.from(publicKey).toString('base64url');
    return { id, public_key, name, made_at: this.#madeAt, fingerprint: await fingerprintOf(publicKey) };
  }

  /** What `navigator.credentials.create` returns for a challenge (base64url). */
  register(challenge: string, use: Use = {}): RegistrationResponseJSON {
    const id = Buffer.from(this.id, 'base64url');
    const length = Buffer.from([id.length >> 8, id.length & 0xff]);
    const credential = Buffer.concat([Buffer.alloc(16), length, id, this.publicKey]);
    const authData = new Uint8Array(Buffer.concat([this.#authenticatorData(use, HAS_CREDENTIAL), credential]));
    const entries: [string, string | Uint8Array | Map<string, string>][] = [
      ['fmt', 'none'],
      ['attStmt', new Map()],
      ['authData', authData],
    ];
    return {
      id: this.id,
      rawId: this.id,
      type: 'public-key',
      clientExtensionResults: {},
      response: {
        clientDataJSON: this.#clientData('webauthn.create', challenge, use).toString('base64url'),
        attestationObject: Buffer.from(isoCBOR.encode(new Map(entries))).toString('base64url'),
      },
    };
  }

  /** What `navigator.credentials.get` returns for a challenge (base64url). */
  assert(challenge: string, use: Use = {}): AuthenticationResponseJSON {
    const clientData = this.#clientData('webauthn.get', challenge, use);
    const authenticatorData = this.#authenticatorData(use, 0);
    const signed = Buffer.concat([authenticatorData, createHash('sha256').update(clientData).digest()]);
    return {
      id: this.id,
      rawId: this.id,
      type: 'public-key',
      clientExtensionResults: {},
      response: {
        clientDataJSON: clientData.toString('base64url'),
        authenticatorData: authenticatorData.toString('base64url'),
        signature: sign('sha256', signed, this.#keys.privateKey).toString('base64url'),
      },
    };
  }

  /** The assertion that an order is signed with. */
  async sign(order: Order, use: Use = {}): Promise<AuthenticationResponseJSON> {
    return this.assert(await challengeOf(order), use);
  }

  /** The assertion that several orders are signed with at once. */
  async signAll(orders: readonly Order[]): Promise<Assertion> {
    const among = await Promise.all(orders.map(challengeOf));
    return { ...this.assert(await challengeOfAll(among)), among };
  }

  #clientData(
    kind: string,
    challenge: string,
    { type = kind, origin = this.origin, crossOrigin = false }: Use,
  ): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin }));
  }

  #authenticatorData({ rpId = this.rpId, isVerified = true }: Use, more: number): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(++this.#counter);
    const flags = Buffer.from([USER_PRESENT | (isVerified ? USER_VERIFIED : 0) | more]);
    return Buffer.concat([createHash('sha256').update(rpId).digest(), flags, counter]);
  }
}
