import { expect, test } from 'bun:test';
import { formatServiceStatus, parseServiceStatus } from '../../src/lib/service-status.ts';

const cases: readonly [text: string, commands: number, outliving: number][] = [
  ['commands=0 outliving=0', 0, 0],
  ['commands=12 outliving=3', 12, 3],
];
test.each(cases)('what systemd keeps of the commands, %j, is written and read back', (text, commands, outliving) => {
  expect(formatServiceStatus({ commands, outliving })).toBe(text);
  expect(parseServiceStatus(text)).toEqual({ commands, outliving });
});

test.each(['stopping', '', 'commands=12', 'x commands=1 outliving=0'])('%j says nothing of commands', (text) => {
  expect(parseServiceStatus(text)).toEqual({ commands: 0, outliving: 0 });
});
