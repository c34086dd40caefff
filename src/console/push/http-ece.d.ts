/** The part of `http_ece` that is used: it has no types of its own. */
declare module 'http_ece' {
  import type { ECDH } from 'node:crypto';

  interface EncryptParams {
    readonly version: 'aes128gcm';
    /** The public key of the receiver. */
    readonly dh: Buffer;
    /** A key pair of the sender, made for this one text. */
    readonly privateKey: ECDH;
    readonly salt: Buffer;
    readonly authSecret: Buffer;
  }

  export function encrypt(text: Buffer, params: EncryptParams): Buffer;
}
