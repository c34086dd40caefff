import { expect, test } from 'bun:test';
import { formatServiceStatus, parseServiceStatus } from '../../src/lib/service-status.ts';

const cases: readonly [text: string, commands: number, outliving: number, isFrozen: boolean][] = [
  ['commands=0 outliving=0', 0, 0, false],
  ['commands=12 outliving=3', 12, 3, false],
  ['commands=2 outliving=2 frozen', 2, 2, true],
];
test.each(cases)(
  'what systemd keeps of the commands, %j, is written and read back',
  (text, commands, outliving, isFrozen) => {
    expect(formatServiceStatus({ commands, outliving, isFrozen })).toBe(text);
    expect(parseServiceStatus(text)).toEqual({ commands, outliving, isFrozen });
  },
);

test.each(['stopping', '', 'commands=12', 'x commands=1 outliving=0'])('%j says nothing of commands', (text) => {
  expect(parseServiceStatus(text)).toEqual({ commands: 0, outliving: 0, isFrozen: false });
});
