import { describe, expect, test } from 'bun:test';
import { formatEnvValue, parseEnvFile } from '../../ops/env-file.ts';
import { changeSettings } from '../../src/install/installed.ts';

describe('a settings file', () => {
  test('is read as systemd reads it', () => {
    const text = '# A=1\nA=2\n B = "two words" \nexport C=\'3\'\nA=4\nno setting\nD=*/5 * * * *\nE=\n';
    expect(parseEnvFile(text)).toEqual({ A: '4', B: 'two words', C: '3', D: '*/5 * * * *', E: '' });
  });

  const changes: readonly [text: string, changes: Record<string, string>, result: string][] = [
    ['A=1\nB=2\n', { A: '3' }, 'A=3\nB=2\n'],
    ['# what A is\n#A=1\nB=2\n', { A: '3' }, '# what A is\nA=3\nB=2\n'],
    ['#A=1\nA=2\n', { A: '3' }, '#A=1\nA=3\n'],
    ['B=2\n', { A: '3' }, 'B=2\nA=3\n'],
    ['B=2', { A: '3' }, 'B=2\nA=3'],
    ['AA=1\n', { A: '$1 $& x' }, "AA=1\nA='$1 $& x'\n"],
  ];
  test.each(changes)('%j with %j becomes %j', (text, change, result) => {
    expect(changeSettings(text, change)).toBe(result);
  });

  // What systemd 252 makes of it, by its own parser.
  const asSystemd: readonly [text: string, value: string][] = [
    ["A='a'\"'\"'b'", "a'b"],
    ['A="a\\"b\\$c\\d"', 'a"b$c\\d'],
    ['A=a\\ b\\\\c', 'a b\\c'],
    ['A=a"b\'c', 'a"b\'c'],
    ['A=a # b', 'a # b'],
    ['A="a" b', 'ab'],
    ['A=one\\\ntwo', 'onetwo'],
    ['A="one\ntwo"', 'one\ntwo'],
    ['# a comment \\\nA=no\nA=yes', 'yes'],
    ['; A=no\nA=yes', 'yes'],
    ['A=a  \r\n', 'a'],
    ["A='open", 'open'],
  ];
  test.each(asSystemd)('with %j has %j', (text, value) => {
    expect(parseEnvFile(text)).toEqual({ A: value });
  });

  const printable = Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index));
  const values = [
    printable.join(''),
    `${printable.toReversed().join('')}'`,
    "it's",
    '*/5 * * * *',
    '"',
    "'",
    '\\',
    '$HOME`id`',
    '#x',
    '~',
    '',
  ];
  test.each(values)('is written so that shells and systemd read the same: %j', (value) => {
    const line = `A=${formatEnvValue(value)}\nB=1\n`;
    expect(parseEnvFile(line)).toEqual({ A: value, B: '1' });
    const { stdout } = Bun.spawnSync(['sh', '-c', '. /dev/stdin; printf %s "$A"'], { stdin: Buffer.from(line) });
    expect(stdout.toString()).toBe(value);
  });
});
