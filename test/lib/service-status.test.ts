import { expect, test } from 'bun:test';
import {
  describeFleet,
  type FleetStatus,
  formatServiceStatus,
  parseServiceStatus,
} from '../../src/lib/service-status.ts';

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

const fleets: readonly [text: string, fleet: FleetStatus, words: string][] = [
  ['servers=3/5', { servers: { connected: 3, all: 5 } }, 'hub of 5 servers, 3 connected'],
  ['servers=1/1', { servers: { connected: 1, all: 1 } }, 'hub of 1 server, 1 connected'],
  ['servers=-/5', { servers: { connected: null, all: 5 } }, 'hub of 5 servers, none connected'],
  [
    'hub=main.example away=1796054099222',
    { hub: { name: 'main.example', isConnected: false, since: 1_796_054_099_222 } },
    'not connected to its hub, main.example, since 2026-11-30T15:54:59.222Z',
  ],
];
test.each(fleets)('its fleet, %j, is written and read back', (text, fleet, words) => {
  const status = { commands: 1, outliving: 0, isFrozen: true, ...fleet };
  expect(formatServiceStatus(status)).toBe(`commands=1 outliving=0 frozen ${text}`);
  expect(parseServiceStatus(formatServiceStatus(status))).toEqual(status);
  expect(describeFleet(fleet)).toBe(words);
});

test.each(['stopping', '', 'commands=12', 'x commands=1 outliving=0'])('%j says nothing of commands', (text) => {
  expect(parseServiceStatus(text)).toEqual({ commands: 0, outliving: 0, isFrozen: false });
});
