import { afterAll, afterEach, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_CHANGES_PER_TOKEN, Versions } from '../../src/files/versions.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { chooseSweep } from '../../src/sessions/sweep.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

// In memory, where there is such a place: thousands of files are made.
const directory = new TemporaryDirectory(existsSync('/dev/shm') ? '/dev/shm' : undefined);
let held = 0;
const open = (name: string): Versions =>
  new Versions(directory.join(name), systemClock, (bytes) => {
    held += bytes;
  });
const sha256 = (text: string): string => Bun.SHA256.hash(text, 'hex');
const keep = (versions: Versions, principal: string, text: string | undefined, path = '/f') =>
  versions.keep(
    {
      ...{ principal, op: 'write_file', path, after: null },
      before: text === undefined ? null : { sha256: sha256(text), size: text.length, mode: 0o644, user: 0, group: 0 },
    },
    text === undefined ? undefined : Buffer.from(text),
  );
const files = (name: string): string[] =>
  readdirSync(directory.join(name)).flatMap((token) => readdirSync(directory.join(`${name}/${token}`)));

afterEach(() => {
  held = 0;
});
afterAll(() => directory[Symbol.dispose]());

describe('what files had before', () => {
  test('is kept once for a content, and goes with the last change that it belongs to', async () => {
    const versions = open('once');
    const changes = [
      await keep(versions, 'a', 'same'),
      await keep(versions, 'a', 'same'),
      await keep(versions, 'b', 'same'),
    ];
    expect(files('once').filter((name) => !name.endsWith('.json'))).toHaveLength(2);
    expect(held).toBe(3 * 4096 + 2 * 4);
    for (const change of changes) versions.remove(change);
    expect([files('once'), held]).toEqual([[], 0]);
  });

  test('is found by a later agent, and only by its token', async () => {
    const change = await keep(open('later'), 'a', 'old');
    const later = open('later');
    expect(later.list('a')).toEqual([change]);
    expect(later.list('b')).toEqual([]);
    expect(Buffer.from((await later.contentBefore(change)) ?? []).toString()).toBe('old');
    expect(await later.contentBefore(await keep(later, 'a', undefined))).toBeUndefined();
  });

  test('is put back only with the hash that its record names', async () => {
    const versions = open('forged');
    const change = await keep(versions, 'a', 'old');
    const [token = ''] = readdirSync(directory.join('forged'));
    writeFileSync(directory.join(`forged/${token}/${change.before?.sha256}`), 'forged');
    await expect(versions.contentBefore(change)).rejects.toThrow('before was removed, or was changed');
  });

  test('is nobody else to be read, whatever the name of a token', async () => {
    await keep(open('closed'), '../../outside', 'old');
    const [token = '', ...others] = readdirSync(directory.join('closed'));
    expect(others).toEqual([]);
    expect(statSync(directory.join(`closed/${token}`)).mode & 0o777).toBe(0o700);
    for (const name of files('closed'))
      expect(statSync(directory.join(`closed/${token}/${name}`)).mode & 0o777).toBe(0o600);
  });

  test('of a record that was damaged, or moved to another token, is removed', async () => {
    const versions = open('damaged');
    const [kept, cut] = [await keep(versions, 'a', 'one'), await keep(versions, 'a', 'two')];
    const foreign = await keep(versions, 'b', 'three');
    const of = (id: string): string =>
      readdirSync(directory.join('damaged')).find((token) =>
        readdirSync(directory.join(`damaged/${token}`)).includes(`${id}.json`),
      ) ?? '';
    const own = of(kept.id);
    const record = readFileSync(directory.join(`damaged/${of(foreign.id)}/${foreign.id}.json`));
    writeFileSync(directory.join(`damaged/${own}/${foreign.id}.json`), record);
    writeFileSync(directory.join(`damaged/${own}/${cut.id}.json`), '{');
    expect(open('damaged').list('a')).toEqual([kept]);
    expect(readdirSync(join(directory.path, 'damaged', own)).sort()).toEqual([`${kept.id}.json`, sha256('one')].sort());
  });

  test('stays within its number and its bytes after 10,000 edits, the oldest go', async () => {
    const versions = open('many');
    const edits = 10_000;
    for (let count = 0; count < edits; count++) await keep(versions, 'a', `text ${count}`);
    expect(versions.list('a')).toHaveLength(MAX_CHANGES_PER_TOKEN);
    expect(files('many')).toHaveLength(2 * MAX_CHANGES_PER_TOKEN);
    expect(versions.list('a').at(-1)?.before?.sha256).toBe(sha256(`text ${edits - MAX_CHANGES_PER_TOKEN}`));
    // A record takes a block, a content its bytes.
    expect(held).toBe(MAX_CHANGES_PER_TOKEN * (4096 + 'text 9999'.length));
    expect(open('many').list('a')).toHaveLength(MAX_CHANGES_PER_TOKEN);
  }, 60_000);

  test('counts for its token where the disk is divided: what others keep stays', async () => {
    const versions = open('swept');
    const little = await keep(versions, 'little', 'x'.repeat(1000));
    for (let count = 0; count < 50; count++) await keep(versions, 'much', `${count}${'x'.repeat(100_000)}`);
    const limits = { ttlSeconds: 3600, totalBytes: 1_000_000, totalSessions: 1000 };
    const { remove } = chooseSweep(versions.candidates(), limits, Date.now());
    expect(remove).not.toContain(little);
    for (const change of remove) versions.remove(change);
    expect(versions.candidates().reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(1_000_000);
    expect(chooseSweep(versions.candidates(), limits, Date.now() + 3_600_000).remove).toContain(little);
  });
});
