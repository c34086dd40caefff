import { expect, test } from 'bun:test';
import { lastingHint, reopenHint } from '../../src/calls/hints.ts';
import type { SessionRecord } from '../../src/sessions/record.ts';
import { HOSTILE_PIECES, slowPieces } from '../helpers/growth.ts';

test('the look for redirections takes time with the length of a command, whatever it is made of', () => {
  expect(
    slowPieces([...HOSTILE_PIECES, '>|', '>/dev/', '> /dev/fd/', '>> ', 'tee -a '], (cmd) =>
      reopenHint({ cmd, reopened: ['stdout'] }),
    ),
  ).toEqual([]);
});

test('systemd-run is named for what serves clients, where it may be started', () => {
  const running = { status: 'running' } as SessionRecord;
  const silence = { what: '', text: 'it listens', asks: false, serves: true, calls: [] };
  expect(lastingHint(running, silence, true)).toContain('systemd-run --unit=NAME COMMAND');
  expect(lastingHint(running, silence, false)).toBeUndefined();
  expect(lastingHint(running, { ...silence, serves: false }, true)).toBeUndefined();
  expect(lastingHint({ ...running, status: 'done' }, silence, true)).toBeUndefined();
});
