import { afterAll, describe, expect, test } from 'bun:test';
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { type EarlierBoot, linesOf, moveToEarlierBoot, textOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const KEY = 'a-key-of-the-record-with-40-characters-x';
const NOTE = 'the machine lost power before';
const PAGE_BYTES = 4096;
const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());
let made = 0;
const newRecord = (): string => directory.join(`record-${++made}.jsonl`);

const settingsOf = (path: string, key: string | undefined) => ({
  AGENT3_AUDIT_FILE: path,
  ...(key !== undefined && { AGENT3_AUDIT_KEY: key }),
});

const FILES = ['', '.head', '.synced'] as const;
const originals = new Map<string | undefined, Promise<string>>();

/** A record of some commands, whose agent was killed: one is made, and copied. */
const recordOf = async (path: string, key: string | undefined): Promise<void> => {
  const original = originals.get(key) ?? makeRecord(key);
  originals.set(key, original);
  for (const file of FILES) copyFileSync(`${await original}${file}`, `${path}${file}`);
};

const makeRecord = async (key: string | undefined): Promise<string> => {
  const path = newRecord();
  await using agent = await startAgent(settingsOf(path, key));
  for (let count = 0; count < 8; count++) await agent.shell({ cmd: `echo ${count}` });
  await agent.kill9();
  return path;
};

/** An agent starts on a record and runs a command. */
const goOn = async (path: string, key: string | undefined): Promise<void> => {
  await using agent = await startAgent(settingsOf(path, key));
  await agent.shell({ cmd: 'echo on' });
};

const bytesOf = (lines: readonly string[]): Buffer => Buffer.from(lines.map((line) => `${line}\n`).join(''));
const nuls = (count: number): Buffer => Buffer.alloc(count);
const half = (line = ''): Buffer => Buffer.from(line.slice(0, line.length / 2));
const put = (path: string, ...parts: readonly Uint8Array[]): void => writeFileSync(path, Buffer.concat(parts));

/** 17 lines: the last three were not synced. */
const COUNT = 17;
const LOST_POWER: EarlierBoot = { synced: COUNT - 3 };

type Row = readonly [what: string, state: EarlierBoot, left: (path: string, lines: string[]) => void];

const losses: readonly Row[] = [
  ['nothing', LOST_POWER, () => {}],
  ['NUL bytes at the end', LOST_POWER, (path, lines) => put(path, bytesOf(lines), nuls(900))],
  [
    'NUL bytes instead of the last line',
    LOST_POWER,
    (path, lines) => put(path, bytesOf(lines.slice(0, -1)), nuls(350)),
  ],
  ['half of the last line', LOST_POWER, (path, lines) => put(path, bytesOf(lines.slice(0, -1)), half(lines.at(-1)))],
  [
    'half of the line before the last, and NUL bytes',
    LOST_POWER,
    (path, lines) => put(path, bytesOf(lines.slice(0, -2)), half(lines.at(-2)), nuls(5000)),
  ],
  ['a line without its end', LOST_POWER, (path, lines) => put(path, bytesOf(lines).subarray(0, -1))],
  ['the last line missing', LOST_POWER, (path, lines) => put(path, bytesOf(lines.slice(0, -1)))],
  ['all that was not synced missing', LOST_POWER, (path, lines) => put(path, bytesOf(lines.slice(0, -3)))],
  ['an older note of the end', { ...LOST_POWER, noted: COUNT - 2 }, () => {}],
  [
    'an older note of the end, and half a line',
    { ...LOST_POWER, noted: COUNT - 2 },
    (path, lines) => put(path, bytesOf(lines.slice(0, -1)), half(lines.at(-1))),
  ],
  [
    'a page that was not written, and the next one that was',
    { synced: 3 },
    (path, lines) => {
      const bytes = bytesOf(lines);
      bytes.fill(0, bytesOf(lines.slice(0, 4)).length + 20, PAGE_BYTES);
      put(path, bytes);
    },
  ],
  ['nothing at all, and nothing was synced', { synced: 0 }, (path) => put(path)],
  ['NUL bytes alone, and nothing was synced', { synced: 0 }, (path) => put(path, nuls(PAGE_BYTES))],
  [
    'a file that was put aside and has half a line, and an empty one',
    LOST_POWER,
    (path, lines) => {
      put(`${path}.1`, bytesOf(lines.slice(0, -1)), half(lines.at(-1)));
      put(path);
    },
  ],
  [
    'a file that begins behind the last line that was synced, and half a line',
    { synced: 8 },
    (path, lines) => {
      put(`${path}.1`, bytesOf(lines.slice(0, 8)));
      put(path, bytesOf(lines.slice(8, -1)), half(lines.at(-1)));
    },
  ],
  [
    'the same file put aside without its last line, and an empty one',
    { synced: 8 },
    (path, lines) => {
      put(`${path}.2`, bytesOf(lines.slice(0, 8)));
      put(`${path}.1`, bytesOf(lines.slice(8, -1)));
      put(path);
    },
  ],
  [
    'a file that was put aside, and NUL bytes in the new one',
    LOST_POWER,
    (path, lines) => {
      put(`${path}.1`, bytesOf(lines));
      put(path, nuls(300));
    },
  ],
];

