import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { withEdits } from '../../src/files/edits.ts';

const edited = (text: string, ...edits: { old: string; new: string; all?: boolean }[]): string =>
  Buffer.from(
    withEdits(
      '/f',
      Buffer.from(text),
      edits.map((one) => ({ all: false, ...one })),
    ),
  ).toString();

describe('edits', () => {
  test('replace as a replacement of texts does', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'é', '😀'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), word, word, (words, old, text) => {
        const whole = words.join('');
        fc.pre(whole.includes(old) && old !== text);
        expect(edited(whole, { old, new: text, all: true })).toBe(whole.replaceAll(old, () => text));
      }),
    );
  });

  test('work on what those before them have made', () => {
    expect(edited('a b', { old: 'a', new: 'b b' }, { old: 'b b b', new: 'c' })).toBe('c');
  });

  test('take nothing in new for a pattern', () => {
    expect(edited('x', { old: 'x', new: "$& $1 $' \\n" })).toBe("$& $1 $' \\n");
  });

  test('say how often and where a text stands, and name ten places at most', () => {
    const whole = 'x\n'.repeat(30);
    expect(() => edited(whole, { old: 'x', new: 'y' })).toThrow(
      '30 times: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and others. Send more of the text around it, or all: true.',
    );
    expect(edited('aaa', { old: 'aa', new: 'b' })).toBe('ba');
  });

  test('name the edit that cannot be made', () => {
    expect(() => edited('a', { old: 'a', new: 'b' }, { old: 'zz', new: 'y' })).toThrow(
      /^old of edit 2 is not in "\/f"\./,
    );
  });
});
