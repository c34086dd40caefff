import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { InputFault } from '../../src/client/faults.ts';
import { cells, readInput, textOf } from '../../src/client/input.ts';
import { decodeUtf8 } from '../../src/lib/utf8.ts';

import '../helpers/bytes.ts';

async function* source(chunks: readonly Uint8Array[], pauseMs = 0): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    if (pauseMs > 0) await Bun.sleep(pauseMs);
    yield chunk;
  }
}

async function piecesOf(chunks: readonly Uint8Array[], pauseMs = 0): Promise<Uint8Array[]> {
  const input = await readInput(source(chunks, pauseMs), false);
  if (input.kind !== 'pieces') throw new Error(`it is ${input.kind}`);
  return Array.fromAsync(input.pieces);
}

test.each([
  [0, 24],
  [-1, 24],
  [1, 1],
  [80, 80],
  [5000, 1000],
])('a terminal of %d lines asks for %d', (count, asked) => {
  expect(cells(count, 24)).toBe(asked);
});

describe('standard input', () => {
  test('that is empty is none', async () => {
    expect(await readInput(source([]), false)).toEqual({ kind: 'none' });
  });

  test('that is short goes whole, byte order mark and all', async () => {
    const chunks = [Buffer.from([0xef, 0xbb, 0xbf, 0xe2]), Buffer.from([0x82, 0xac])];
    expect(await readInput(source(chunks), false)).toEqual({ kind: 'whole', text: '\uFEFF€' });
  });

  test('that is long comes in pieces of at most 48 KiB, each of whole characters', async () => {
    const text = 'a€😀'.repeat(100_000);
    const bytes = Buffer.from(text);
    const lengths = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(lengths, async (sizes) => {
        const chunks: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          chunks.push(bytes.subarray(at, at + Math.max(1000, size)));
          at += Math.max(1000, size);
        }
        const pieces = await piecesOf(chunks);
        expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(49_152);
        expect(pieces.map((piece) => textOf(piece)).join('') === text).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test('that is slow comes in pieces', async () => {
    const pieces = await piecesOf([Buffer.from('one\n'), Buffer.from('two\n')], 300);
    expect(pieces.map(decodeUtf8)).toEqual(['one\n', 'two\n']);
  });

  test('that is no text comes in pieces, or is refused for a command that nobody follows', async () => {
    const bytes = Buffer.from([0x61, 0xff, 0xc3]);
    expect(Buffer.concat(await piecesOf([bytes]))).toEqual(bytes);
    const refused = readInput(source([bytes]), true);
    expect(await refused.catch((error) => error)).toBeInstanceOf(InputFault);
  });

  test('that is too long for a command that nobody follows is refused', async () => {
    const refused = readInput(source([Buffer.alloc(600_000, 97)]), true);
    expect(await refused.catch((error) => error)).toBeInstanceOf(InputFault);
  });
});