describe.each([['with', KEY] as const, ['without', undefined] as const])('%s a key', (_, key) => {
  describe('after a power loss the record is whole, with a note, when it has', () => {
    test.concurrent.each(losses)('%s', async (_what, state, left) => {
      const path = newRecord();
      await recordOf(path, key);
      left(path, moveToEarlierBoot(path, key, state));
      await goOn(path, key);
      const { code, stdout } = await verify(path, key);
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining(NOTE) });
      expect(linesOf(path).map(({ event }) => event)).not.toContain('tampered');
      // Once told is enough, and a second start finds nothing.
      await goOn(path, key);
      expect(linesOf(path).filter(({ event }) => event === 'recovered')).toHaveLength(1);
      expect((await verify(path, key)).code).toBe(0);
    });
  });

  test('a second power loss, soon after the first, is another note', async () => {
    const path = newRecord();
    await recordOf(path, key);
    const lines = moveToEarlierBoot(path, key, LOST_POWER);
    put(path, bytesOf(lines.slice(0, -1)), half(lines.at(-1)), nuls(700));
    await using agent = await startAgent(settingsOf(path, key));
    await agent.shell({ cmd: 'echo between' });
    await agent.kill9();
    const more = moveToEarlierBoot(path, key, { synced: -1 });
    put(
      path,
      Buffer.from(
        more
          .slice(0, -1)
          .map((line) => `${line}\n`)
          .join(''),
        'latin1',
      ),
      nuls(300),
    );
    await goOn(path, key);
    const { code, stdout } = await verify(path, key);
    expect({ code, stdout }).toMatchObject({ code: 0 });
    expect(stdout.split(NOTE)).toHaveLength(3);
  });

  const cut = (count: number) => (path: string, lines: string[]) => put(path, bytesOf(lines.slice(0, -count)));
  const tampered: readonly Row[] = [
    ['a line that was synced is missing', LOST_POWER, cut(4)],
    ['everything is missing', LOST_POWER, (path) => put(path)],
    ['a line that was synced was changed', LOST_POWER, (path, lines) => put(path, bytesOf(lines.with(12, 'x')))],
    ['the agent had ended in order, and a line is missing', { synced: COUNT, isClosed: true }, cut(1)],
    ['the agent had ended in order before the last line', { ...LOST_POWER, isClosed: true }, cut(1)],
    ['somebody wrote at the end', LOST_POWER, (path, lines) => put(path, bytesOf(lines), Buffer.from('{"hello":1}\n'))],
    ['somebody wrote half a line', LOST_POWER, (path, lines) => put(path, bytesOf(lines), Buffer.from('hello'))],
    [
      'NUL bytes are followed by something where no page begins',
      LOST_POWER,
      (path, lines) => put(path, bytesOf(lines.slice(0, -1)), nuls(50), half(lines.at(-1))),
    ],
    [
      'the mark is missing, and a line',
      LOST_POWER,
      (path, lines) => {
        cut(1)(path, lines);
        rmSync(`${path}.synced`);
      },
    ],
    [
      'the mark was changed, and a line is missing',
      LOST_POWER,
      (path, lines) => {
        cut(1)(path, lines);
        writeFileSync(`${path}.synced`, readFileSync(`${path}.synced`, 'latin1').replace('open', 'opem'));
      },
    ],
    [
      'the note of the end is missing',
      LOST_POWER,
      (path, lines) => {
        cut(1)(path, lines);
        rmSync(`${path}.head`);
      },
    ],
  ];
  describe('it is no power loss when', () => {
    test.concurrent.each(tampered)('%s', async (_what, state, left) => {
      const path = newRecord();
      await recordOf(path, key);
      left(path, moveToEarlierBoot(path, key, state));
      await goOn(path, key);
      const { code, stdout } = await verify(path, key);
      expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringMatching(/the agent found: |✗ /) });
    });

    // What an agent that was killed leaves: the boot is that of now. Half a line alone is what a full disk leaves.
    const notOf = new Set(['nothing', 'half of the last line', 'an older note of the end', 'a line without its end']);
    const sameBoot = losses.filter(
      ([what, { synced, noted }]) => !notOf.has(what) && synced > 3 && noted === undefined,
    );
    test.concurrent.each(sameBoot)('the machine was not started again: %s', async (_what, _state, left) => {
      const path = newRecord();
      await recordOf(path, key);
      left(path, textOf(path));
      await goOn(path, key);
      expect((await verify(path, key)).code).toBe(1);
    });
  });
});

