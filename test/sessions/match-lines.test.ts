import { describe, expect, test } from 'bun:test';
import { openSync, writeFileSync } from 'node:fs';
import { Descriptors } from '../../src/process/start.ts';
import { type LineMatch, type MatchRequest, matchLines } from '../../src/sessions/match-lines.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const search = (content: string | Uint8Array, pattern: RegExp, more: Partial<MatchRequest> = {}): LineMatch[] => {
  using directory = new TemporaryDirectory();
  const path = directory.join('stdout');
  writeFileSync(path, content);
  using descriptors = new Descriptors();
  const fd = descriptors.add(openSync(path, 'r'));
  const end = Buffer.from(content as string).length;
  const steps = [...matchLines({ fd, pattern, offset: 0, end, context: 0, isPlain: false, ...more })];
  expect(steps.at(-1)).toEqual({ at: more.end ?? end });
  return steps.flatMap((step) => ('match' in step ? [step.match] : []));
};

describe('a search line by line', () => {
  test('returns number, offset and text', () => {
    expect(search('one\ntwo\nthree\n', /t/)).toEqual([
      { line: 2, offset: 4, next: 8, text: 'two', isPart: false, before: [], after: [], from: 4, to: 8 },
      { line: 3, offset: 8, next: 14, text: 'three', isPart: false, before: [], after: [], from: 8, to: 14 },
    ]);
  });

  test('looks at what a terminal shows, where that is asked for', () => {
    const content = '10 %\r50 %\r100 %\r\n\x1b[31mred\x1b[0m\r\n';
    expect(search(content, /^100 %$|^red$/, { isPlain: true })).toMatchObject([{ text: '100 %' }, { text: 'red' }]);
    expect(search(content, /^red$/)).toEqual([]);
  });

  test('says of which matches only a part of the line was looked at', () => {
    const found = search(`short\n${'a'.repeat(70_000)}\nshort\n`, /^a+$|short/);
    expect(found.map(({ line, isPart }) => [line, isPart])).toEqual([
      [1, false],
      [2, true],
      [2, true],
      [3, false],
    ]);
  });

  test('counts bytes, not characters', () => {
    expect(search('é€👋\nb', /b/)).toMatchObject([{ line: 2, offset: 10, next: 11, text: 'b' }]);
  });

  test('takes no match over the end of a line', () => {
    expect(search('a\nb\n', /a\sb|a[^c]b/)).toEqual([]);
    expect(search('a\n\nb\n', /^$/)).toMatchObject([{ line: 2, offset: 2 }]);
    expect(search('', /^$/)).toEqual([]);
  });

  test('shows lines before and after, also of matches side by side', () => {
    const found = search('1\n2\n3\n4\n5\n', /[34]/, { context: 2 });
    expect(found).toMatchObject([
      { line: 3, before: ['1', '2'], after: ['4', '5'], from: 0, to: 10 },
      { line: 4, before: ['2', '3'], after: ['5'], from: 2, to: 10 },
    ]);
  });

  test('begins at the offset, and knows the number of the line and what came before', () => {
    expect(search('a1\na2\na3\n', /a/, { offset: 3, context: 1 })).toMatchObject([
      { line: 2, before: ['a1'], after: ['a3'] },
      { line: 3, before: ['a2'], after: [] },
    ]);
    expect(search('a1\na2\na3\n', /a/, { offset: 4 })).toMatchObject([{ line: 3 }]);
  });

  test('stops at the end it was given', () => {
    expect(search('a1\na2\na3\n', /a/, { end: 5 })).toMatchObject([{ text: 'a1' }, { text: 'a2' }]);
  });

  test('leaves the carriage return of a terminal out', () => {
    expect(search('one\r\ntwo\r\n', /one$/)).toMatchObject([{ text: 'one', next: 5 }]);
  });

  test('finds the same wherever a chunk ends', () => {
    const lines = Array.from({ length: 200_000 }, (_, at) => `line ${at}`);
    const found = search(`${lines.join('\n')}\n`, /9999$/);
    expect(found.map(({ text }) => text)).toEqual(lines.filter((line) => line.endsWith('9999')));
    expect(found.map(({ line }) => line)).toEqual(found.map(({ text }) => Number(text.slice(5)) + 1));
  });

  test('matches a line of megabytes in pieces, and counts it as one', () => {
    const found = search(`${'x'.repeat(3_000_000)}END\nnext END\n`, /END/);
    expect(found.map(({ line }) => line)).toEqual([1, 2]);
    expect(found[1]?.text).toBe('next END');
  });
});
