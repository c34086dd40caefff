import { describe, expect, test } from 'bun:test';
import { formatPatch, OMIT_HEADERS, structuredPatch } from 'diff';
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

/** How many lines come or go. */
const changes = (patch: string): number => patch.match(/^[-+]/gm)?.length ?? 0;

/** What the hunks of a patch make of a text, each at the line that it names. */
function applied(text: string, patch: string): string {
  const old = text.split(/(?<=\n)/);
  const result: string[] = [];
  let at = 0;
  for (const hunk of patch.split(/^(?=@@ )/m).filter((one) => one !== '')) {
    const [, start, count] = /^@@ -(\d+),(\d+) /.exec(hunk) ?? [];
    const first = Number(start) - (count === '0' ? 0 : 1);
    result.push(...old.slice(at, first));
    at = first;
    const body = hunk.slice(hunk.indexOf('\n') + 1).replace(/\n\\ No newline at end of file\n?/g, '\0');
    for (const line of body.split(/(?<=[\n\0])/)) {
      const content = line.slice(1).replace('\0', '');
      if (line.startsWith('+')) result.push(content);
      else {
        expect(old[at++]).toBe(content);
        if (line.startsWith(' ')) result.push(content);
      }
    }
  }
  return [...result, ...old.slice(at)].join('');
}

describe('a difference', () => {
  test('shows what changed with three lines around it', async () => {
    expect(await diff(lines(20, 1), lines(20, 1).replace('10\n', 'ten\n'))).toBe(
      '@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n',
    );
  });

  test('describes files that come, go and are empty, and of line ends', async () => {
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

  test('leads from one text to the other at the lines that it names, and is no longer than that of all lines', async () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const some = (count: number): string[] =>
      Array.from({ length: random(count) }, () => ['a', 'b', '', 'cc'][random(4)] ?? '');
    for (let round = 0; round < 3000; round++) {
      const [head, tail] = [some(12), some(12)];
      const ended = ['', '\n'][random(2)] ?? '';
      const [old, text] = [some(6), some(6)].map((part) => [...head, ...part, ...tail].join('\n') + ended);
      if (old === undefined || text === undefined) continue;
      let shown = await diff(old, text);
      // On a busy machine the comparison may take longer than it may: then both are shown whole.
      for (let again = 0; again < 20 && /^[-+]/.test(shown); again++) shown = await diff(old, text);
      expect(applied(old, shown)).toBe(text);
      expect(changes(shown)).toBe(changes(formatPatch(structuredPatch('', '', old, text), OMIT_HEADERS)));
    }
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
