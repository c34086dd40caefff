import { describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { Freeze, freezeFile, frozenMs, readFreezes, reasonOf, writeFreezes } from '../../src/access/freeze.ts';
import { OneShotEvent } from '../../src/lib/clock.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { eventually } from '../helpers/waiting.ts';

const ENTRY = { since: 1000, by: 'root', reason: 'why' };
const OVER = { ...ENTRY, until: 3000, thawed_by: 'root' };
const logger = { warn: () => {} } as never;
const isRoot = process.geteuid?.() === 0;

/** A directory of decisions as the installer makes it. */
function decisionsIn(directory: TemporaryDirectory): string {
  const path = directory.join('approvals');
  mkdirSync(path, { mode: 0o750 });
  return path;
}

describe('the time for which a server was frozen', () => {
  test.each([
    ['before', 0, 500, 0],
    ['across its beginning', 500, 2000, 1000],
    ['within', 1500, 2500, 1000],
    ['around it', 0, 9000, 2000],
    ['across its end', 2500, 9000, 500],
    ['behind it', 4000, 9000, 0],
  ])('%s', (_, from, to, ms) => {
    expect(frozenMs([OVER], from, to)).toBe(ms);
  });

  test('is the sum of all freezes, and grows while it is frozen', () => {
    expect(frozenMs([OVER, { ...ENTRY, since: 5000 }], 0, 6000)).toBe(3000);
  });
});

describe.if(isRoot)('the file of freezes', () => {
  test('keeps the last ones, is readable for anyone who may enter, and nothing is left next to it', () => {
    using directory = new TemporaryDirectory();
    const decisions = decisionsIn(directory);
    const many = Array.from({ length: 150 }, (_, since) => ({ ...OVER, since }));
    writeFreezes(decisions, [...many, ENTRY]);
    expect(readFreezes(decisions)).toEqual([...many.slice(-99), ENTRY]);
    expect(statSync(freezeFile(decisions)).mode & 0o777).toBe(0o644);
    expect(readdirSync(decisions)).toEqual(['frozen']);
  });

  test('is not believed where others may write to it', () => {
    using directory = new TemporaryDirectory();
    const decisions = decisionsIn(directory);
    writeFreezes(decisions, [ENTRY]);
    chmodSync(freezeFile(decisions), 0o666);
    expect(readFreezes(decisions)).toEqual([]);
    chmodSync(freezeFile(decisions), 0o644);
    chmodSync(decisions, 0o777);
    expect(readFreezes(decisions)).toEqual([]);
  });

  test('means a frozen server when it is damaged', () => {
    using directory = new TemporaryDirectory();
    const decisions = decisionsIn(directory);
    for (const text of ['{"freezes":[', '{"freezes":"none"}']) {
      writeFileSync(freezeFile(decisions), text);
      expect(() => new Freeze(decisions, logger).require()).toThrow('is damaged');
    }
  });

  test('is seen by the next question, and by who waits', async () => {
    using directory = new TemporaryDirectory();
    const decisions = decisionsIn(directory);
    const freeze = new Freeze(decisions, logger);
    const end = new OneShotEvent();
    freeze.watch(end);
    let changes = 0;
    freeze.subscribe(() => changes++);
    expect(freeze.isFrozen).toBe(false);
    const { begun } = freeze;
    writeFreezes(decisions, [ENTRY]);
    await eventually('the change is seen without a question', () => begun.fired);
    expect(() => freeze.require('Nothing was run.')).toThrow('frozen this server (why). Nothing was run.');
    const waits = freeze.thawed(new AbortController().signal);
    writeFreezes(decisions, [OVER]);
    expect(freeze.isFrozen).toBe(false);
    await waits;
    expect([changes, freeze.begun.fired]).toEqual([2, false]);
    end.fire();
  });

  test('lets go who waits for the thaw and is taken back', async () => {
    using directory = new TemporaryDirectory();
    const decisions = decisionsIn(directory);
    writeFreezes(decisions, [ENTRY]);
    const back = new AbortController();
    const waits = new Freeze(decisions, logger).thawed(back.signal);
    back.abort('taken back');
    await waits;
  });
});

test('a reason is shown without what acts on a terminal, and never empty', () => {
  expect(reasonOf({ ...ENTRY, reason: '\u001b[2Jx' })).not.toContain('\u001b');
  expect(reasonOf({ ...ENTRY, reason: '' })).toBe('no reason was given');
});
