import { closeSync, openSync, readdirSync, readlinkSync, readSync, statSync } from 'node:fs';
import { formatAddress } from '../lib/addresses.ts';
import { clockSeconds } from '../linux/libc.ts';
import { readProcFile } from '../linux/proc.ts';

/** What a blocked process does, according to its system call. */
type BlockedIn = 'read' | 'poll' | 'connect' | 'accept' | 'receive' | 'lock' | 'child' | 'sleep' | 'open';

/** The meaning of the arguments of a blocking system call. */
interface CallShape {
  readonly in: BlockedIn;
  /** The form in which it names the descriptors it waits for. */
  readonly polls?: 'poll' | 'select' | 'epoll';
  /** The argument with its longest wait: milliseconds, or the address of a time. */
  readonly limit?: { readonly argument: number; readonly unit: 'ms' | 'timeval' | 'timespec' };
  /** The arguments with the clock, and with the flag `TIMER_ABSTIME`, by which the limit is a time of that clock. */
  readonly until?: { readonly clock: number; readonly flags: number };
  /** The argument with the address of a path. */
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
  {
    in: 'sleep',
    limit: { argument: 2, unit: 'timespec' },
    until: { clock: 0, flags: 1 },
    x64: [230],
    arm64: [115],
  },
];

/** Returns what the system call of that number means on this machine; undefined for others. */
function callShape(number: number): CallShape | undefined {
  const { arch } = process;
  return arch === 'x64' || arch === 'arm64' ? SHAPES.find((shape) => shape[arch].includes(number)) : undefined;
}

/** The system call that a process is blocked in. */
export interface BlockedCall {
  readonly in: BlockedIn;
  /** Its first argument: the descriptor, if it has one. */
  readonly fd: number;
  /** Of `poll`: the descriptors it waits to read from; undefined if unknown. */
  readonly polled?: readonly number[];
  /** Of `sleep` and `poll`: it ends by itself after so many seconds; undefined without a limit. */
  readonly seconds?: number;
  /** Of `open`: the path, as the process passed it. */
  readonly path?: string;
}

/** Returns the call that `pid` is blocked in; undefined while it runs, for other calls, and if the kernel hides it. */
export function blockedCall(pid: number): BlockedCall | undefined {
  const [number = '', ...rest] = (readProcFile(`/proc/${pid}/syscall`) ?? '').split(' ');
  const shape = /^\d+$/.test(number) ? callShape(Number(number)) : undefined;
  if (shape === undefined) return undefined;
  const args = rest.slice(0, 6).map(Number);
  using memory = new ProcessMemory(pid);
  const polled = polledBy(pid, shape, args, memory);
  const seconds = secondsOf(shape, args, memory);
  const path = shape.path === undefined ? undefined : memory.text(args[shape.path] ?? 0);
  return {
    in: shape.in,
    fd: args[0] ?? -1,
    ...(polled !== undefined && { polled }),
    ...(seconds !== undefined && { seconds }),
    ...(path !== undefined && { path }),
  };
}

const MOST_POLLED = 256;
/** POLLIN and EPOLLIN (poll(2), epoll_ctl(2)). */
const READABLE = 1;

function polledBy(
  pid: number,
  { polls }: CallShape,
  args: readonly number[],
  memory: ProcessMemory,
): readonly number[] | undefined {
  const [first = 0, second = 0] = args;
  switch (polls) {
    case 'poll': {
      // struct pollfd: int fd, short events, short revents.
      const count = Math.min(second, MOST_POLLED);
      const entries = memory.read(first, count * 8);
      if (entries === undefined) return undefined;
      return Array.from({ length: count }, (_, at) => at * 8)
        .filter((at) => (entries.readInt16LE(at + 4) & READABLE) !== 0)
        .map((at) => entries.readInt32LE(at));
    }
    case 'select': {
      if (second === 0) return [];
      const count = Math.min(first, MOST_POLLED);
      const bits = memory.read(second, Math.ceil(count / 8));
      if (bits === undefined) return undefined;
      return Array.from({ length: count }, (_, fd) => fd).filter(
        (fd) => ((bits[fd >> 3] ?? 0) & (1 << (fd & 7))) !== 0,
      );
    }
    case 'epoll': {
      const text = readProcFile(`/proc/${pid}/fdinfo/${first}`);
      if (text === undefined) return undefined;
      return [...text.matchAll(/^tfd: +(\d+) events: +([0-9a-f]+)/gm)]
        .filter(([, , events]) => (Number.parseInt(events ?? '', 16) & READABLE) !== 0)
        .map(([, fd]) => Number(fd));
    }
    case undefined:
      return undefined;
    default:
      return polls satisfies never;
  }
}

/** clock_nanosleep(2). */
const TIMER_ABSTIME = 1;

function secondsOf({ limit, until }: CallShape, args: readonly number[], memory: ProcessMemory): number | undefined {
  if (limit === undefined) return undefined;
  const value = args[limit.argument] ?? 0;
  if (limit.unit === 'ms') {
    // An int in a register of 64 bits: -1 is 0xffffffff or 0xffffffffffffffff.
    return value >= 0x8000_0000 ? undefined : value / 1000;
  }
  const time = value === 0 ? undefined : memory.read(value, 16);
  if (time === undefined) return undefined;
  const fraction = Number(time.readBigInt64LE(8)) / (limit.unit === 'timeval' ? 1e6 : 1e9);
  const seconds = Number(time.readBigInt64LE(0)) + fraction;
  if (until === undefined || ((args[until.flags] ?? 0) & TIMER_ABSTIME) === 0) return seconds;
  const now = clockSeconds(args[until.clock] ?? 0);
  return now === undefined ? undefined : Math.max(0, seconds - now);
}

