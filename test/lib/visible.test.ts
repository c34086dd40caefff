import { describe, expect, test } from 'bun:test';
import {
  describeSize,
  mixedWords,
  visibleBlock,
  visibleField,
  visibleJson,
  visibleJsonText,
  visibleLine,
  visibleText,
} from '../../src/lib/visible.ts';
import { HOSTILE_PIECES, slowPieces } from '../helpers/growth.ts';

const code = (...points: number[]): string => String.fromCodePoint(...points);

describe('a character without looks is written out:', () => {
  const hidden: readonly (readonly [what: string, point: number])[] = [
    ['a null', 0],
    ['a tab', 9],
    ['a carriage return', 0xd],
    ['an escape', 0x1b],
    ['a delete', 0x7f],
    ['a control sequence in one', 0x9b],
    ['a no-break space', 0xa0],
    ['a soft hyphen', 0xad],
    ['a grapheme joiner', 0x34f],
    ['an Arabic letter mark', 0x61c],
    ['a Hangul filler at the beginning', 0x115f],
    ['a Hangul filler in the middle', 0x1160],
    ['an Ogham blank', 0x1680],
    ['an inherent vowel of Khmer', 0x17b4],
    ['another', 0x17b5],
    ['a variation selector of Mongolian', 0x180b],
    ['its vowel separator', 0x180e],
    ['its fourth selector', 0x180f],
    ['an en quad', 0x2000],
    ['a hair space', 0x200a],
    ['a space of no width', 0x200b],
    ['a joiner', 0x200d],
    ['a right-to-left mark', 0x200f],
    ['a line separator', 0x2028],
    ['a paragraph separator', 0x2029],
    ['a right-to-left override', 0x202e],
    ['a narrow blank', 0x202f],
    ['a mathematical blank', 0x205f],
    ['a word joiner', 0x2060],
    ['an invisible times', 0x2062],
    ['what is not assigned', 0x2065],
    ['an isolate', 0x2067],
    ['a blank of Braille', 0x2800],
    ['an ideographic blank', 0x3000],
    ['a Hangul filler', 0x3164],
    ['private use', 0xe000],
    ['a variation selector', 0xfe0f],
    ['a byte order mark', 0xfeff],
    ['a narrow Hangul filler', 0xffa0],
    ['a reserved special', 0xfff0],
    ['an annotation', 0xfff9],
    ['half of a surrogate pair', 0xd800],
    ['a blank of Egyptian', 0x13441],
    ['a filler of Khitan', 0x16fe4],
    ['a note head of nothing', 0x1d159],
    ['a begin of a beam', 0x1d173],
    ['a tag', 0xe0041],
    ['a selector above', 0xe0100],
    ['the last that is ignorable', 0xe0fff],
    ['the last of private use', 0x10fffd],
    ['a stroke through', 0x336],
    ['a slash through', 0x338],
    ['a line through', 0x20d2],
    ['a circle around', 0x20dd],
    ['a key around', 0x20e3],
  ];
  test.each(hidden)('%s, %#', (_, point) => {
    const written = `\\u{${point.toString(16)}}`;
    for (const [before, behind] of [
      ['a', 'b'],
      ['', ''],
      ['é', ''],
      [' ', ' '],
    ])
      expect(visibleText(`${before}${code(point)}${behind}`)).toBe(`${before}${written}${behind}`);
    const json = visibleJson({ text: `a${code(point)}b` });
    expect(json).toMatch(/^[\n\x20-\x7e]*$/);
    expect(JSON.parse(json)).toEqual({ text: `a${code(point)}b` });
    expect(visibleJsonText(`{"a":"${code(point)}"}`)).toMatch(/^[\x20-\x7e]*$/);
  });

  const marks: readonly (readonly [what: string, text: string, shown: string])[] = [
    ['at the start', '\u0301a', '\\u{301}a'],
    ['behind a blank', 'a \u0301b', 'a \\u{301}b'],
    ['at the start of a line', 'a\n\u0301b', 'a\n\\u{301}b'],
    ['behind a sign', '/\u0301b', '/\\u{301}b'],
    ['the fifth of a letter', `a${'\u0301'.repeat(5)}`, `a${'\u0301'.repeat(4)}\\u{301}`],
    ['of Thai on a letter of ASCII', 'a\u0e34', 'a\\u{e34}'],
    ['behind what is written out', 'a\u200b\u0301', 'a\\u{200b}\\u{301}'],
  ];
  test.each(marks)('a mark %s', (_, text, shown) => {
    expect(visibleText(text)).toBe(shown);
  });
});

test.each([
  ['decomposed', 'cafe\u0301 Ångström u\u0308ber'],
  ['composed', 'café grüße Łódź'],
  ['Thai', 'ภาษาไทยที่ดี'],
  ['Hindi', 'हिन्दी क्षेत्र'],
  ['Arabic', 'مرحبا بِكَ'],
  ['Hebrew', 'שָׁלוֹם'],
  ['Vietnamese', 'tie\u0302\u0301ng Vie\u0323\u0302t'],
  ['Chinese', '你好，世界。'],
  ['Japanese', '日本語カ゛テスト'],
  ['Korean', '한국어 각'],
  ['Greek and Cyrillic', 'αβγ привет й'],
  ['emoji', '👋 😀'],
  ['signs', '→ ✓ ⏎ │ … ± © “x” – €'],
  ['code', 'if (a) { b[1] = "c\\n"; } # $X | y'],
])('a text that people read stays as it is: %s', (_, text) => {
  expect(visibleText(text)).toBe(text);
});

