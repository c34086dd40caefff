import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { verifyRecord } from '../../src/audit/verify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { TooManyRequests } from '../../src/lib/errors.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const MOST = 100_000;
const KEY = 'a-key-of-the-record-with-40-characters-x';
const logger = { info: () => {}, warn: () => {} } as never;
const open = (path: string): AuditLog => new AuditLog(path, KEY, systemClock, logger, 'boot', MOST);

const lineOf = (token: string, cmd = 'x'.repeat(900)) => ({ event: 'start', token, cmd });
/** Writes until a line is refused; returns how many lines there were, and the refusal. */
const flood = (record: AuditLog, token: string, most = 1000): { readonly lines: number; readonly error?: unknown } => {
  for (let lines = 0; lines < most; lines++) {
    try {
      record.write(lineOf(token));
    } catch (error) {
      return { lines, error };
    }
  }
  return { lines: most };
};
const sizesOf = (directory: TemporaryDirectory): number[] =>
  readdirSync(directory.path)
    .filter((name) => /^audit\.jsonl(\.\d+)?$/.test(name))
    .map((name) => statSync(directory.join(name)).size);
const whole = (path: string) => {
  const { findings, notes } = verifyRecord(path, { key: KEY }) as unknown as Record<string, unknown>;
  return { findings, notes };
};

describe('a record whose file its agent may move', () => {
  test('is put aside by size, no matter who floods it, and its chain continues over all files', () => {
    using directory = new TemporaryDirectory();
    const path = directory.join('audit.jsonl');
    const record = open(path);
    for (let line = 0; line < 1000; line++) record.write(lineOf(['a', 'b', 'c'][line % 3] ?? ''));
    for (let line = 0; line < 500; line++) record.writeLater(() => ({ event: 'login', what: 'a wrong token' }), true);
    record.close();
    const sizes = sizesOf(directory);
    expect(sizes.length).toBeGreaterThan(8);
    for (const size of sizes) expect(size).toBeLessThan(MOST * 1.1);
    expect(whole(path).findings).toEqual([]);
    expect(readFileSync(path, 'utf8')).not.toContain('tampered');
  });

  test('keeps 90 older files, and is whole', () => {
    using directory = new TemporaryDirectory();
    const path = directory.join('audit.jsonl');
    const record = new AuditLog(path, KEY, systemClock, logger, 'boot', 2000);
    for (let line = 0; line < 400; line++) record.write(lineOf('a'));
    record.close();
    expect(sizesOf(directory).length).toBe(91);
    expect(whole(path).findings).toEqual([]);
  });
});

/** As a service keeps the record: only what takes `chattr -a` first, as logrotate does, can move the file. */
class FixedRecord implements Disposable {
  readonly #directory = new TemporaryDirectory();
  readonly path = this.#directory.join('audit.jsonl');
  readonly isFixed: boolean;

  constructor() {
    writeFileSync(this.path, '');
    this.isFixed = Bun.spawnSync(['chattr', '+a', this.path], { stderr: 'ignore' }).exitCode === 0;
  }

  get size(): number {
    return statSync(this.path).size;
  }

  rotate(record: AuditLog): void {
    Bun.spawnSync(['chattr', '-a', this.path]);
    renameSync(this.path, `${this.path}.1`);
    record.reopen();
  }

  [Symbol.dispose](): void {
    Bun.spawnSync(['chattr', '-a', this.path]);
    this.#directory[Symbol.dispose]();
  }
}

describe('a record whose file only logrotate may move', () => {
  const rows: readonly (readonly [what: string, tokens: readonly string[], mostOfFirst: number])[] = [
    ['one token alone leaves a quarter', ['a'], 1.5 * MOST],
    ['two tokens have half each', ['b', 'a'], MOST],
    ['four tokens have a quarter each', ['b', 'c', 'd', 'a'], MOST],
  ];

  test.each(rows)('is never larger than twice its size: %s', (_, tokens, most) => {
    using file = new FixedRecord();
    if (!file.isFixed) return console.warn('not run: no permission to make a file append-only');
    const record = open(file.path);
    record.write({ event: 'agent', what: 'started' });
    for (const token of tokens.slice(0, -1)) record.write(lineOf(token));
    const { lines, error } = flood(record, 'a');
    expect(error).toBeInstanceOf(TooManyRequests);
    expect((error as TooManyRequests).headers).toEqual({ 'retry-after': '300' });
    expect(lines * 1100).toBeLessThan(most * 1.1);
    // Nobody is held back before the file is to be put aside.
    expect(lines * 1100).toBeGreaterThan(Math.max(most, MOST) * 0.8);
    // What is refused leaves nothing, also not as a line about the refusal; ends of what ran are written.
    const before = file.size;
    for (let call = 0; call < 500; call++) record.writeLater(() => ({ ...lineOf('a'), event: 'operation' }), true);
    expect(flood(record, 'a').lines).toBe(0);
    expect(file.size).toBe(before);
    record.writeLater(() => ({ event: 'end', token: 'a', status: 'done' }));
    expect(file.size).toBeGreaterThan(before);
    // Others continue.
    record.write(lineOf('new'));
    expect(readFileSync(file.path, 'utf8').match(/"what":"held back","held":"a"/g)).toHaveLength(1);
    file.rotate(record);
    record.write(lineOf('a'));
    record.close();
    expect(whole(file.path).findings).toEqual([]);
    expect(readFileSync(file.path, 'utf8')).not.toContain('tampered');
  });

  test('takes nothing more at twice its size, and continues after a rotation, with what it owes', () => {
    using file = new FixedRecord();
    if (!file.isFixed) return console.warn('not run: no permission to make a file append-only');
    const record = open(file.path);
    for (let line = 0; line < 1000; line++) record.writeLater(() => ({ ...lineOf('a', 'y'.repeat(99)), event: 'end' }));
    expect(file.size).toBeLessThanOrEqual(2 * MOST);
    expect(() => record.write(lineOf('b'))).toThrow('it is full until it is rotated');
    file.rotate(record);
    record.write(lineOf('b'));
    record.close();
    const texts = [`${file.path}.1`, file.path].map((path) => readFileSync(path, 'utf8'));
    expect(texts.join('').match(/"event":"end"/g)).toHaveLength(1000);
    expect(whole(file.path).findings).toEqual([]);
  });
});
