import { expect, test } from 'bun:test';
import { formatServiceStatus, parseServiceStatus } from '../../src/lib/service-status.ts';

const cases: readonly [text: string, commands: number, outliving: number][] = [
  ['0 commands run', 0, 0],
  ['1 command runs', 1, 0],
  ['12 commands run, 3 of them through a restart', 12, 3],
  ['1 command runs, 1 of them through a restart', 1, 1],
];
test.each(cases)('what systemd keeps of the commands, %j, is written and read back', (text, commands, outliving) => {
  expect(formatServiceStatus({ commands, outliving })).toBe(text);
  expect(parseServiceStatus(text)).toEqual({ commands, outliving });
});

test.each(['stopping', '', '12 commands run, of them', 'x 1 command runs'])('%j tells of no commands', (text) => {
  expect(parseServiceStatus(text)).toEqual({ commands: 0, outliving: 0 });
});
