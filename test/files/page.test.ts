import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { pageOf } from '../../src/files/page.ts';
import { parsePath } from '../../src/files/place.ts';
import { jsonChars } from '../../src/lib/utf8.ts';

const wholeFile = (bytes: Uint8Array) => ({ bytes, start: 0, size: bytes.length, isWhole: true });
const LINES = { offset: undefined, limit: undefined, unit: 'lines', numbers: false, encoding: 'utf8' } as const;

async function allPages(bytes: Uint8Array, unit: 'lines' | 'bytes', share: { bytes: number; chars: number }) {
  const parts: string[] = [];
  let offset = unit === 'lines' ? 1 : 0;
  for (;;) {
    const page = await pageOf('/f', wholeFile(bytes), { ...LINES, unit, offset }, share, undefined);
    expect(jsonChars(page.content)).toBeLessThanOrEqual(Math.max(share.chars, 6));
    parts.push(page.content);
    if (page.next === undefined) return parts.join('');
    expect(page.next).toBeGreaterThan(offset);
    offset = page.next;
  }
}

describe('pages of a file', () => {
  test('join to its text, in bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 40 }), async (text, room) => {
        const bytes = Buffer.from(text.toWellFormed());
        expect(await allPages(bytes, 'bytes', { bytes: room, chars: 200 })).toBe(text.toWellFormed());
      }),
    );
  });

  test('join to its text, in lines that fit', async () => {
    const lines = fc.array(fc.string({ maxLength: 20 }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(lines, async (all) => {
        const text = all.join('\n');
        expect(await allPages(Buffer.from(text), 'lines', { bytes: 100, chars: 200 })).toBe(text);
      }),
    );
  });

  test('cut a line that fits no answer, and say where it continues', async () => {
    const page = await pageOf(
      '/f',
      wholeFile(Buffer.from(`${'x'.repeat(50)}\nshort\n`)),
      LINES,
      { bytes: 20, chars: 99 },
      undefined,
    );
    expect(page).toMatchObject({ content: 'x'.repeat(20), next: 2, lines: 2 });
    expect(page.notes[0]).toContain('unit bytes and offset 20');
  });

  test('have room for numbers', async () => {
    const bytes = Buffer.from('a\n'.repeat(1000));
    const share = { bytes: 9999, chars: 500 };
    const page = await pageOf('/f', wholeFile(bytes), { ...LINES, numbers: true }, share, undefined);
    expect(jsonChars(page.content)).toBeLessThanOrEqual(500);
    expect(page.content).toStartWith('1\ta\n2\ta\n');
    expect(page.next).toBe(page.content.split('\n').length);
  });
});

describe('a path', () => {
  test('is taken apart', () => {
    expect(parsePath('/etc//hosts')).toEqual({ directory: '/etc', name: 'hosts' });
    expect(parsePath('/x')).toEqual({ directory: '/', name: 'x' });
  });

  test.each([
    ['etc/hosts', 'not absolute'],
    ['/etc/../x', 'without them'],
    ['/etc/./x', 'without them'],
    ['/etc/', 'names a directory'],
    ['/', 'names a directory'],
    ['/a\0b', 'no path can have'],
    [`/${'x'.repeat(256)}`, 'longer than a path'],
    [`/${'x/'.repeat(3000)}x`, 'longer than a path'],
  ])('%# is refused', (path, why) => {
    expect(() => parsePath(path)).toThrow(why);
  });
});
