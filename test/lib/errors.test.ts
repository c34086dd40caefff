import { expect, test } from 'bun:test';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { describeErrno } from '../../src/lib/errors.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

test('EAGAIN is a want of content where a file is read, and of processes where one is started', () => {
  using directory = new TemporaryDirectory();
  const pipe = directory.join('pipe');
  Bun.spawnSync(['mkfifo', pipe]);
  const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    readSync(fd, Buffer.alloc(1), 0, 1, null);
    expect.unreachable();
  } catch (error) {
    expect(describeErrno(error)).toBe('there is nothing to read in it now (EAGAIN)');
  } finally {
    closeSync(fd);
  }
  const ofSpawn = Object.assign(new Error('EAGAIN'), { code: 'EAGAIN', syscall: 'posix_spawn' });
  expect(describeErrno(ofSpawn)).toBe('the machine has no room for another process (EAGAIN)');
});
