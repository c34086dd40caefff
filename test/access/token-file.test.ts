import { expect, test } from 'bun:test';
import { chmodSync, chownSync, closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { changeTokens, readTokens, TokenFileFault, type TokenRecord } from '../../src/access/token-file.ts';
import { likelyOwner } from '../../src/lib/files.ts';
import { tryLock } from '../../src/linux/libc.ts';
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
    const change = () => changeTokens(path, () => [tokenOf('anna')], { timeoutMs: 50 });
    expect(change).toThrow(TokenFileFault);
    expect(change).toThrow(/process \d+ \(.+\) holds .*tokens\.json\.lock/);
    expect(readTokens(path)).toEqual([]);
  } finally {
    closeSync(fd);
  }
});

const asRoot = test.skipIf(process.geteuid?.() !== 0);

asRoot('the file of a service is readable for its group, and root’s alone to write, whatever it was', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('tokens.json');
  const GROUP = 65_534;
  const look = () => {
    const { uid, gid, mode } = statSync(path);
    return { uid, gid, mode: (mode & 0o7777).toString(8) };
  };
  changeTokens(path, () => [tokenOf('anna')], { group: GROUP });
  expect(look()).toEqual({ uid: 0, gid: GROUP, mode: '640' });
  // As somebody leaves it who has put a copy back.
  chownSync(path, 0, 0);
  chmodSync(path, 0o600);
  changeTokens(path, (tokens) => tokens, { group: GROUP });
  expect(look()).toEqual({ uid: 0, gid: GROUP, mode: '640' });
});

asRoot('a file that others than root may have written is not used', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('tokens.json');
  changeTokens(path, () => [tokenOf('anna')]);
  chmodSync(path, 0o666);
  expect(() => readTokens(path)).toThrow(
    /is not used: others than its owner may write to it \(mode 0666\): chmod go-w/,
  );
  chmodSync(path, 0o640);
  chownSync(path, 65_534, 65_534);
  expect(() => readTokens(path)).toThrow(/is not used: it belongs to the user with the number 65534/);
});

test('what is not a file is neither waited for nor made another', () => {
  using directory = new TemporaryDirectory();
  const pipe = directory.join('tokens.json');
  Bun.spawnSync(['mkfifo', pipe]);
  // Root that obeys `chmod go-w /dev/null` breaks the machine.
  for (const path of [pipe, '/dev/null'])
    expect(() => readTokens(path)).toThrow(`${path} cannot be read: it is not a regular file`);
  expect(() => readTokens('/tmp')).toThrow('(mode 1777): choose a directory of its own');
});

test('a time that is no date is a fault of the file', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('tokens.json');
  const text = JSON.stringify({ version: 1, tokens: [{ ...tokenOf('anna'), expires_at: 9e15 }] });
  writeFileSync(path, text, { mode: 0o600 });
  expect(() => readTokens(path)).toThrow('is not a file of tokens (/tokens/0/expires_at: ');
});

asRoot('root may look after the file of another user’s agent, which lies in a directory of that user', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('tokens.json');
  changeTokens(path, () => [tokenOf('anna')]);
  for (const one of [directory.path, path]) chownSync(one, 65_534, 65_534);
  expect(() => readTokens(path)).toThrow(/has to be root's/);
  const own = likelyOwner(path);
  expect(own).toBe(65_534);
  changeTokens(path, (tokens) => [...tokens, tokenOf('bert')], { own });
  expect(readTokens(path, own)).toHaveLength(2);
  expect(statSync(path).uid).toBe(65_534);
});