/** The memory of a process, as far as we may read it: the same permission as for its system call. */
class ProcessMemory {
  #fd: number | undefined;

  constructor(private readonly pid: number) {}

  /** Returns `length` bytes at `address`; undefined if they cannot be read. */
  read(address: number, length: number): Buffer | undefined {
    if (!Number.isSafeInteger(address)) return undefined;
    const bytes = Buffer.alloc(length);
    try {
      this.#fd ??= openSync(`/proc/${this.pid}/mem`, 'r');
      return readSync(this.#fd, bytes, 0, length, address) === length ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  /** Returns the text at `address`, to its end; undefined if it cannot be read or is longer than 255 bytes. */
  text(address: number): string | undefined {
    // Page by page: the page after the text may not exist.
    const page = 256 - (address % 256);
    const bytes = this.read(address, page);
    const end = bytes?.indexOf(0) ?? -1;
    if (bytes === undefined || end >= 0) return bytes?.toString('utf8', 0, end);
    const more = this.read(address, page + 256);
    const last = more?.indexOf(0) ?? -1;
    return last >= 0 ? more?.toString('utf8', 0, last) : undefined;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

/** Returns the targets of the open descriptors of `pid`: `/dev/pts/0`, `pipe:[123]`, `socket:[456]`, or a path. */
export function openFiles(pid: number): ReadonlyMap<number, string> {
  const files = new Map<number, string>();
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) files.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
  } catch {
    // It ends, or is another user's: the descriptors read so far are all that is known.
  }
  return files;
}

export interface FileLock {
  /** The file, as `lockable` names it. */
  readonly file: string;
  /** The pid of its holder; -1 for locks of an open file description, which have no owner. */
  readonly holder: number;
}

/** Parses /proc/locks; processes that only wait for a lock (`->`) are left out. */
export function parseLocks(text: string): FileLock[] {
  const held = /^\d+: (?:FLOCK|POSIX|OFDLCK) +\S+ +\S+ (-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /;
  return text
    .split('\n')
    .map((line) => held.exec(line))
    .filter((match) => match !== null)
    .map(([, holder, major = '', minor = '', inode]) => {
      const device = { major: Number.parseInt(major, 16), minor: Number.parseInt(minor, 16) };
      return { holder: Number(holder), file: nameOf(device, Number(inode)) };
    });
}

/**
 * Names an inode together with its device: every file system has small numbers. Undefined if the device has no major
 * number (Btrfs, overlays): there stat(2) and /proc/locks report different ones.
 */
function nameOf({ major, minor }: { readonly major: number; readonly minor: number }, inode: number): string {
  return major === 0 ? `0:${inode}` : `${major}:${minor}:${inode}`;
}

/**
 * Returns the name of what `pid` has open, as in `FileLock`; undefined for what is never locked, such as a terminal.
 */
export function lockable(pid: number, fd: number): string | undefined {
  try {
    const stat = statSync(`/proc/${pid}/fd/${fd}`);
    if (!stat.isFile() && !stat.isDirectory()) return undefined;
    // The encoding of makedev(3), below 2^32.
    const device = { major: (stat.dev >>> 8) & 0xfff, minor: (stat.dev & 0xff) | ((stat.dev >>> 12) & 0xfff00) };
    return nameOf(device, stat.ino);
  } catch {
    return undefined;
  }
}

/** Returns every file lock that is held on this machine. */
export function heldLocks(): FileLock[] {
  return parseLocks(readProcFile('/proc/locks') ?? '');
}

/** Whether a lock is held through a descriptor of `pid`, whichever process took it (proc(5), fdinfo). */
export function holdsLock(pid: number, fd: number): boolean {
  return /^lock:/m.test(readProcFile(`/proc/${pid}/fdinfo/${fd}`) ?? '');
}

/** A socket of the internet families in /proc/net. */
export interface NetSocket {
  readonly inode: number;
  readonly state: 'connecting' | 'connected' | 'listening';
  /** `203.0.113.7:443`; of a listening socket its own address. */
  readonly address: string;
}

const STATES: Readonly<Record<string, NetSocket['state']>> = {
  '01': 'connected',
  '02': 'connecting',
  '0A': 'listening',
};

/** Parses /proc/net/tcp or its like; sockets in other states are left out. */
export function parseSockets(text: string): NetSocket[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', remote = '', code = '', , , , , , inode] = line.trim().split(/\s+/);
      const state = STATES[code];
      if (state === undefined || inode === undefined) return [];
      return [{ inode: Number(inode), state, address: addressOf(state === 'listening' ? local : remote) }];
    });
}

/** Returns the sockets in the network namespace of `pid`. */
export function netSockets(pid: number): NetSocket[] {
  return ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((name) => parseSockets(readProcFile(`/proc/${pid}/net/${name}`) ?? ''));
}

/** `0100007F:0016` is 127.0.0.1:22: each word of four bytes has the order of this machine, which is little-endian. */
function addressOf(text: string): string {
  const [hex = '', port = ''] = text.split(':');
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  return `${formatAddress(bytes.map((byte) => Number.parseInt(byte, 16)))}:${Number.parseInt(port, 16)}`;
}

/**
 * Returns the words that a process was started with, as UTF-8; if it has none, as a thread of the kernel, its name.
 * Undefined if there is no such process.
 */
export function commandLine(pid: number): readonly string[] | undefined {
  const name = readProcFile(`/proc/${pid}/comm`)?.trim();
  if (name === undefined) return undefined;
  const text = Buffer.from(readProcFile(`/proc/${pid}/cmdline`) ?? '', 'latin1').toString();
  // What a program writes over its words may end without a NUL.
  return text === '' ? [name] : text.replace(/\0+$/, '').split('\0');
}
