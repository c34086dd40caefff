import { describe, expect, test } from 'bun:test';
import { describeChange } from '../../src/files/diff.ts';

const plain = async (text: string): Promise<string> => text;
const diff = (before: string | undefined, after: string | undefined, mask = plain): Promise<string> =>
  describeChange(
    before === undefined ? undefined : Buffer.from(before),
    after === undefined ? undefined : Buffer.from(after),
    mask,
  );
const lines = (count: number, factor: number): string =>
  Array.from({ length: count }, (_, line) => `${line * factor}\n`).join('');

describe('a difference', () => {
  test('shows what changed with three lines around it', async () => {
    expect(await diff(lines(20, 1), lines(20, 1).replace('10\n', 'ten\n'))).toBe(
      '@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n',
    );
  });

  test('tells of files that come, go and are empty, and of line ends', async () => {
    expect(await diff(undefined, 'a\n')).toBe('@@ -0,0 +1,1 @@\n+a\n');
    expect(await diff('a\n', undefined)).toBe('@@ -1,1 +0,0 @@\n-a\n');
    expect(await diff(undefined, '')).toBe('no file → 0 bytes\n');
    expect(await diff('a\r\n', 'a\n')).toBe('@@ -1,1 +1,1 @@\n-a\r\n+a\n');
    expect(await diff('a', 'a\n')).toContain('\\ No newline at end of file');
    expect(await diff('a', 'a')).toBe('');
  });

  test('of what is no text, or too large, is sizes', async () => {
    expect(await diff('a\0b', 'a')).toBe('3 bytes → 1 bytes; not text\n');
    expect(await diff('x'.repeat(2_000_000), 'a')).toBe('2000000 bytes → 1 bytes; too large to compare\n');
  });

  test('of texts with little in common is both of them', async () => {
    const shown = await diff(lines(5000, 1), lines(5000, 7).slice(2));
    expect(shown).toContain('-4999\n');
    expect(shown).toContain('+34993\n');
  });

  test('is made of masked texts: a part of a secret has no look of its own', async () => {
    const mask = async (text: string): Promise<string> => text.replaceAll(/KEY[\s\S]*END/g, '***');
    const shown = await diff('top\nKEY\nabc\nxyz\nEND\n', 'top\nKEY\nabd\nxyz\nEND\nmore\n', mask);
    expect(shown).toBe('@@ -1,2 +1,3 @@\n top\n ***\n+more\n');
  });
});
