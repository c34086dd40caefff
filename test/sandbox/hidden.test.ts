import { expect, test } from 'bun:test';
import { chmodSync, chownSync, linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type HiddenPaths, type HidingSpec, hiddenNow } from '../../src/sandbox/hidden.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
interface Change {
  /** What is hidden. */
  readonly hidden: string;
  /** What is there before: directories end in a slash, links have an arrow, all else are files. */
  readonly there: readonly string[];
  readonly change: (path: (name: string) => string) => void;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

const CHANGES: Readonly<Record<string, Change>> = {
  'a name comes to be': {
    ...{ hidden: 'key', there: [], before: [], after: ['key'] },
    change: (path) => writeFileSync(path('key'), ''),
  },
  'a new name that matches a star': {
    ...{ hidden: 'id_*', there: ['id_a'], before: ['id_a'], after: ['id_a', 'id_b'] },
    change: (path) => writeFileSync(path('id_b'), ''),
  },
  'a directory on the way comes to be': {
    ...{ hidden: 'a/b/key', there: ['a/'], before: [], after: ['a/b/key'] },
    change: (path) => {
      mkdirSync(path('a/b'));
      writeFileSync(path('a/b/key'), '');
    },
  },
  'a name in a directory that a link leads to': {
    ...{ hidden: 'a/key', there: ['b/c/', 'a -> b/c'], before: [], after: ['b/c/key'] },
    change: (path) => writeFileSync(path('b/c/key'), ''),
  },
  'a link that led nowhere leads to something': {
    ...{ hidden: 'key', there: ['a/b/', 'key -> a/b/c'], before: [], after: ['a/b/c'] },
    change: (path) => writeFileSync(path('a/b/c'), ''),
  },
  'the second of two links leads elsewhere': {
    ...{ hidden: 'key', there: ['a/one', 'a/two', 'a/link -> one', 'key -> a/link'] },
    ...{ before: ['a/one'], after: ['a/two'] },
    change: (path) => {
      rmSync(path('a/link'));
      symlinkSync('two', path('a/link'));
    },
  },
  'a link on the way of a link leads elsewhere': {
    ...{ hidden: 'key', there: ['one/s', 'two/s', 'b/', 'b/cur -> ../one', 'key -> b/cur/s'] },
    ...{ before: ['one/s'], after: ['two/s'] },
    change: (path) => {
      rmSync(path('b/cur'));
      symlinkSync('../two', path('b/cur'));
    },
  },
  'and to another name of the same file': {
    ...{ hidden: 'key', there: ['one/s', 'two/', 'b/', 'b/cur -> ../one', 'key -> b/cur/s'] },
    ...{ before: ['one/s'], after: ['two/s'] },
    change: (path) => {
      linkSync(path('one/s'), path('two/s'));
      rmSync(path('b/cur'));
      symlinkSync('../two', path('b/cur'));
    },
  },
  'a directory is moved, and a link left': {
    ...{ hidden: 'a/b/key', there: ['a/b/key'], before: ['a/b/key'], after: ['c/b/key'] },
    change: (path) => {
      renameSync(path('a'), path('c'));
      symlinkSync('c', path('a'));
    },
  },
  'a directory above what a link leads to is moved, and a link left': {
    ...{ hidden: 'key', there: ['a/b/c', 'key -> a/b/c'], before: ['a/b/c'], after: ['d/b/c'] },
    change: (path) => {
      renameSync(path('a'), path('d'));
      symlinkSync('d', path('a'));
    },
  },
  'it goes': {
    ...{ hidden: 'key', there: ['key'], before: ['key'], after: [] },
    change: (path) => rmSync(path('key')),
  },
  ...(isRoot && {
    'what was another’s alone is opened': {
      ...{ hidden: 'key', there: ['key 0600'], before: [], after: ['key'] },
      change: (path) => chmodSync(path('key'), 0o644),
    },
    'a directory that was closed is opened': {
      ...{ hidden: 'a/key', there: ['a/key', 'a 0711'], before: ['a/key'], after: ['a'] },
      change: (path) => chmodSync(path('a'), 0o710),
    },
  }),
};

/** What is hidden, once nothing has changed for so long that it is known. Others may write to homes meanwhile. */
async function known(spec: HidingSpec): Promise<HiddenPaths> {
  for (let tries = 0; tries < 100; tries++) {
    const found = hiddenNow(spec);
    if (hiddenNow(spec) === found) return found;
    await Bun.sleep(20);
  }
  throw new Error('it is looked for each time');
}

/** No user has this number. */
const STRANGER = 54_321;

function make(path: (name: string) => string, what: string): void {
  const [name = '', target] = what.split(' -> ');
  const [, closed, mode] = /^(\S+) (0\d+)$/.exec(what) ?? [];
  if (closed !== undefined) {
    if (!closed.includes('/') && what.includes('0600')) writeFileSync(path(closed), '');
    chownSync(path(closed), STRANGER, STRANGER);
    chmodSync(path(closed), Number.parseInt(mode ?? '', 8));
  } else if (target !== undefined) symlinkSync(target, path(name));
  else if (name.endsWith('/')) mkdirSync(path(name), { recursive: true });
  else {
    mkdirSync(path(name.split('/').slice(0, -1).join('/')), { recursive: true });
    writeFileSync(path(name), '');
  }
}

for (const [name, { hidden, there, change, before, after }] of Object.entries(CHANGES)) {
  test(`what is hidden is known until something changes: ${name}`, async () => {
    // What lies in /tmp is not there in a sandbox.
    using directory = new TemporaryDirectory(import.meta.dir);
    const path = (inside: string): string => directory.join(inside);
    for (const what of there) make(path, what);
    const spec = { hidden: [path(hidden)], writable: [] };
    expect((await known(spec)).outside).toEqual(before.map(path));
    change(path);
    expect(hiddenNow(spec).outside).toEqual(after.map(path));
  });
}

test('what has just changed is looked for again', () => {
  using directory = new TemporaryDirectory(import.meta.dir);
  const spec = { hidden: [directory.join('key')], writable: [] };
  const first = hiddenNow(spec);
  expect(hiddenNow(spec)).not.toBe(first);
});

test('directories among the hidden are told from files', async () => {
  using directory = new TemporaryDirectory(import.meta.dir);
  mkdirSync(directory.join('a'));
  writeFileSync(directory.join('b'), '');
  const spec = { hidden: ['a', 'b'].map((name) => directory.join(name)), writable: [] };
  expect([...(await known(spec)).directories]).toEqual([directory.join('a')]);
  rmSync(directory.join('a'), { recursive: true });
  writeFileSync(directory.join('a'), '');
  expect(hiddenNow(spec).directories.size).toBe(0);
});
