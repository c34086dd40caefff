import { describe, expect, test } from 'bun:test';
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { headPath } from '../../src/audit/chain.ts';
import { recordFiles } from '../../src/audit/files.ts';
import { verifyRecord } from '../../src/audit/verify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { putAside } from '../../src/lib/files.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const KEY = 'a-key-of-the-record-with-40-characters-x';
const logger = { info: () => {}, warn: () => {} } as never;
const WRITER = join(import.meta.dir, 'crash-writer.ts');
/** Of each kind. */
const KILLS = 5;
/** Larger than a record grows here: the agent itself does not rotate it. */
const NEVER = 1e9;

const between = (least: number, most: number): number => least + Math.random() * (most - least);
const happens = (chance: number): boolean => Math.random() < chance;

/** As a script with `mv` does, or one that makes the new file as well; whether there is a line or not. */
const rotate = (path: string): void => {
  if (!existsSync(path)) return;
  putAside(path, 90);
  if (happens(0.5)) writeFileSync(path, '', { flag: 'a' });
};

const argvOf = (path: string, key: string | undefined, fileBytes: number): string[] => [
  ...[process.execPath, WRITER, path, key ?? '', `${fileBytes}`],
];

/** An agent that is killed at any moment, with `rotations` of the record before and after, unless it rotates by itself. */
const crash = async (path: string, key: string | undefined, fileBytes: number, rotations: number): Promise<void> => {
  const writer = Bun.spawn(argvOf(path, key, fileBytes), { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    expect((await writer.stdout.getReader().read()).done).toBe(false);
    const meanwhile = fileBytes === NEVER ? rotations : 0;
    for (let count = 0; count < meanwhile; count++) {
      await Bun.sleep(between(0, 15));
      rotate(path);
      if (happens(0.7)) writer.kill('SIGHUP');
    }
    await Bun.sleep(between(0, meanwhile > 0 ? 5 : 40));
  } finally {
    writer.kill('SIGKILL');
    await writer.exited;
  }
  for (let count = 1; count < rotations; count++) rotate(path);
};

/** An agent starts, writes a line and ends in order. */
const goOn = async (path: string, key: string | undefined): Promise<void> => {
  expect(
    await Bun.spawn([...argvOf(path, key, NEVER), 'once'], { stdio: ['ignore', 'ignore', 'inherit'] }).exited,
  ).toBe(0);
};

const faultsOf = (path: string, key: string | undefined): string[] => [
  ...verifyRecord(path, { key }).findings.map(({ file, line, what }) => `${file}:${line}: ${what}`),
  ...recordFiles(path).filter((file) => readFileSync(file, 'utf8').includes('"event":"tampered"')),
];

const half = (path: string): void => appendFileSync(path, '{"seq":2,"time":"2026-');

/** What is done to a record of one line between one agent and the next. */
const rows: readonly (readonly [what: string, change: (path: string) => void])[] = [
  ['half of the next line', half],
  ['put aside', (path) => renameSync(path, `${path}.1`)],
  [
    'put aside twice, the second time without a line',
    (path) => {
      renameSync(path, `${path}.2`);
      writeFileSync(`${path}.1`, '');
    },
  ],
  [
    'put aside three times, without a line, compressed and not',
    (path) => {
      renameSync(path, `${path}.3`);
      writeFileSync(`${path}.2.gz`, gzipSync(''));
      writeFileSync(`${path}.1`, '');
      writeFileSync(path, '');
    },
  ],
  [
    'put aside with half of the next line',
    (path) => {
      half(path);
      renameSync(path, `${path}.1`);
    },
  ],
  ['put aside by an agent that was killed meanwhile', (path) => renameSync(path, `${path}.0`)],
];

describe.each([['with', KEY] as const, ['without', undefined] as const])(
  'a record %s a key is whole after',
  (_, key) => {
    test.concurrent.each(rows)('%s', async (_what, change) => {
      using directory = new TemporaryDirectory();
      const path = directory.join('audit.jsonl');
      await goOn(path, key);
      change(path);
      await goOn(path, key);
      await goOn(path, key);
      expect(faultsOf(path, key)).toEqual([]);
      expect(existsSync(`${path}.0`)).toBe(false);
    });

    test('half of the next line, put aside before the agent goes on', async () => {
      using directory = new TemporaryDirectory();
      const path = directory.join('audit.jsonl');
      await goOn(path, key);
      half(path);
      const record = new AuditLog(path, key, systemClock, logger, 'boot', NEVER);
      renameSync(path, `${path}.1`);
      record.reopen();
      record.write({ event: 'agent', what: 'reloaded' });
      record.close();
      expect(faultsOf(path, key)).toEqual([]);
      expect(readFileSync(path, 'utf8')).toContain('"what":"file","number":2,"torn":true');
    });

    test('a kill between the first line of a file and the note of it: the next file has the next number', async () => {
      using directory = new TemporaryDirectory();
      const path = directory.join('audit.jsonl');
      await goOn(path, key);
      const head = readFileSync(headPath(path));
      renameSync(path, `${path}.1`);
      await goOn(path, key);
      const [first = ''] = readFileSync(path, 'utf8').split('\n');
      writeFileSync(path, `${first}\n`);
      writeFileSync(headPath(path), head);
      renameSync(path, `${path}.0`);
      await goOn(path, key);
      expect(faultsOf(path, key)).toEqual([]);
      expect(readFileSync(path, 'utf8')).toContain('"what":"file","number":3');
    });
  },
);

describe.each([['with', KEY] as const, ['without', undefined] as const])('a record %s a key', (_, key) => {
  test.concurrent.each([
    ['the agent itself', 50_000, 0],
    ['others', NEVER, 3],
    ['both', 200_000, 3],
  ])('is whole when its agent was killed at any moment, rotated by %s', async (_who, fileBytes, most) => {
    using directory = new TemporaryDirectory();
    const path = directory.join('audit.jsonl');
    for (let kill = 1; kill <= KILLS; kill++) {
      await crash(path, key, fileBytes, Math.round(between(0, most)));
      if (kill < KILLS && happens(0.5)) continue;
      await goOn(path, key);
      const faults = faultsOf(path, key);
      expect({ kill, faults }).toEqual({ kill, faults: [] });
    }
  });
});
