import { closeSync, constants, openSync } from 'node:fs';
import { libc } from './libc.ts';

const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
/** poll(2). */
const POLLIN = 1;

/**
 * Whether /dev/pts/N has input that a program would get without waiting: a whole line or an end of input, or without
 * line editing as many bytes as VMIN requires. False if it cannot be opened. poll(2) first delivers what the kernel has
 * on its way from the typing side. FIONREAD does not: right after a write it is 0, and 0 at an end of input.
 */
export function hasUnreadInput(terminal: number): boolean {
  let fd: number;
  try {
    fd = openSync(`/dev/pts/${terminal}`, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // It is gone, is another user's, or only one program may use it (TIOCEXCL).
    return false;
  }
  try {
    // struct pollfd: int fd, short events, short revents.
    const asked = new Int16Array(4);
    new Int32Array(asked.buffer)[0] = fd;
    asked[2] = POLLIN;
    libc().poll(asked, 1, 0);
    return ((asked[3] ?? 0) & POLLIN) !== 0;
  } finally {
    closeSync(fd);
  }
}
