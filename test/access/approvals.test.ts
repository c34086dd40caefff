import { expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import type { ApprovalRequest } from '../../src/access/approval-request.ts';
import { Approvals } from '../../src/access/approvals.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Logger } from '../../src/lib/logger.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const SESSION = '01234567-89ab-4cde-8f01-23456789abcd';

test('a request that nobody has decided on expires, and is gone from the disk', async () => {
  using place = new TemporaryDirectory();
  mkdirSync(place.join('decisions'));
  const approvals = new Approvals(place.path, place.join('decisions'), systemClock, {} as Logger);
  const told = [0, 0];
  for (const at of told.keys()) approvals.subscribe(() => (told[at] = (told[at] ?? 0) + 1));
  const request = { session: SESSION, cmd: 'true', expires_at: Date.now() + 20 } as ApprovalRequest;
  const verdict = approvals.ask(request, new AbortController().signal);
  expect(approvals.waiting()).toMatchObject([{ request: { session: SESSION } }]);
  expect(await verdict).toEqual({ kind: 'expired', why: 'nobody decided within 10 minutes', by: '' });
  expect(approvals.waiting()).toEqual([]);
  // The server's own console, and that of its hub.
  expect(told).toEqual([2, 2]);
  expect([...new Bun.Glob('**/*.json').scanSync(place.path)]).toEqual([]);
});
