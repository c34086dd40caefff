import { expect, test } from 'bun:test';
import { remotePathIn } from '../../src/cli/cp.ts';
import { barLine } from '../../src/cli/progress-bar.ts';

test.each([
  ['a.tgz', 0, 0, 0, 'a.tgz  100 % [####################] 0 B  0 B/s  0:00'],
  ['a.tgz', 512, 1024, 1, 'a.tgz  50 % [##########          ] 512 B  512 B/s  0:01'],
  ['a.tgz', 1_048_576, 125_829_120, 1, 'a.tgz  0 % [                    ] 1.0 MiB  1.0 MiB/s  1:59'],
  ['x'.repeat(40), 1, 1, 1, `…${'x'.repeat(29)}  100 % [####################] 1 B  1 B/s  0:00`],
])('the bar of %s with %d of %d bytes', (name, passed, bytes, seconds, line) => {
  expect(barLine(name, passed, bytes, seconds)).toBe(line);
});

test.each([
  [':/srv/x', { host: '', path: '/srv/x' }],
  [':/srv/../etc/x', { host: '', path: '/etc/x' }],
  ['agent.example.org:/x', { host: 'agent.example.org', path: '/x' }],
  ['./a:b', undefined],
  ['/a:b', undefined],
  ['a', undefined],
])('%s names a path on an agent, or not', (word, remote) => {
  expect(remotePathIn(word)).toEqual(remote as never);
});
