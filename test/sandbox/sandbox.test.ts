import { expect, test } from 'bun:test';
import { mkdirSync, rmdirSync } from 'node:fs';
import { sandboxFault } from '../../src/sandbox/probing.ts';
import { ensurePrograms } from '../helpers/debian.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

test.skipIf(process.getuid?.() !== 0)(
  'a sandbox that fails because what it hides has just gone is tried again',
  async () => {
    ensurePrograms('bwrap');
    using files = new TemporaryDirectory('/srv');
    const hidden = files.join('secret');
    mkdirSync(hidden);
    const fault = sandboxFault({ writable: [], network: false, hidden: [hidden] });
    rmdirSync(hidden);
    expect(await fault).toBeUndefined();
  },
);
