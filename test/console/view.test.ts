import { expect, test } from 'bun:test';
import { shownStatus } from '../../src/console/view.ts';
import type { SessionRecord } from '../../src/sessions/record.ts';

const record = (status: string, action?: string) =>
  ({ status, ...(action !== undefined && { decision: { action } }) }) as unknown as SessionRecord;

test.each(['stopped', 'expired', 'withdrawn'])('what nobody has denied is shown as %s', (action) => {
  expect(shownStatus(record('denied', action))).toBe(action);
});

test('what a person or a rule has denied, or somebody has changed, is shown as denied, and what ran as what became of it', () => {
  for (const action of ['denied', 'deny', 'tampered']) expect(shownStatus(record('denied', action))).toBe('denied');
  expect(shownStatus(record('done', 'approved'))).toBe('done');
  expect(shownStatus(record('killed'))).toBe('killed');
});
