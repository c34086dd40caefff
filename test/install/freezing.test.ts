import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { currentFreeze, readFreezes } from '../../src/access/freeze.ts';
import { describeUnwritten, freezeServer } from '../../src/install/freezing.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

describe.skipIf(process.geteuid?.() !== 0)('on a disk that a command has filled', () => {
  let directory: TemporaryDirectory;
  let decisions: string;
  let held = 0;
  const hold = (fault?: string) => () => {
    held++;
    return fault;
  };
  const freeze = (fault?: string) => freezeServer({ decisions, by: 'Anna', origin: undefined }, 'x', hold(fault));

  beforeEach(() => {
    held = 0;
    directory = new TemporaryDirectory();
    decisions = directory.join('approvals');
    mkdirSync(decisions);
    const options = ['-t', 'tmpfs', '-o', 'size=64k,mode=750', 'tmpfs', decisions];
    expect(Bun.spawnSync(['mount', ...options]).exitCode).toBe(0);
    expect(() => writeFileSync(`${decisions}/full`, Buffer.alloc(1_048_576))).toThrow('ENOSPC');
  });
  afterEach(() => {
    Bun.spawnSync(['umount', decisions]);
    directory[Symbol.dispose]();
  });

  test('systemd holds the commands, and it is said that the agent does not know', async () => {
    const result = await freeze();
    expect([held, result.withoutSystemd]).toEqual([1, undefined]);
    expect(describeUnwritten(result)).toMatch(
      /^systemd has frozen what runs, but .*frozen cannot be written: .*ENOSPC/,
    );
    expect(readFreezes(decisions)).toEqual([]);
    rmSync(`${decisions}/full`);
    expect(describeUnwritten(await freeze())).toBeUndefined();
    expect([held, currentFreeze(readFreezes(decisions))]).toMatchObject([2, { by: 'Anna' }]);
  });

  test('where systemd does not hold them either, it fails and says both', async () => {
    await expect(freeze('systemctl freeze failed')).rejects.toThrow(/\(ENOSPC\); systemctl freeze failed/);
    expect(held).toBe(1);
    const place = { decisions, by: 'Anna', origin: undefined };
    await expect(freezeServer(place, 'x')).rejects.toThrow(/\(ENOSPC\); the agent is not a systemd service/);
  });
});
