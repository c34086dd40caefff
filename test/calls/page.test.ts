import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Encoding, type Page, readEnd, readPage } from '../../src/calls/slice.ts';
import { decodeUtf8, jsonChars } from '../../src/lib/utf8.ts';
import { anyBytes, sourceOf } from '../helpers/bytes.ts';

/** Every page from `offset` 0 on, followed by where each one ends, as a client does. */
function pages(bytes: Uint8Array, share: { bytes: number; chars: number }, encoding: Encoding): Page[] {
  const stream = sourceOf(bytes);
  const found: Page[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const page = readPage(stream, offset, share, encoding);
    expect(page.end).toBeGreaterThan(offset);
    found.push(page);
    offset = page.end;
  }
  return found;
}

const share = fc.record({ bytes: fc.integer({ min: 1, max: 40 }), chars: fc.integer({ min: 8, max: 60 }) });

describe('pages', () => {
  test('as UTF-8 join to the text of the stream, for any bytes and page sizes', () => {
    fc.assert(
      fc.property(anyBytes, share, (bytes, size) => {
        const text = pages(bytes, size, 'utf8').map((page) => page.text);
        expect(text.join('')).toBe(decodeUtf8(bytes));
      }),
    );
  });

  test('as Base64 join to the stream byte for byte, for any bytes and page sizes', () => {
    fc.assert(
      fc.property(anyBytes, share, (bytes, size) => {
        const parts = pages(bytes, size, 'base64').map((page) => Buffer.from(page.text, 'base64'));
        expect(new Uint8Array(Buffer.concat(parts))).toEqual(new Uint8Array(bytes));
      }),
    );
  });

  test('keep to their share, but for a single character that is longer', () => {
    fc.assert(
      fc.property(anyBytes, share, fc.constantFrom<Encoding>('utf8', 'base64'), (bytes, size, encoding) => {
        for (const page of pages(bytes, size, encoding)) {
          expect(page.chars).toBe(jsonChars(page.text));
          expect(page.chars).toBeLessThanOrEqual(size.chars);
          expect(page.end - page.start).toBeLessThanOrEqual(Math.max(size.bytes, 4));
        }
      }),
    );
  });

  test('a negative offset counts from the end and begins with a whole character', () => {
    const stream = sourceOf(new TextEncoder().encode('ab€cd'));
    expect(readPage(stream, -2, { bytes: 100, chars: 100 }, 'utf8').text).toBe('cd');
    expect(readPage(stream, -4, { bytes: 100, chars: 100 }, 'utf8')).toEqual({
      text: 'cd',
      start: 5,
      end: 7,
      chars: 2,
    });
    expect(readPage(stream, -99, { bytes: 100, chars: 100 }, 'utf8').text).toBe('ab€cd');
  });

  test('past the end there is nothing, and the next offset stays', () => {
    expect(readPage(sourceOf(Uint8Array.from([1])), 50, { bytes: 9, chars: 9 }, 'utf8')).toEqual({
      text: '',
      start: 50,
      end: 50,
      chars: 0,
    });
  });
});

describe('the end of a stream', () => {
  test('is the longest one that fits and reads as in the whole, for any bytes', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(60), fc.nat(60), (bytes, maxBytes, chars) => {
        const page = readEnd(sourceOf(bytes), { bytes: maxBytes, chars }, 'utf8');
        expect(decodeUtf8(bytes).endsWith(page.text)).toBe(true);
        expect(page.end - page.start).toBeLessThanOrEqual(maxBytes);
        expect(jsonChars(page.text)).toBeLessThanOrEqual(chars);
      }),
    );
  });
});
