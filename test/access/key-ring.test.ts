import { afterAll, expect, test } from 'bun:test';
import { chmodSync, statSync, utimesSync } from 'node:fs';
import { KeyRing } from '../../src/access/key-ring.ts';
import { hashToken, type TokenRecord, writeTokens } from '../../src/access/token-file.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

let files = 0;
/** A ring of one token, `anna`, and the clock that it goes by. */
function ringOf(fields: Partial<TokenRecord>) {
  let nowMs = 1_000_000;
  const path = directory.join(`${files++}.json`);
  const anna: TokenRecord = {
    name: 'anna',
    id: '01234567',
    profile: 'readonly',
    sha256: hashToken('new'),
    created_at: 0,
    expires_at: null,
    ips: [],
    ...fields,
  };
  writeTokens(path, [anna]);
  const logger = { info: () => {}, warn: () => {} };
  const ring = new KeyRing(path, { now: () => nowMs, elapsed: () => nowMs }, logger);
  return {
    path,
    pass: (ms: number) => {
      nowMs += ms;
    },
    profile: () => ring.profileOf('anna#01234567'),
    principal: (token: string) => ring.principalOf(token, '127.0.0.1'),
  };
}

test('a principal has a profile until its token ends', () => {
  const { profile, principal, pass } = ringOf({ expires_at: 1_003_000 });
  expect([principal('new'), profile()]).toEqual(['anna#01234567', 'readonly']);
  pass(2999);
  expect(profile()).toBe('readonly');
  pass(1);
  expect([principal('new'), profile()]).toEqual([undefined, undefined]);
});

test('the end of the token before a rotation is not the end of its principal', () => {
  const { profile, principal, pass } = ringOf({ previous: [{ sha256: hashToken('old'), until: 1_003_000 }] });
  expect(principal('old')).toBe('anna#01234567');
  pass(3000);
  expect([principal('old'), principal('new'), profile()]).toEqual([undefined, 'anna#01234567', 'readonly']);
});

test('a principal has none any more when its token is revoked, without a request that shows it', () => {
  const { path, profile, pass } = ringOf({});
  expect(profile()).toBe('readonly');
  writeTokens(path, []);
  pass(500);
  expect(profile()).toBeUndefined();
});

test('a token that is made is known with its first request', () => {
  const { path, principal } = ringOf({});
  expect(principal('next')).toBeUndefined();
  writeTokens(path, [
    { name: 'bert', id: '76543210', sha256: hashToken('next'), created_at: 0, expires_at: null, ips: [] },
  ]);
  expect(principal('next')).toBe('bert#76543210');
});

test('a file that is only opened again to the agent is read, though nothing was written to it', () => {
  const { path, principal, pass } = ringOf({});
  chmodSync(path, 0o666);
  pass(500);
  expect(principal('new')).toBe('anna#01234567');
  writeTokens(path, []);
  chmodSync(path, 0o602);
  pass(500);
  expect(principal('new')).toBe('anna#01234567');
  const { atime, mtime } = statSync(path);
  chmodSync(path, 0o600);
  utimesSync(path, atime, mtime);
  pass(500);
  expect(principal('new')).toBeUndefined();
});
