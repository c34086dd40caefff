import { describe, expect, test } from 'bun:test';
import { openSequenceLength, plainText } from '../../src/lib/visible.ts';
import { HOSTILE_PIECES, slowPieces } from '../helpers/growth.ts';

describe('the plain text of', () => {
  const cases: readonly [what: string, raw: string, plain: string][] = [
    ['colours', 'a\x1b[1;31mb\x1b[0mc', 'abc'],
    ['a title', '\x1b]0;title\x07text', 'text'],
    ['a link', '\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\', 'link'],
    ['moves of the cursor', '\x1b[2J\x1b[1;1Htop\x1b[K', 'top'],
    ['lines of a terminal', 'a\r\nb\r\n', 'a\nb\n'],
    ['a progress bar', ' 10%\r 20%\r100%\ndone', '100%\ndone'],
    ['a progress bar that continues', ' 10%\r 20%\r', ' 20%'],
    ['a bar that ends in returns', 'a\rb\r\r\r\n', 'b\n'],
    ['returns and nothing else', '\r\r\r', ''],
    ['backspaces', 'passx\bword', 'password'],
    ['a bell and other controls', 'a\x07b\x00c\x7f\td', 'abc\td'],
    [
      'a screen whose lines are filled up',
      'PID USER   \r\n  1 root \t \r\n\x1b[K  \n>>> ',
      'PID USER\n  1 root\n\n>>> ',
    ],
    ['text', 'grüße 👋\n', 'grüße 👋\n'],
    ['nothing', '', ''],
  ];
  test.each(cases)('%s', (_, raw, plain) => {
    expect(plainText(raw)).toBe(plain);
  });
});

describe('an escape sequence that continues after the end', () => {
  const cases: readonly [text: string, length: number][] = [
    ['a\x1b', 1],
    ['a\x1b[', 2],
    ['a\x1b[38;5', 6],
    ['a\x1b]0;tit', 7],
    ['a\x1b(', 2],
    ['a\x1b[31m', 0],
    ['a\x1b]0;title\x07', 0],
    ['a\x1b]title with bytes \ufffd', 0],
    ['plain', 0],
  ];
  test.each(cases)('%j has %i characters', (text, length) => {
    expect(openSequenceLength(text)).toBe(length);
  });
});

describe('takes time with the length of a text, whatever it is made of:', () => {
  const works = { plainText, openSequenceLength };
  test.each(Object.entries(works))('%s', (_, work) => {
    expect(slowPieces(HOSTILE_PIECES, work)).toEqual([]);
  });
});
