import { afterAll, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { lastChanges } from '../../src/audit/grant-lines.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

const DAY_MS = 86_400_000;
const NOW_MS = 1_800_000_000_000;

let seq = 0;
const line = (dayMs: number, fields: object): string =>
  `${JSON.stringify({ seq: ++seq, time: new Date(NOW_MS + dayMs).toISOString(), ...fields })}\n`;
const changed = (dayMs: number, grant: string, change: number): string =>
  line(dayMs, { event: 'grant', what: 'refreshed', grant, change });

/** A record of three files, which begin ten days ago, five days ago and today. */
function recordOf(): string {
  const path = directory.join('audit.jsonl');
  const long = line(0, { event: 'start', cmd: 'x'.repeat(2_500_000) });
  writeFileSync(`${path}.2.gz`, gzipSync(changed(-10 * DAY_MS, 'aaaaaaaa', 9) + changed(-10 * DAY_MS, 'bbbbbbbb', 2)));
  writeFileSync(`${path}.1`, changed(-5 * DAY_MS, 'bbbbbbbb', 3));
  writeFileSync(
    path,
    [
      long,
      changed(0, 'cccccccc', 7),
      changed(0, 'cccccccc', 6),
      line(0, { event: 'start', cmd: '"event":"grant","grant":"cccccccc","change":99' }),
      '"event":"grant", half a line',
      '\n',
      changed(0, 'dddddddd', 1).trimEnd(),
    ].join(''),
  );
  return path;
}

test('the last change of each grant is found in every file that can have it', () => {
  const path = recordOf();
  expect(Object.fromEntries(lastChanges(path, NOW_MS - 10 * DAY_MS))).toEqual({
    aaaaaaaa: 9,
    bbbbbbbb: 3,
    cccccccc: 7,
    dddddddd: 1,
  });
});

test('files before one that is old enough are not read', () => {
  const path = recordOf();
  expect([...lastChanges(path, NOW_MS).keys()].sort()).toEqual(['bbbbbbbb', 'cccccccc', 'dddddddd']);
});

test('where there is no record, there are no changes', () => {
  expect(lastChanges(directory.join('none.jsonl'), 0).size).toBe(0);
});
