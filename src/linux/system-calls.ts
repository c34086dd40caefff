/** What a blocked process does, as far as its system call tells. */
export type BlockedIn = 'read' | 'poll' | 'connect' | 'accept' | 'receive' | 'lock' | 'child' | 'sleep' | 'open';

/** What the arguments of a system call that blocks mean. */
export interface CallShape {
  readonly in: BlockedIn;
  /** In which form it names the descriptors it waits for. */
  readonly polls?: 'poll' | 'select' | 'epoll';
  /** Which argument says how long it waits at most: milliseconds, or where a time lies. */
  readonly limit?: { readonly argument: number; readonly unit: 'ms' | 'timeval' | 'timespec' };
  /** Which argument says where a path lies. */
  readonly path?: number;
}

/** Each shape, with the numbers of its calls (asm/unistd_64.h; asm-generic/unistd.h, which arm64 uses). */
const SHAPES: readonly (CallShape & { readonly x64: readonly number[]; readonly arm64: readonly number[] })[] = [
  // read, readv; connect; accept, accept4; recvfrom, recvmsg; fcntl, flock; wait4, waitid; open; openat.
  { in: 'read', x64: [0, 19], arm64: [63, 65] },
  { in: 'connect', x64: [42], arm64: [203] },
  { in: 'accept', x64: [43, 288], arm64: [202, 242] },
  { in: 'receive', x64: [45, 47], arm64: [207, 212] },
  { in: 'lock', x64: [72, 73], arm64: [25, 32] },
  { in: 'child', x64: [61, 247], arm64: [95, 260] },
  { in: 'open', path: 0, x64: [2], arm64: [] },
  { in: 'open', path: 1, x64: [257], arm64: [56] },
  // poll, ppoll; select, pselect6; epoll_wait and epoll_pwait, epoll_pwait2; nanosleep, clock_nanosleep.
  { in: 'poll', polls: 'poll', limit: { argument: 2, unit: 'ms' }, x64: [7], arm64: [] },
  { in: 'poll', polls: 'poll', limit: { argument: 2, unit: 'timespec' }, x64: [271], arm64: [73] },
  { in: 'poll', polls: 'select', limit: { argument: 4, unit: 'timeval' }, x64: [23], arm64: [] },
  { in: 'poll', polls: 'select', limit: { argument: 4, unit: 'timespec' }, x64: [270], arm64: [72] },
  { in: 'poll', polls: 'epoll', limit: { argument: 3, unit: 'ms' }, x64: [232, 281], arm64: [22] },
  { in: 'poll', polls: 'epoll', limit: { argument: 3, unit: 'timespec' }, x64: [441], arm64: [441] },
  { in: 'sleep', limit: { argument: 0, unit: 'timespec' }, x64: [35], arm64: [101] },
  { in: 'sleep', limit: { argument: 2, unit: 'timespec' }, x64: [230], arm64: [115] },
];

/** What the system call of that number on this machine means; undefined for one that is of no interest. */
export function callShape(number: number): CallShape | undefined {
  const { arch } = process;
  return arch === 'x64' || arch === 'arm64' ? SHAPES.find((shape) => shape[arch].includes(number)) : undefined;
}
