import { closeSync, constants, openSync } from 'node:fs';
import { libc } from './libc.ts';

/** fcntl(2), open(2), pipe(7). */
const O_CLOEXEC = 0o2000000;
/** open(2): identifies a file without opening it; with O_NOFOLLOW a symbolic link itself. */
const O_PATH = 0o10000000;

/** Opens the root directory; the caller closes the descriptor. Throws if the kernel refuses it. */
export function openRoot(): number {
  return openSync('/', O_PATH | O_CLOEXEC);
}

/**
 * Opens a descriptor for `name` in an open directory, which the caller closes. A symbolic link is not followed, but
 * described itself. The descriptor only permits looking. Undefined if the name does not exist, or cannot be seen.
 * Throws EMFILE.
 */
export function openName(directory: number, name: string): number | undefined {
  const path = Buffer.from(`${name}\0`);
  return withFree(1, () => positive(libc().openat(directory, path, O_PATH | constants.O_NOFOLLOW | O_CLOEXEC, 0)));
}

const positive = (fd: number): number | undefined => (fd < 0 ? undefined : fd);

/**
 * Returns the result of `open`, which needs `count` descriptors; undefined if the kernel refuses it for another reason.
 * Throws EMFILE if so many are not free: `errno` cannot be read here.
 */
function withFree<T>(count: number, open: () => T | undefined): T | undefined {
  const opened = open();
  if (opened !== undefined) return opened;
  if (!hasFree(count)) throw outOfFiles();
  // Another thread may have closed one just now.
  return open();
}

/** Whether so many descriptors are free. */
export function hasFree(count: number): boolean {
  const taken: number[] = [];
  while (taken.length < count) {
    const fd = duplicate(STANDARD_ERROR);
    if (fd === undefined) break;
    taken.push(fd);
  }
  for (const fd of taken) closeSync(fd);
  return taken.length === count;
}

const STANDARD_ERROR = 2;

/** Returns the error of a system that grants no more descriptors, as node:fs throws it. */
export function outOfFiles(): Error {
  return Object.assign(new Error('EMFILE: no descriptor is free'), { code: 'EMFILE' });
}

/** memfd_create(2): MFD_CLOEXEC. */
const MFD_CLOEXEC = 1;

/** Makes an empty file in memory, without a name, which the caller closes; undefined if the kernel refuses it. Throws EMFILE. */
export function openMemoryFile(): number | undefined {
  return withFree(1, () => positive(libc().memfd_create(Buffer.from('agent3\0'), MFD_CLOEXEC)));
}

/** socketpair(2): AF_UNIX; SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC. */
const AF_UNIX = 1;
const STREAM_WITHOUT_BLOCKING = 1 | 0o4000 | 0o2000000;

/**
 * Makes two connected sockets, which never block; the caller closes both. What was written to one can only be read from
 * the other, and nobody can open either by /proc/PID/fd, unlike a pipe or a file. Undefined if the kernel refuses them.
 * Throws EMFILE.
 */
export function openSocketPair(): Pipe | undefined {
  return withFree(2, () => {
    const ends = new Int32Array(2);
    if (libc().socketpair(AF_UNIX, STREAM_WITHOUT_BLOCKING, 0, ends) !== 0) return undefined;
    const [reading = -1, writing = -1] = ends;
    return { reading, writing };
  });
}

const F_SETPIPE_SZ = 1031;
/** The initial capacity of a pipe: 16 pages of 4 KiB. */
export const PIPE_BYTES = 65_536;

/** The two ends of a pipe; the caller closes both. */
export interface Pipe {
  readonly reading: number;
  readonly writing: number;
}

/** Makes a pipe that takes `bytes` without a reader; undefined if the system allows none as large (pipe(7), 1 MiB). */
export function openPipe(bytes: number): Pipe | undefined {
  const ends = new Int32Array(2);
  if (libc().pipe2(ends, O_CLOEXEC) !== 0) return undefined;
  const [reading = -1, writing = -1] = ends;
  if (bytes <= PIPE_BYTES || libc().fcntl(writing, F_SETPIPE_SZ, bytes) >= bytes) return { reading, writing };
  closeSync(reading);
  closeSync(writing);
  return undefined;
}

/** fcntl(2). */
const F_DUPFD_CLOEXEC = 1030;

/** Duplicates a descriptor; the copy is closed in started programs. Undefined if no descriptor is free. */
export function duplicate(fd: number): number | undefined {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? undefined : copy;
}

/** fcntl(2): F_SETFL, with O_WRONLY | O_NONBLOCK. */
const F_SETFL = 4;
const WRITING_WITHOUT_BLOCKING = 0o1 | 0o4000;

/** Makes writes to the writing end of a pipe take only what there is room for. */
export function neverBlock(writing: number): void {
  libc().fcntl(writing, F_SETFL, WRITING_WITHOUT_BLOCKING);
}
