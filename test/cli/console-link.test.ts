import { expect, test } from 'bun:test';
import { describeName } from '../../src/cli/console-link.ts';

test.each([
  ['Pixel 9', '"Pixel 9"'],
  ['Pixel", fingerprint 1a2b 3c4d', '"Pixel\', fingerprint 1a2b 3c4d"'],
  ['a\u201d b', '"a\' b"'],
  ['a\n\n  1a2b 3c4d 5e6f 7081', '"a\\u{a}\\u{a}  1a2b 3c4d 5e6f 7081"'],
  ['a\x1b[2J\u202eb', '"a\\u{1b}[2J\\u{202e}b"'],
  ['x'.repeat(100), `"${'x'.repeat(60)} …"`],
])('a device called %j is shown in quotes that it cannot end', (name, shown) => {
  expect(describeName(name)).toBe(shown);
});
