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

const READ: CallShape = { in: 'read' };
const POLL: CallShape = { in: 'poll', polls: 'poll', limit: { argument: 2, unit: 'ms' } };
const PPOLL: CallShape = { in: 'poll', polls: 'poll', limit: { argument: 2, unit: 'timespec' } };
const SELECT: CallShape = { in: 'poll', polls: 'select', limit: { argument: 4, unit: 'timeval' } };
const PSELECT: CallShape = { in: 'poll', polls: 'select', limit: { argument: 4, unit: 'timespec' } };
const EPOLL: CallShape = { in: 'poll', polls: 'epoll', limit: { argument: 3, unit: 'ms' } };
const EPOLL2: CallShape = { in: 'poll', polls: 'epoll', limit: { argument: 3, unit: 'timespec' } };
const CONNECT: CallShape = { in: 'connect' };
const ACCEPT: CallShape = { in: 'accept' };
const RECEIVE: CallShape = { in: 'receive' };
const LOCK: CallShape = { in: 'lock' };
const CHILD: CallShape = { in: 'child' };
const NANOSLEEP: CallShape = { in: 'sleep', limit: { argument: 0, unit: 'timespec' } };
const CLOCK_NANOSLEEP: CallShape = { in: 'sleep', limit: { argument: 2, unit: 'timespec' } };
const OPEN: CallShape = { in: 'open', path: 0 };
const OPENAT: CallShape = { in: 'open', path: 1 };

/** By their numbers (asm/unistd_64.h; asm-generic/unistd.h, which arm64 uses). */
const SHAPES: Readonly<Record<string, Readonly<Record<number, CallShape>>>> = {
  x64: {
    0: READ,
    2: OPEN,
    7: POLL,
    19: READ,
    23: SELECT,
    35: NANOSLEEP,
    42: CONNECT,
    43: ACCEPT,
    45: RECEIVE,
    47: RECEIVE,
    61: CHILD,
    72: LOCK,
    73: LOCK,
    230: CLOCK_NANOSLEEP,
    232: EPOLL,
    247: CHILD,
    257: OPENAT,
    270: PSELECT,
    271: PPOLL,
    281: EPOLL,
    288: ACCEPT,
    441: EPOLL2,
  },
  arm64: {
    22: EPOLL,
    25: LOCK,
    32: LOCK,
    56: OPENAT,
    63: READ,
    65: READ,
    72: PSELECT,
    73: PPOLL,
    95: CHILD,
    101: NANOSLEEP,
    115: CLOCK_NANOSLEEP,
    202: ACCEPT,
    203: CONNECT,
    207: RECEIVE,
    212: RECEIVE,
    242: ACCEPT,
    260: CHILD,
    441: EPOLL2,
  },
};

/** What the system call of that number on this machine means; undefined for one that is of no interest. */
export function callShape(number: number): CallShape | undefined {
  return SHAPES[process.arch]?.[number];
}
