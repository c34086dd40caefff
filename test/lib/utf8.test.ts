import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { boundaryFrom, decodeUtf8, incompleteTail, jsonChars, unitJsonChars, unitLength } from '../../src/lib/utf8.ts';
import { anyBytes } from '../helpers/bytes.ts';

function units(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = unitLength(bytes, at);
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}

describe('text units', () => {
  test.each([
    ['an ASCII letter', [0x61], 1],
    ['a character of two bytes', [0xc3, 0xa9], 2],
    ['a character of three bytes', [0xe2, 0x82, 0xac], 3],
    ['a character of four bytes', [0xf0, 0x9f, 0x98, 0x80], 4],
    ['a lone continuation byte', [0x82, 0xac], 1],
    ['an overlong form', [0xc0, 0x80], 1],
    ['a surrogate', [0xed, 0xa0, 0x80], 1],
    ['a character cut after two of three bytes', [0xe2, 0x82, 0x41], 2],
    ['a character cut by the end', [0xf0, 0x9f, 0x98], 3],
    ['a byte that is never UTF-8', [0xff], 1],
  ])('%s has the length that a decoder sees', (_name, bytes, length) => {
    expect(unitLength(Uint8Array.from(bytes), 0)).toBe(length);
  });

  test('decoded one by one join to the decoded whole, for any bytes', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(units(bytes).map(decodeUtf8).join('')).toBe(decodeUtf8(bytes));
      }),
    );
  });

  test('cost in JSON what JSON.stringify makes of them, for any bytes', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        let chars = 0;
        for (let at = 0; at < bytes.length; at += unitLength(bytes, at)) {
          chars += unitJsonChars(bytes, at, unitLength(bytes, at));
        }
        expect(chars).toBe(jsonChars(decodeUtf8(bytes)));
      }),
    );
  });

  test('a byte order mark is text like any other', () => {
    expect(decodeUtf8(Uint8Array.from([0xef, 0xbb, 0xbf, 0x61]))).toBe('\uFEFFa');
  });
});

describe('boundaries', () => {
  test('cutting at any of them changes nothing of the text, for any bytes', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(200), (bytes, at) => {
        const cut = boundaryFrom(bytes, at);
        expect(cut).toBeGreaterThanOrEqual(Math.min(at, bytes.length));
        expect(decodeUtf8(bytes.subarray(0, cut)) + decodeUtf8(bytes.subarray(cut))).toBe(decodeUtf8(bytes));
      }),
    );
  });

  test('the incomplete tail is what a later byte could still complete', () => {
    expect(incompleteTail(Uint8Array.from([0x61, 0xe2, 0x82]))).toBe(2);
    expect(incompleteTail(Uint8Array.from([0xf0, 0x9f, 0x98]))).toBe(3);
    expect(incompleteTail(Uint8Array.from([0xe2, 0x82, 0xac]))).toBe(0);
    expect(incompleteTail(Uint8Array.from([0x61, 0x82]))).toBe(0);
    expect(incompleteTail(Uint8Array.from([]))).toBe(0);
  });
});