describe('a long row', () => {
  test.each([
    ['of spaces', `a${' '.repeat(5000)}b`, 'a\\u{20}×5000b'],
    ['of blanks of Braille', `a${'\u2800'.repeat(200)}b`, 'a\\u{2800}×200b'],
    ['of tabs', '\t'.repeat(500), '\\u{9}×500'],
    ['of spaces in a table stays', `a${' '.repeat(32)}b`, `a${' '.repeat(32)}b`],
    ['of a few tabs stays', '\t\tx', '\\u{9}\\u{9}x'],
  ])('%s', (_, text, shown) => {
    expect(visibleText(text)).toBe(shown);
  });
});

test('a text of lines is one line where it has to be', () => {
  expect(visibleLine('a\n\u001bb')).toBe('a\\u{a}\\u{1b}b');
  expect(visibleText('a\n\u001bb')).toBe('a\n\\u{1b}b');
});

describe('a block', () => {
  const layout = { columns: 40 };
  const bar = /^ {2} *\d* [│┆](?: |$)|^ {3,} … [\d]+ empty lines, \d+ to \d+$/;
  test.each([
    ['numbers its lines', 'a\n  token x\nb', '  1 │ a\n  2 │   token x\n  3 │ b\n'],
    ['has an empty line', 'a\n\nb', '  1 │ a\n  2 │\n  3 │ b\n'],
    ['folds many', `a${'\n'.repeat(300)}b`, '    1 │ a\n      … 299 empty lines, 2 to 300\n  301 │ b\n'],
    ['folds blank ones', 'a\n \n  \n\t\n\nb', '  1 │ a\n    … 4 empty lines, 2 to 5\n  6 │ b\n'],
    [
      'folds no line that may name a program',
      'a\n\u00a0\n\u00a0\n\u00a0\nb',
      '  1 │ a\n  2 │ \\u{a0}\n  3 │ \\u{a0}\n  4 │ \\u{a0}\n  5 │ b\n',
    ],
    ['wraps', 'x'.repeat(70), `  1 │ ${'x'.repeat(34)}\n    ┆ ${'x'.repeat(34)}\n    ┆ xx\n`],
    ['wraps wide letters', '漢'.repeat(20), `  1 │ ${'漢'.repeat(17)}\n    ┆ 漢漢漢\n`],
  ])('%s', (_, text, shown) => {
    expect(visibleBlock(text, layout)).toBe(shown);
  });

  test('has no line that looks like something around it, and none that is too wide', () => {
    const hostile = [
      '  digest 0000',
      '01a20ced-f233-708f-aab3-e27ba964e561  599 s left',
      `${' '.repeat(31)}x${' '.repeat(31)}  token root`,
      `${'\u2800 '.repeat(90)}`,
      '\r  1 │ ls',
      '… 9 empty lines',
      'Run this command (1 line)? [y/N]',
    ].join('\n');
    const lines = visibleBlock(hostile, layout).trimEnd().split('\n');
    for (const line of lines) {
      expect(line).toMatch(bar);
      expect(Bun.stringWidth(line)).toBeLessThanOrEqual(40);
    }
  });

  test('shows a field that continues below as one', () => {
    const shown = visibleField(`token a${'b'.repeat(60)}\n  digest x`, layout);
    expect(shown.split('\n')).toEqual([
      `  token a${'b'.repeat(27)}`,
      `    ┆ ${'b'.repeat(33)}\\`,
      '    ┆ u{a}  digest x',
      '',
    ]);
  });
});

test('the size of a text is told in lines and characters', () => {
  expect(describeSize('a')).toBe('1 line, 1 character');
  expect(describeSize(`${'a\n'.repeat(1234)}😀`)).toBe('1,235 lines, 2,469 characters');
});

test.each([
  ['cat /etc/p\u0430sswd', ['p\\u{430}sswd']],
  ['b\u03b1ckup', ['b\\u{3b1}ckup']],
  ['\uff52m -rf x', ['\\u{ff52}m']],
  ['\u{1d42b}m', ['\\u{1d42b}m']],
  ['привет hello', []],
  ['Tシャツ hello漢字', []],
  ['café straße', []],
])('words of several scripts are found: %s', (text, words) => {
  expect(mixedWords(text)).toEqual(words);
});

test.each(
  Object.entries({
    visibleText,
    visibleJsonText,
    mixedWords,
    visibleBlock: (text: string) => visibleBlock(text, { columns: 80 }),
  }),
)('takes time with the length of a text, whatever it is made of: %s', (_, work) => {
  const pieces = [...HOSTILE_PIECES, '\u0301', 'a\u0301', '\u2800', ' \u0301', '\\u{1b}', '\n', '\n ', '\u0430a'];
  expect(slowPieces(pieces, work)).toEqual([]);
});
