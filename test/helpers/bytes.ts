import fc from 'fast-check';
import type { ByteSource } from '../../src/lib/utf8.ts';

/** A thousand cases take well under a second, and find what a hundred miss. */
fc.configureGlobal({ numRuns: 1000 });

const encoder = new TextEncoder();

/** Text with what is hard about it: characters of every length, what JSON escapes, line breaks. */
const hardText = fc
  .array(fc.constantFrom('a', '\n', '"', '\\', '\u001b', '\0', 'é', '€', '😀', '\uFEFF', '\u2028'), { maxLength: 60 })
  .map((parts) => encoder.encode(parts.join('')));

/** Pieces of characters: leads, continuations, and bytes that are never UTF-8. */
const hardBytes = fc.array(
  fc.constantFrom(0x41, 0x22, 0x1b, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xe2, 0x82, 0xed, 0xa0, 0xf0, 0x9f, 0x98, 0xf4, 0xff),
  { maxLength: 120 },
);

/** Any bytes, with weight on those that are hard to cut. */
export const anyBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 150 }),
  hardBytes.map((bytes) => Uint8Array.from(bytes)),
  hardText,
);

/** Bytes as a stream that can be read in slices. */
export function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.slice(offset, Math.max(offset, Math.min(bytes.length, offset + length))),
  };
}
