import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { bad, type Check, findingsText, good, lookAt } from '../../../src/install/doctor/finding.ts';
import { confiningSettings } from '../../../src/install/doctor/profile-machine.ts';
import { exposingLines, lastCheckFinding } from '../../../src/install/doctor/service.ts';
import { describeMemoryLimits, readText } from '../../../src/install/machine.ts';

describe('one fault for one cause', () => {
  test('what a finding leaves out is not looked at, and the finding names it', async () => {
    const looked: string[] = [];
    const check = (name: string, found = good('well')): Check => [
      name,
      () => {
        looked.push(name);
        return found;
      },
    ];
    const findings = await lookAt([
      check('disk'),
      check('service', bad('not active', 'start it', ['health', 'command', 'https'])),
      check('health', bad('no answer', 'look')),
      check('command', bad('no answer', 'look')),
      check('clock'),
    ]);
    expect(looked).toEqual(['disk', 'service', 'clock']);
    expect(findingsText(findings)).toBe(`✓ disk     well
✗ service  not active; therefore not checked: health, command
           → start it
✓ clock    well`);
    expect(findings[1]).toMatchObject({ left_out: ['health', 'command'] });
  });

  test('a look that the system refuses is a finding, and ends no other', async () => {
    const findings = await lookAt([
      ['logs', () => good(readFileSync('/nowhere/x', 'utf8'))],
      ['settings', () => good(readText('/etc') ?? '')],
      ['clock', () => good('well')],
    ]);
    expect(findings).toMatchObject([
      { ok: false, found: '/nowhere/x: it does not exist (ENOENT)', advice: expect.stringContaining('agent3 doctor') },
      { ok: false, found: '/etc cannot be read: it is a directory (EISDIR)' },
      { ok: true },
    ]);
    const broken = lookAt([['clock', () => good(JSON.parse('{'))]]);
    await expect(broken).rejects.toThrow(SyntaxError);
  });
});

const NOW = Date.parse('2026-11-28T20:10:00+00:00');
const DAY = 86_400;
const lines: readonly [line: string, onSeconds: number, ok: boolean, found: string | RegExp][] = [
  ['', DAY, true, /first check is due/],
  ['2026-11-28T20:08:00+00:00 - Agent3 running OK', DAY, true, /found: Agent3 running OK. The next is due/],
  ['2026-11-28T20:08:00+00:00 - Agent3 running again', DAY, true, /found: Agent3 running again\. The next/],
  [
    '2026-11-28T20:07:00+00:00 - Agent3 not running. Restarting... (healthz was not answered)',
    DAY,
    true,
    'its last check, 3 minutes ago, found: Agent3 not running. Restarting... (healthz was not answered). The next is due within 5 minutes',
  ],
  ['2026-11-28T19:40:00+00:00 - Agent3 running OK', DAY, false, /30 minutes ago/],
  // Its timer has just been switched on again, or the machine.
  ['2026-11-28T19:40:00+00:00 - Agent3 running OK', 60, true, /found: Agent3 running OK. The next is due/],
  ['2026-11-20T19:40:00+00:00 - Agent3 still not running. (x)', 60, true, /found: Agent3 still not running/],
  // A clock that was set back.
  ['2026-11-28T20:12:00+00:00 - Agent3 running OK', DAY, true, /found: Agent3 running OK. The next is due/],
];
test.each(lines)('the watchdog’s last line %j, with its timer on for %i s', (line, onSeconds, ok, found) => {
  const finding = lastCheckFinding(line, NOW, onSeconds);
  expect(finding).toMatchObject({ ok });
  expect(finding.found).toMatch(found);
});

const MEMORY: readonly [all: number, one: number, words: string][] = [
  [276_824_064, 0, 'one may use 237 MiB of memory, all together 264 MiB'],
  [276_824_064, 104_857_600, 'one may use 100 MiB of memory, all together 264 MiB'],
  [Number.NaN, 104_857_600, 'one may use 100 MiB of memory'],
  [Number.NaN, 0, 'without a limit of memory'],
];
test.each(MEMORY)('with %d for all and %d for one: what commands may use', (all, one, words) => {
  expect(describeMemoryLimits(all, one)).toBe(words);
});

test('what a unit forbids is taken from all of its files, in their order, and nothing else', () => {
  const unit = `# /etc/systemd/system/agent3.service
[Unit]
ProtectHome=not of this section
[Service]
ExecStart=/usr/local/bin/agent3 serve
EnvironmentFile=/etc/agent3/agent3.env
#ProtectClock=a comment
UMask=0022
KeyringMode = private
[Install]
WantedBy=multi-user.target

# /etc/systemd/system/agent3.service.d/10-user.conf
[Service]
User=agent3
ExecStartPre=+/bin/sh -c 'x; \\
NoNewPrivileges=no'
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=full
SystemCallFilter=~@mount
RestrictAddressFamilies=AF_UNIX \\
  AF_INET
# /etc/systemd/system/agent3.service.d/override.conf
[Service]
ProtectSystem=strict
ReadWritePaths=/srv
LimitNOFILE=1
`;
  expect(confiningSettings(unit)).toEqual([
    'UMask=0022',
    'KeyringMode=private',
    'User=agent3',
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'AmbientCapabilities=',
    'ProtectSystem=full',
    'SystemCallFilter=~@mount',
    'RestrictAddressFamilies=AF_UNIX AF_INET',
    'ProtectSystem=strict',
    'ReadWritePaths=/srv',
  ]);
});

test('what a unit starts as its user, but for the agent itself, would show the token to commands', () => {
  const unit = `[Unit]
ExecStart=/not/of/this/section
[Service]
ExecStartPre=+/bin/sh -c 'x'
ExecStart=/usr/local/bin/agent3 serve
ExecReload=/bin/kill -HUP $MAINPID
ExecStopPost=/bin/old
ExecPaths=/usr
[Service]
ExecReload=
ExecReload=+/bin/kill -HUP $MAINPID
ExecStartPost = -@/bin/one one
ExecStartPost=!/bin/two
ExecStopPost=
ExecStop=-:/bin/three
`;
  expect(exposingLines(unit, '/usr/local/bin/agent3')).toEqual([
    'ExecStartPost=-@/bin/one one',
    'ExecStop=-:/bin/three',
  ]);
  expect(exposingLines('[Service]\nExecStart=/usr/bin/env agent3 serve', '/usr/bin/agent3')).toHaveLength(1);
});
