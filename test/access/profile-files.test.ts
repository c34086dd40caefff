import { afterAll, expect, test } from 'bun:test';
import { chmodSync, chownSync, rmSync, writeFileSync } from 'node:fs';
import { ProfileBook } from '../../src/access/access.ts';
import { readProfiles } from '../../src/access/profile-files.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

/** A book of one file, `app.toml`, the clock that it goes by, and what its owner has heard. */
function bookOf(text: string) {
  let nowMs = 0;
  const place = new TemporaryDirectory(directory.path);
  const file = place.join('app.toml');
  writeFileSync(file, text);
  const told: unknown[] = [];
  const logger = { info: () => {}, warn: (fields: unknown) => told.push(fields) };
  const book = new ProfileBook(place.path, { now: () => nowMs, elapsed: () => nowMs }, logger);
  return {
    file,
    told,
    book,
    /** The profile when the next look is due. */
    later: () => {
      nowMs += 500;
      return book.get('app');
    },
  };
}

test('a change of a file is seen', () => {
  const { file, later, told } = bookOf('description = "before"');
  expect(later()).toMatchObject({ description: 'before' });
  writeFileSync(file, 'description = "after, and longer"');
  expect(later()).toMatchObject({ description: 'after, and longer' });
  rmSync(file);
  expect(later()).toBeUndefined();
  expect(told).toEqual([]);
});

test('a file that others may write to from now on is told, and what it said before stays in force', () => {
  const { file, book, later, told } = bookOf('description = "before"');
  writeFileSync(file, 'description = "whose is this?"');
  chmodSync(file, 0o666);
  expect(later()).toMatchObject({ description: 'before' });
  expect(told).toEqual([{ file, faults: [expect.stringContaining('others than its owner may write to it')] }]);
  expect(book.faultsOf('app')).toEqual([]);
  chmodSync(file, 0o600);
  expect(later()).toMatchObject({ description: 'whose is this?' });
});

test('a file that has faults from the beginning is a profile that is not there, until it is mended', () => {
  const { file, book, later, told } = bookOf('extends = "root"');
  expect(later()).toBeUndefined();
  expect(told).toHaveLength(1);
  expect(book.faultsOf('app')).toEqual([expect.stringMatching(/app\.toml: extends must be/)]);
  writeFileSync(file, 'extends = "full"');
  expect(later()).toMatchObject({ name: 'app' });
});

test('a profile that was missing is there as soon as its file is', () => {
  const { file, book } = bookOf('extends = "full"');
  rmSync(file);
  writeFileSync(`${file.slice(0, -8)}next.toml`, 'extends = "full"');
  expect(book.get('next')).toMatchObject({ name: 'next' });
});

const asRoot = test.skipIf(process.geteuid?.() !== 0);

asRoot(
  'a file of another user than root is not used, also by an agent of that user where the directory is root’s',
  () => {
    const place = new TemporaryDirectory(directory.path);
    const file = place.join('app.toml');
    writeFileSync(file, 'extends = "full"');
    chownSync(file, 65_534, 65_534);
    const fault = `it belongs to the user with the number 65534, and has to be root's: chown root ${file}`;
    expect(readProfiles(place.path).faulty).toEqual([{ path: file, name: 'app', faults: [fault] }]);
    for (const path of [directory.path, place.path]) chmodSync(path, 0o755);
    expect(asNobody(() => readProfiles(place.path).faulty[0]?.faults)).toEqual([fault]);
    // An agent that somebody runs by hand has all of it for its own.
    for (const path of [directory.path, place.path]) chownSync(path, 65_534, 65_534);
    expect(asNobody(() => readProfiles(place.path).faulty)).toEqual([]);
    // Its directory alone is not: the one who has given it away may not know that it holds profiles.
    chownSync(directory.path, 0, 0);
    expect(asNobody(() => readProfiles(place.path).faulty)).toMatchObject([{ path: place.path, name: undefined }]);
  },
);

function asNobody<T>(work: () => T): T {
  process.seteuid?.(65_534);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

asRoot('a directory that others may write to is not used at all', () => {
  const place = new TemporaryDirectory(directory.path);
  writeFileSync(place.join('app.toml'), 'extends = "full"');
  chmodSync(place.path, 0o777);
  expect(readProfiles(place.path)).toMatchObject({
    faulty: [{ path: place.path, faults: [expect.stringContaining('others than its owner may write to it')] }],
  });
  expect([...readProfiles(place.path).profiles.keys()]).toEqual(['full', 'readonly']);
});

test('a file whose name is that of a built-in profile, or no profile’s at all, is told of', () => {
  const place = new TemporaryDirectory(directory.path);
  for (const name of ['full.toml', 'app.yaml', 'App.TOML', 'notes.md', 'app.toml.bak', 'app.toml~'])
    writeFileSync(place.join(name), 'extends = "full"');
  const { faulty, profiles } = readProfiles(place.path);
  expect(faulty.map(({ path, faults }) => [path.slice(place.path.length + 1), faults[0]])).toEqual([
    ['App.TOML', 'the name of a profile file must end with .toml or .json'],
    ['app.yaml', 'the name of a profile file must end with .toml or .json'],
    ['full.toml', 'full is the name of a built-in profile: rename the file, and write extends = "full" in it'],
  ]);
  expect([...profiles.keys()]).toEqual(['full', 'readonly']);
});

test.each([
  ['extends = "full"\n[limits]\nmemory_mib = = 3\n', 'line 3: '],
  ['extends = "full"\n\ndescription = "x\n', 'line 3: '],
  ['extends = "full"\nextends = "full"\ndescription = "x"\n', 'line 2: '],
  ['x', 'line 1: '],
  ['# a\nhide = [\n  "/a",\n  "/b" "/c",\n]\n[limits]\n', 'line 2: '],
])('what cannot be parsed is told with its line: %j', (text, told) => {
  using place = new TemporaryDirectory(directory.path);
  writeFileSync(place.join('app.toml'), text);
  const [fault] = readProfiles(place.path).faulty;
  expect(fault?.faults[0]).toStartWith(`it cannot be parsed: ${told}`);
});

test('of two files for one profile neither is used, and each names the other', () => {
  using directory = new TemporaryDirectory();
  for (const name of ['app.toml', 'app.json']) writeFileSync(directory.join(name), name.endsWith('json') ? '{}' : '');
  const { profiles, faulty } = readProfiles(directory.path);
  expect(profiles.has('app')).toBe(false);
  expect(faulty.map(({ faults }) => faults)).toEqual([
    ['app.toml is for the same profile: remove one of the two'],
    ['app.json is for the same profile: remove one of the two'],
  ]);
});
