import { expect, test } from 'bun:test';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { hiddenNow } from '../../src/sandbox/hidden.ts';
import { allHomes } from '../../src/sandbox/homes.ts';
import { listDirectory } from '../../src/sandbox/listing.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const entry = (name: string, home: string): string => `${name}:x:1000:1000::${home}:/bin/sh\n`;

test('homes are root’s, those in /home and those of /etc/passwd, but for what belongs to the system', () => {
  using directory = new TemporaryDirectory();
  const [passwd, home] = [directory.join('passwd'), directory.join('home')];
  mkdirSync(`${home}/anna`, { recursive: true });
  const homes = ['/root', '/var/lib/postgresql', '/srv/app/', '/srv//carl', '/srv/x/../bert', '/var/lib/postgresql'];
  const none = [
    '/',
    '//',
    '/nonexistent',
    '/bin',
    '/sbin',
    '/usr/games',
    '/dev',
    '/proc/1',
    '/sys',
    '/srv/../usr',
    '',
    'x',
  ];
  writeFileSync(passwd, [...homes, ...none].map((path, at) => entry(`u${at}`, path)).join(''));
  const named = ['/var/lib/postgresql', '/srv/app', '/srv/carl', '/srv/bert'];
  expect(allHomes(passwd, home)).toEqual(['/root', `${home}/anna`, ...named]);
});

test('a change of either is seen, and what is missing has none', () => {
  using directory = new TemporaryDirectory();
  const [passwd, home] = [directory.join('passwd'), directory.join('home')];
  expect(allHomes(passwd, home)).toEqual(['/root']);
  writeFileSync(passwd, entry('anna', '/srv/anna'));
  expect(allHomes(passwd, home)).toEqual(['/root', '/srv/anna']);
  mkdirSync(`${home}/carl`, { recursive: true });
  expect(allHomes(passwd, home)).toEqual(['/root', `${home}/carl`, '/srv/anna']);
  writeFileSync(passwd, entry('anna', '/srv/anna') + entry('bert', '/srv/bert'));
  expect(allHomes(passwd, home)).toEqual(['/root', `${home}/carl`, '/srv/anna', '/srv/bert']);
});

test.skipIf(process.geteuid?.() !== 0)('~/ in what is hidden matches a home outside of /home as well', () => {
  const [home] = allHomes().filter((path) => path.startsWith('/var/') || path.startsWith('/srv/'));
  if (home === undefined) throw new Error('Debian has users with homes in /var');
  const secret = `${home}/.agent3-test-secret`;
  mkdirSync(secret, { recursive: true });
  try {
    expect(hiddenNow({ writable: [], hidden: ['~/.agent3-test-secret'] }).outside).toContain(secret);
  } finally {
    rmSync(secret, { recursive: true });
  }
});

test('homes, and what is in a directory, are never taken for none because no descriptor is free', () => {
  using directory = new TemporaryDirectory();
  const [passwd, home] = [directory.join('passwd'), directory.join('home')];
  mkdirSync(`${home}/anna`, { recursive: true });
  writeFileSync(passwd, entry('bert', '/srv/bert'));
  {
    using _ = new NoDescriptor();
    expect(() => allHomes(passwd, home)).toThrow('EMFILE');
    expect(() => listDirectory(home)).toThrow('EMFILE');
  }
  expect(allHomes(passwd, home)).toEqual(['/root', `${home}/anna`, '/srv/bert']);
  expect(listDirectory(home)).toMatchObject({ size: 1 });
});

/** Takes every free descriptor of this process. */
class NoDescriptor implements Disposable {
  readonly #taken: number[] = [];

  constructor() {
    try {
      for (;;) this.#taken.push(openSync('/dev/null', 'r'));
    } catch {}
  }

  [Symbol.dispose](): void {
    for (const fd of this.#taken) closeSync(fd);
  }
}
