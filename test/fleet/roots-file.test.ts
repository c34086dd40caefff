import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { Type } from '@sinclair/typebox';
import { readRootsFile } from '../../src/fleet/roots-file.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const SCHEMA = Type.Object({ version: Type.Literal(1) });

test('a file of the fleet that cannot be used says where, and what to do; a pipe is not waited for', () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('servers.json');
  const read = () => readRootsFile(path, SCHEMA, process.geteuid?.());
  expect(read()).toBeUndefined();
  const faults: readonly [text: string, where: string][] = [
    ['{', 'not JSON'],
    ['[]', '/: Expected object'],
    ['{"version":2}', '/version: Expected 1'],
  ];
  for (const [text, where] of faults) {
    writeFileSync(path, text);
    expect(read).toThrow(`${path} is not valid (${where}). Restore a copy of it`);
  }
  const pipe = directory.join('pipe');
  Bun.spawnSync(['mkfifo', pipe]);
  expect(() => readRootsFile(pipe, SCHEMA)).toThrow('it is not a regular file');
});
