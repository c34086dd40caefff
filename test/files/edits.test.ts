import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { withEdits } from '../../src/files/edits.ts';
import { MAX_FILE_BYTES } from '../../src/lib/limits.ts';

interface Given {
  readonly old: string;
  readonly new: string;
  readonly all?: boolean;
}

async function edited(text: string, ...edits: Given[]): Promise<string> {
  const all = edits.map((one) => ({ all: false, ...one }));
  return Buffer.from(await withEdits('/f', Buffer.from(text), all, async () => {})).toString();
}

describe('edits', () => {
  test('replace as a replacement of texts does', async () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'é', '😀'), minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 20 }), word, word, async (words, old, text) => {
        const whole = words.join('');
        fc.pre(whole.includes(old) && old !== text);
        expect(await edited(whole, { old, new: text, all: true })).toBe(whole.replaceAll(old, () => text));
      }),
    );
  });

  test('work on what those before them have made', async () => {
    expect(await edited('a b', { old: 'a', new: 'b b' }, { old: 'b b b', new: 'c' })).toBe('c');
  });

  test('take nothing in new for a pattern', async () => {
    expect(await edited('x', { old: 'x', new: "$& $1 $' \\n" })).toBe("$& $1 $' \\n");
  });

  test('say how often and where a text stands, and name ten places at most', async () => {
    await expect(edited('x\n'.repeat(30), { old: 'x', new: 'y' })).rejects.toThrow(
      '30 times: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and others. Send more of the text around it, or all: true.',
    );
    expect(await edited('aaa', { old: 'aa', new: 'b' })).toBe('ba');
  });

  test('name the edit that cannot be made', async () => {
    await expect(edited('a', { old: 'a', new: 'b' }, { old: 'zz', new: 'y' })).rejects.toThrow(
      /^old of edit 2 is not in "\/f"\./,
    );
  });

  test('make no file that is too large, whatever stands in it how often', async () => {
    const many = { old: '\n', new: 'x'.repeat(1000), all: true };
    await expect(edited('\n'.repeat(50_000), many)).rejects.toThrow('larger than 16 MiB');
    await expect(edited('\n'.repeat(MAX_FILE_BYTES), many)).rejects.toThrow('at most 100000 places');
  });

  test('replace so many places in one call, however they are divided among edits', async () => {
    const back = { old: 'b', new: 'a', all: true };
    const there = { old: 'a', new: 'b', all: true };
    expect(await edited('a'.repeat(50_000), there, back)).toBe('a'.repeat(50_000));
    await expect(edited('a'.repeat(50_001), there, back)).rejects.toThrow(
      /^old of edit 2 is in .* at most 100000 places/,
    );
  });

  test('of many places are made in pieces, and say how much memory they leave', async () => {
    const garbage: number[] = [];
    const many = { old: 'a', new: 'xyz', all: true };
    await withEdits('/f', Buffer.from('a'.repeat(100_000)), [many], async (bytes) => void garbage.push(bytes));
    expect(garbage.length).toBeGreaterThan(20);
    expect(garbage.filter((bytes) => bytes > 0)).toEqual([300_000]);
  });
});
