import { afterAll, expect, test } from 'bun:test';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { ProfileBook } from '../../src/profiles/profile-book.ts';
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
  const notices = { info: () => {}, warn: (fields: unknown) => told.push(fields) };
  const book = new ProfileBook(place.path, { now: () => nowMs, elapsed: () => nowMs }, notices);
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
