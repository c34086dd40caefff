import { test } from 'bun:test';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OneShotEvent } from '../../src/lib/clock.ts';
import { Growth } from '../../src/sessions/growth.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { within } from '../helpers/waiting.ts';

/** Directly after the last one: each is made at the moment of its report. */
const CHANGES = 100;

const told = (signal: OneShotEvent): Promise<void> => new Promise((resolve) => signal.subscribe(resolve));

test.each([
  ['a file', (path: string) => appendFileSync(path, 'more')],
  ['a directory', (path: string, count: number) => writeFileSync(join(path, String(count)), '')],
])('every change of %s is told', async (what, change) => {
  using directory = new TemporaryDirectory();
  const path = directory.join('watched');
  if (what === 'a file') writeFileSync(path, '');
  else mkdirSync(path);
  using growth = new Growth(path);
  for (let count = 1; count <= CHANGES; count++) {
    const next = told(growth.next());
    change(path, count);
    await within(`change ${count}`, next, 3000);
  }
});
