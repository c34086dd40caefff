import { expect, test } from 'bun:test';
import { chownSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { Changes } from '../../src/install/changes.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const SWAPS = `use strict; my $end = time + 3;
while (time < $end) { chmod 0700, 'orders'; rename 'orders', 'a'; rename 'link', 'orders'; rename 'orders', 'link'; rename 'a', 'orders'; }`;

test.skipIf(process.geteuid?.() !== 0)(
  'the installer changes no owner or mode through a link that the owner of a directory swaps for it',
  async () => {
    using place = new TemporaryDirectory();
    const victim = place.join('victim');
    const outer = place.join('console');
    for (const path of [victim, outer, `${outer}/orders`]) mkdirSync(path, { mode: 0o755 });
    chownSync(outer, 65_534, 65_534);
    chownSync(`${outer}/orders`, 65_534, 65_534);
    symlinkSync(victim, `${outer}/link`);
    const swapping = Bun.spawn(['perl', '-e', SWAPS], { cwd: outer, stdio: ['ignore', 'ignore', 'ignore'] });
    const changes = new Changes('/', false, () => {});
    while (swapping.exitCode === null && statSync(victim).uid === 0) {
      for (let count = 0; count < 100; count++) {
        try {
          changes.directory(`${outer}/orders`, { mode: 0o2750, owner: 'nobody', group: 'nogroup' });
        } catch {
          // It is not there just now, or a link.
        }
      }
      await Bun.sleep(0);
    }
    swapping.kill();
    const { uid, gid, mode } = statSync(victim);
    expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: 0, gid: 0, mode: 0o755 });
  },
  20_000,
);
