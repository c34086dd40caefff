import { expect, test } from 'bun:test';
import settingsExample from '../../../ops/agent3.env.example' with { type: 'text' };
import { envFileFaults } from '../../../ops/env-file.ts';
import { describeLineFault } from '../../../src/install/doctor/service.ts';
import { loadConfig } from '../../../src/settings/config.ts';

const faults: readonly (readonly [line: string, told: string | undefined])[] = [
  ['', undefined],
  ['# a note without an equals sign', undefined],
  ['; the same', undefined],
  ['AGENT3_PORT=5000', undefined],
  ['  AGENT3_PORT = 5000  ', undefined],
  ['AGENT3_PUBLIC_URL="https://a.example"', undefined],
  ["AGENT3_SHELL='/bin/my sh'", undefined],
  ['A="x"\'y\'', undefined],
  ['A="a \\" quote"', undefined],
  ["A=it's literal here", undefined],
  ['A=two backslashes\\\\', undefined],
  ['AGENT3_PORT', '(AGENT3_PORT …) is not NAME=value'],
  ['AGENT3_API_TOKEN: secret', '(AGENT3_API_TOKEN …) is not NAME=value'],
  ['5000', 'line 1 is not NAME=value'],
  ['1A=5', 'is not NAME=value'],
  ['AGENT3_API_TOKEN="open', 'has an open quote for AGENT3_API_TOKEN'],
  ["AGENT3_API_TOKEN='open", 'has an open quote for AGENT3_API_TOKEN'],
  ['A="closed" "open', 'has an open quote for A'],
  ['A="ends in an escaped quote\\"', 'has an open quote for A'],
  ['A=continues\\', 'ends with a backslash'],
  ['A="closed\non a later line"\nB=2', 'line 1 has an open quote for A'],
  ['# a comment that a backslash\\\ncarries on', undefined],
];
test.each(faults)('of the settings’ line %j is told: %p', (line, told) => {
  const found = envFileFaults(line).map(describeLineFault);
  if (told === undefined) expect(found).toEqual([]);
  else expect(found).toEqual([expect.stringContaining(told)]);
  expect(found.join()).not.toContain('secret');
});

test('the file that the installer writes has no fault, and faults are told with their lines', () => {
  expect(envFileFaults(settingsExample)).toEqual([]);
  expect(envFileFaults('A=1\n\nB\nC="x\n').map(({ line }) => line)).toEqual([3, 4]);
});

test('the agent says of a value over several lines that a quote is open', () => {
  const text = `5000"\n${'# a comment\n'.repeat(200)}`;
  expect(() => loadConfig({ AGENT3_API_TOKEN: text })).toThrow('AGENT3_API_TOKEN spans several lines: a quote');
  expect(() => loadConfig({ AGENT3_API_TOKEN: 'x'.repeat(43), AGENT3_PORT: text })).toThrow(
    'AGENT3_PORT spans several lines: a quote',
  );
});
