import { keyMarkers } from '../secrets/key-blocks.ts';
import type { ByteSource } from './reply.ts';

/** A private key may have begun so far back: one of PGP with a picture and many signatures has 26 KB. */
const LOOK_BACK_BYTES = 65_536;
/** Or end so far ahead, where its beginning is further back than that. */
const LOOK_AHEAD_BYTES = 4096;

/** Stands before a text that begins in the middle of a key. */
export const KEY_BEGIN = '-----BEGIN PRIVATE KEY-----\n';

/** What is looked at is read into the same bytes each time: every part of a stream that is masked is looked at so. */
const scratch = Buffer.alloc(LOOK_BACK_BYTES + LOOK_AHEAD_BYTES);

/** Whether byte `at` of a stream lies in a private key, as the nearest of the marks of one tells. */
export function isInKey(stream: ByteSource, at: number): boolean {
  const from = Math.max(0, at - LOOK_BACK_BYTES);
  const read = stream.read(from, at - from + LOOK_AHEAD_BYTES, scratch);
  const bytes = Buffer.from(read.buffer, read.byteOffset, read.length);
  return bytes.includes('PRIVATE KEY') && keyMarks(bytes.toString('latin1'))(at - from);
}

/** The same for places of a text, in which the marks are looked for once. */
export function keyMarks(text: string): (at: number) => boolean {
  const markers = keyMarkers(text);
  return (at) => {
    const before = markers.findLast(({ start }) => start < at);
    return before === undefined ? markers[0]?.isBegin === false : before.isBegin;
  };
}
