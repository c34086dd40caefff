import { base64url, canonical } from './order.ts';

/**
 * Keystrokes of a person who has taken a terminal over, or a new size of it. The page and the agent share this file: it
 * imports nothing that a browser has not.
 */
export interface TypedFrame {
  /** The id of the order that took the terminal over. */
  readonly order: string;
  /** From 1, without a gap. */
  readonly n: number;
  /** Milliseconds since the epoch, by the clock of the server. */
  readonly at: number;
  /** Base64. */
  readonly keys?: string;
  /** In characters. */
  readonly size?: { readonly rows: number; readonly cols: number };
}

export type SignedFrame = TypedFrame & { readonly signature: string };

export const MAX_KEYS_BYTES = 4096;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** The keys of one take-over, and the public one as its order has it. */
export async function newTypingKeys(): Promise<{ readonly privateKey: CryptoKey; readonly key: string }> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(ALGORITHM, false, ['sign', 'verify']);
  return { privateKey, key: base64url(new Uint8Array(await crypto.subtle.exportKey('raw', publicKey))) };
}

/** Returns the key of an order. Rejects for bytes that are not a key. */
export function importTypingKey(raw: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', new Uint8Array(raw), ALGORITHM, false, ['verify']);
}

/** Signs all of a frame. */
export async function signFrame(frame: TypedFrame, key: CryptoKey): Promise<SignedFrame> {
  const signature = await crypto.subtle.sign(SIGNATURE, key, textOf(frame));
  return { ...frame, signature: base64url(new Uint8Array(signature)) };
}

/** Whether the signature is by this key, over all of the rest. */
export function isSignedBy(frame: TypedFrame, signature: Uint8Array, key: CryptoKey): Promise<boolean> {
  return crypto.subtle.verify(SIGNATURE, key, new Uint8Array(signature), textOf(frame));
}

function textOf({ order, n, at, keys, size }: TypedFrame): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`agent3 type ${canonical({ order, n, at, keys, size })}`);
}
