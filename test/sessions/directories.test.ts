import { expect, test } from 'bun:test';
import { closeSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { type OutputDescriptors, SessionDirectories } from '../../src/sessions/directories.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const ALWAYS_SLOW = -1;
const NEVER_SLOW = 60_000;

const readyIn = (path: string): string[] => readdirSync(path).filter((name) => name.startsWith('.ready-'));

async function untilReady(path: string): Promise<string[]> {
  for (let tries = 0; tries < 200 && readyIn(path).length < 2; tries++) await Bun.sleep(10);
  return readyIn(path);
}

function close({ stdout, stderr }: OutputDescriptors): void {
  closeSync(stdout);
  closeSync(stderr);
}

/** A directory of a session, its streams empty, and what is written to the descriptors is in them. */
function expectSession(path: string, output: OutputDescriptors): void {
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(readdirSync(path).sort()).toEqual(['stderr', 'stdout']);
  for (const name of ['stdout', 'stderr'] as const) {
    expect(statSync(`${path}/${name}`)).toMatchObject({ size: 0, mode: 0o100_600 });
    writeSync(output[name], name);
    writeSync(output[name], '!');
    expect(readFileSync(`${path}/${name}`, 'utf8')).toBe(`${name}!`);
  }
  close(output);
}

test('sessions are made when they are needed, and none ahead on a quick file system', async () => {
  using directory = new TemporaryDirectory();
  const directories = new SessionDirectories(directory.path, NEVER_SLOW);
  for (const name of ['a', 'b', 'c']) expectSession(directory.join(name), directories.make(directory.join(name)));
  await Bun.sleep(20);
  expect(readdirSync(directory.path).sort()).toEqual(['a', 'b', 'c']);
});

test('on a slow one the next ones are there before they are needed', async () => {
  using directory = new TemporaryDirectory();
  const directories = new SessionDirectories(directory.path, ALWAYS_SLOW);
  expectSession(directory.join('a'), directories.make(directory.join('a')));
  const ready = await untilReady(directory.path);
  expect(ready).toHaveLength(2);
  const inodes = ready.map((name) => statSync(directory.join(name)).ino);
  expectSession(directory.join('b'), directories.make(directory.join('b')));
  expect(inodes).toContain(statSync(directory.join('b')).ino);
  expect(await untilReady(directory.path)).toHaveLength(2);
});

test('what was removed of them, or left by an earlier agent, is in nobody’s way', async () => {
  using directory = new TemporaryDirectory();
  const directories = new SessionDirectories(directory.path, ALWAYS_SLOW);
  close(directories.make(directory.join('a')));
  for (const name of await untilReady(directory.path)) rmSync(directory.join(name), { recursive: true });
  expectSession(directory.join('b'), directories.make(directory.join('b')));
  await untilReady(directory.path);
  new SessionDirectories(directory.path).removeLeft();
  expect(readdirSync(directory.path).sort()).toEqual(['a', 'b']);
  expectSession(directory.join('c'), directories.make(directory.join('c')));
});

test('what cannot be made throws, now and ahead, and leaves nothing', async () => {
  using directory = new TemporaryDirectory();
  const directories = new SessionDirectories(directory.join('none'), ALWAYS_SLOW);
  expect(() => directories.make(directory.join('none/a'))).toThrow('ENOENT');
  await Bun.sleep(20);
  expect(() => directories.make(directory.join('none/b'))).toThrow('ENOENT');
  close(directories.make(directory.join('b')));
  await Bun.sleep(20);
  expect(readdirSync(directory.path)).toEqual(['b']);
});
