import type { ByteSource } from './reply.ts';

/** A private key may have begun so far back: one of PGP with a picture and many signatures has 26 KB. */
const LOOK_BACK_BYTES = 65_536;
/** Or end so far ahead, where its beginning is further back than that. */
const LOOK_AHEAD_BYTES = 4096;

const MARKER = /-----(BEGIN|END) (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----/g;

/** Stands before a text that begins in the middle of a key. */
export const KEY_BEGIN = '-----BEGIN PRIVATE KEY-----\n';

/** Whether byte `at` of a stream lies in a private key, as the nearest of the marks of one tells. */
export function isInKey(stream: ByteSource, at: number): boolean {
  const from = Math.max(0, at - LOOK_BACK_BYTES);
  const bytes = Buffer.from(stream.read(from, at - from + LOOK_AHEAD_BYTES));
  if (!bytes.includes('PRIVATE KEY')) return false;
  let isOpen: boolean | undefined;
  for (const { index, 1: kind } of bytes.toString('latin1').matchAll(MARKER)) {
    if (from + index >= at) return isOpen ?? kind === 'END';
    isOpen = kind === 'BEGIN';
  }
  return isOpen ?? false;
}
