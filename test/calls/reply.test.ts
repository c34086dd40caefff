import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type FittedStream, fitStreams, type Keep, omissionNote } from '../../src/calls/shell-answer.ts';
import { decodeUtf8, jsonChars } from '../../src/lib/utf8.ts';
import { anyBytes, sourceOf } from '../helpers/bytes.ts';

const budget = { bytes: 92_160, chars: 99_000 };
const fill = (length: number, byte = 0x61): Uint8Array => new Uint8Array(length).fill(byte);
const EMPTY = sourceOf(fill(0));

/** The text that a cut stream shows, put together from the stream itself. */
function expectedText(bytes: Uint8Array, fitted: FittedStream): string {
  if (fitted.omitted === undefined) return decodeUtf8(bytes);
  const { offset, bytes: missing } = fitted.omitted;
  const head = decodeUtf8(bytes.subarray(0, offset));
  const tail = decodeUtf8(bytes.subarray(offset + missing));
  const before = head === '' || head.endsWith('\n') ? '' : '\n';
  return `${head}${before}${omissionNote(fitted.omitted)}${tail === '' ? '' : '\n'}${tail}`;
}

describe('an answer', () => {
  test('has a stream of exactly the budget whole', () => {
    const fitted = fitStreams(sourceOf(fill(92_160)), EMPTY, budget, 'both');
    expect(fitted.stdout).toEqual({ text: 'a'.repeat(92_160) });
  });

  test('has the first third and the last two thirds of a longer one, and says what is missing', () => {
    const { stdout } = fitStreams(sourceOf(fill(92_161)), EMPTY, budget, 'both');
    expect(stdout.omitted).toEqual({ offset: 30_720, bytes: 1 });
    expect(stdout.text).toBe(
      `${'a'.repeat(30_720)}\n[agent3: 1 bytes omitted; read_session offset 30720 reads them]\n${'a'.repeat(61_440)}`,
    );
  });

  test('keeps only the head or only the tail when asked to', () => {
    const head = fitStreams(sourceOf(fill(100_000)), EMPTY, budget, 'head').stdout;
    expect(head.omitted).toEqual({ offset: 92_160, bytes: 7840 });
    const tail = fitStreams(sourceOf(fill(100_000)), EMPTY, budget, 'tail').stdout;
    expect(tail.omitted).toEqual({ offset: 0, bytes: 7840 });
    expect(tail.text.endsWith('a'.repeat(92_160))).toBe(true);
  });

  test('leaves standard error a quarter when both are long, and all that is left when it alone is', () => {
    const both = fitStreams(sourceOf(fill(200_000)), sourceOf(fill(200_000)), budget, 'tail');
    expect(both.stderr.omitted?.bytes).toBe(200_000 - 23_040);
    expect(both.stdout.omitted?.bytes).toBe(200_000 - 69_120);
    const alone = fitStreams(sourceOf(fill(160)), sourceOf(fill(200_000)), budget, 'tail');
    expect(alone.stdout.omitted).toBeUndefined();
    expect(alone.stderr.omitted?.bytes).toBe(200_000 - 92_000);
  });

  test('is cut by its characters where escaping makes them more than its bytes', () => {
    const { stdout } = fitStreams(sourceOf(fill(92_160, 0x1b)), EMPTY, budget, 'both');
    expect(jsonChars(stdout.text)).toBeLessThanOrEqual(99_000);
    expect(jsonChars(stdout.text)).toBeGreaterThan(98_000);
  });

  test('always fits, is made of the stream and says exactly what is missing, for any bytes and budgets', () => {
    const size = fc.record({ bytes: fc.integer({ min: 0, max: 200 }), chars: fc.integer({ min: 400, max: 900 }) });
    fc.assert(
      fc.property(anyBytes, anyBytes, size, fc.constantFrom<Keep>('both', 'head', 'tail'), (out, err, share, keep) => {
        const fitted = fitStreams(sourceOf(out), sourceOf(err), share, keep);
        expect(fitted.stdout.text).toBe(expectedText(out, fitted.stdout));
        expect(fitted.stderr.text).toBe(expectedText(err, fitted.stderr));
        expect(jsonChars(fitted.stdout.text) + jsonChars(fitted.stderr.text)).toBeLessThanOrEqual(share.chars);
        const kept = (bytes: Uint8Array, { omitted }: FittedStream): number => bytes.length - (omitted?.bytes ?? 0);
        expect(kept(out, fitted.stdout) + kept(err, fitted.stderr)).toBeLessThanOrEqual(share.bytes);
      }),
    );
  });
});
