import { expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { lowerWeight } from '../../src/process/cgroup-limits.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

test.each([
  ['100', '10'],
  ['10000\n', '1000'],
  ['50', '5'],
  ['4', '1'],
  ['1\n', '1'],
])('a weight of %p becomes %p, and never less than the kernel takes', (weight, lowered) => {
  using cgroup = new TemporaryDirectory();
  writeFileSync(cgroup.join('cpu.weight'), weight);
  lowerWeight(cgroup.path);
  expect(readFileSync(cgroup.join('cpu.weight'), 'latin1')).toBe(lowered);
});
