import { describe, expect, test } from 'bun:test';
import { changeSettings, parseSettings } from '../../src/install/settings-file.ts';

describe('a settings file', () => {
  test('is read as systemd reads it', () => {
    const text = '# A=1\nA=2\n B = "two words" \nexport C=\'3\'\nA=4\nno setting\nD=*/5 * * * *\nE=\n';
    expect(parseSettings(text)).toEqual({ A: '4', B: 'two words', C: '3', D: '*/5 * * * *', E: '' });
  });

  const changes: readonly [text: string, changes: Record<string, string>, result: string][] = [
    ['A=1\nB=2\n', { A: '3' }, 'A=3\nB=2\n'],
    ['# what A is\n#A=1\nB=2\n', { A: '3' }, '# what A is\nA=3\nB=2\n'],
    ['#A=1\nA=2\n', { A: '3' }, '#A=1\nA=3\n'],
    ['B=2\n', { A: '3' }, 'B=2\nA=3\n'],
    ['B=2', { A: '3' }, 'B=2\nA=3'],
    ['AA=1\n', { A: '$1 $& x' }, 'AA=1\nA=$1 $& x\n'],
  ];
  test.each(changes)('%j with %j becomes %j', (text, change, result) => {
    expect(changeSettings(text, change)).toBe(result);
  });
});
