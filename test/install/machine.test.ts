import { expect, test } from 'bun:test';
import { groupOf, systemIds } from '../../src/install/machine.ts';
import { command } from '../helpers/debian.ts';

test('the group of a user may have another name than the user', () => {
  // In Debian this user has no group of its own (base-passwd).
  expect(groupOf('sync')).toBe('nogroup');
  expect(systemIds.gid(groupOf('sync'))).toBe(Number(command(['id', '-g', 'sync'])));
});
