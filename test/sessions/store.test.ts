import { expect, test } from 'bun:test';
import { closeSync } from 'node:fs';
import { systemClock } from '../../src/lib/clock.ts';
import { TooManyRequests } from '../../src/lib/errors.ts';
import { SessionStore } from '../../src/sessions/store.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const make = (store: SessionStore, principal: string, key: string | null) => {
  const { session, output } = store.create({ principal, cmd: 'true', cwd: '/', key, execution_seconds: 1 });
  closeSync(output.stdout);
  closeSync(output.stderr);
  return session;
};

test('a token has so many keys in a day, also of closed sessions and after a restart; others have theirs', () => {
  using directory = new TemporaryDirectory();
  const store = new SessionStore(directory.path, systemClock, 3);
  const sessions = ['one', 'two', 'three'].map((key) => make(store, 'busy', key));
  for (const session of sessions.slice(0, 2)) store.remove(session);
  expect(() => make(store, 'busy', 'four')).toThrow(TooManyRequests);
  expect(() => make(store, 'busy', 'four')).toThrow(/3 keys within 24 hours.*Send the call without key/);
  make(store, 'busy', null);
  make(store, 'calm', 'four');
  for (const session of sessions) session.update({});
  const later = new SessionStore(directory.path, systemClock, 3);
  later.load();
  expect(() => make(later, 'busy', 'four')).toThrow(TooManyRequests);
  // One whose command was never started leaves its key free.
  const [, , third] = sessions;
  if (third !== undefined) store.discard(third);
  make(store, 'busy', 'four');
});

test('the sum of what sessions take follows them, and is told', () => {
  using directory = new TemporaryDirectory();
  const store = new SessionStore(directory.path, systemClock);
  const told: number[] = [];
  store.watchDisk((held) => told.push(held));
  const session = make(store, 'token', null);
  store.grow(8192 + 1000);
  session.update({ stdout_bytes: 1000 });
  store.remove(session);
  store.grow(0);
  expect(told).toEqual([9192, 0]);
});