describe('with a key, a power loss is believed only of the agent itself', () => {
  test('a mark of an earlier boot that somebody put back', async () => {
    const path = newRecord();
    await recordOf(path, KEY);
    moveToEarlierBoot(path, KEY, LOST_POWER);
    const mark = readFileSync(`${path}.synced`);
    await goOn(path, KEY);
    put(path, bytesOf(textOf(path).slice(0, -1)));
    writeFileSync(`${path}.synced`, mark);
    await goOn(path, KEY);
    expect((await verify(path, KEY)).stdout).toContain('✗');
  });

  test('a line about one that somebody else wrote', async () => {
    const path = newRecord();
    await recordOf(path, undefined);
    const lines = moveToEarlierBoot(path, undefined, LOST_POWER);
    put(path, bytesOf(lines.slice(0, -1)), nuls(100));
    await goOn(path, undefined);
    const forged = textOf(path).find((line) => line.includes('"recovered"')) ?? '';
    const other = newRecord();
    await recordOf(other, KEY);
    put(other, bytesOf(textOf(other)), nuls(100), bytesOf(['', forged]));
    const { code, stdout } = await verify(other, KEY);
    expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringContaining('it has no MAC') });
  });
});

test('the mark follows the record within two seconds, and says when the agent has ended in order', async () => {
  const path = newRecord();
  const markOf = () => readFileSync(`${path}.synced`, 'latin1');
  await using agent = await startAgent(settingsOf(path, KEY));
  await agent.shell({ cmd: 'true' });
  await eventually('every line is synced', () => Number(markOf().slice(0, 16)) === linesOf(path).length, 2000);
  expect(markOf()).toContain(' open ');
  // Also of a file that logrotate has put in the place of the old one.
  renameSync(path, `${path}.1`);
  writeFileSync(path, '');
  agent.signal('SIGHUP');
  await agent.log.find('the reload', ({ msg }) => msg === 'reloaded');
  await agent.shell({ cmd: 'true' });
  const last = () => Number(linesOf(path).at(-1)?.['seq']);
  await eventually('every line is synced', () => Number(markOf().slice(0, 16)) === last(), 2000);
  await agent.stop();
  expect(markOf()).toContain(' closed ');
  expect(Number(markOf().slice(0, 16))).toBe(last());
});
