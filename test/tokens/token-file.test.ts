import { expect, test } from 'bun:test';
import { closeSync, openSync, statSync } from 'node:fs';
import { tryLock } from '../../src/platform/libc.ts';
import { changeTokens, readTokens, TokenFileFault, type TokenRecord } from '../../src/tokens/token-file.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const tokenOf = (name: string): TokenRecord => ({
  name,
  id: '01234567',
  sha256: 'a'.repeat(64),
  created_at: 0,
  expires_at: null,
  ips: [],
});

test('a change is made under a lock that no other user can hold, and let go of', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('tokens.json');
  for (const name of ['anna', 'bert']) changeTokens(path, (tokens) => [...tokens, tokenOf(name)]);
  expect(readTokens(path).map(({ name }) => name)).toEqual(['anna', 'bert']);
  expect(statSync(`${path}.lock`).mode & 0o777).toBe(0o600);
});

test('who holds the lock for too long keeps others from a change, and they say so', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('tokens.json');
  changeTokens(path, () => []);
  const fd = openSync(`${path}.lock`, 'r+');
  try {
    expect(tryLock(fd)).toBe(true);
    const change = () => changeTokens(path, () => [tokenOf('anna')], undefined, 50);
    expect(change).toThrow(TokenFileFault);
    expect(change).toThrow(/another agent3 token changes it/);
    expect(readTokens(path)).toEqual([]);
  } finally {
    closeSync(fd);
  }
});
