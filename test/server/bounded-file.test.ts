import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { BoundedFile } from '../../src/server/log.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const MOST = 10_000;
const LINE = `${'x'.repeat(99)}\n`;

const sizesIn = (directory: string): number[] =>
  readdirSync(directory).map((name) => statSync(`${directory}/${name}`, { throwIfNoEntry: true }).size);

/** As a service keeps the record: nobody may move the file, not even root. */
const forbidMoves = (directory: TemporaryDirectory): boolean =>
  Bun.spawnSync(['chattr', '+a', directory.join('log')], { stderr: 'ignore' }).exitCode === 0;
const allowMoves = (directory: TemporaryDirectory) => Bun.spawnSync(['chattr', '-a', directory.join('log')]);

test('a log that its agent may move is put aside, and seven older files are kept', async () => {
  using directory = new TemporaryDirectory();
  const file = new BoundedFile(directory.join('log'), MOST);
  for (let line = 0; line < 1200; line++) {
    file.write(LINE);
    if (line % 100 === 0) await Bun.sleep(0);
  }
  const sizes = sizesIn(directory.path);
  expect(sizes.length).toBe(8);
  for (const size of sizes) expect(size).toBeLessThanOrEqual(MOST + LINE.length);
  file.destination.destroy();
});

test('a log that grew before its agent began is put aside with the first line', () => {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join('log'), LINE.repeat(5000));
  const file = new BoundedFile(directory.join('log'), MOST);
  file.write(LINE);
  expect(readFileSync(directory.join('log'), 'utf8')).toBe(LINE);
  expect(statSync(directory.join('log.1')).size).toBe(5000 * LINE.length);
  file.destination.destroy();
});

test('a log that only logrotate may move never has more than twice its size, and reports what was left out', () => {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join('log'), '');
  if (!forbidMoves(directory)) return console.warn('not run: no permission to make a file append-only');
  const file = new BoundedFile(directory.join('log'), MOST);
  for (let line = 0; line < 1000; line++) file.write(LINE);
  expect(readdirSync(directory.path)).toEqual(['log']);
  expect(statSync(directory.join('log')).size).toBe(2 * MOST);
  allowMoves(directory);
  renameSync(directory.join('log'), directory.join('log.1'));
  expect(file.reopen()).toBe(800);
  file.write(LINE);
  expect(readFileSync(directory.join('log'), 'utf8')).toBe(LINE);
  expect(file.reopen()).toBe(0);
  file.destination.destroy();
});
