import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What a blocked process does, as far as its system call tells. */
export type BlockedIn = 'read' | 'poll' | 'connect' | 'accept' | 'receive' | 'lock' | 'child' | 'sleep';

/** Numbers of the system calls that block (asm/unistd_64.h; asm-generic/unistd.h, which arm64 uses). */
const CALLS: Readonly<Record<string, Readonly<Record<number, BlockedIn>>>> = {
  x64: {
    0: 'read',
    19: 'read',
    7: 'poll',
    23: 'poll',
    232: 'poll',
    270: 'poll',
    271: 'poll',
    281: 'poll',
    42: 'connect',
    43: 'accept',
    288: 'accept',
    45: 'receive',
    47: 'receive',
    72: 'lock',
    73: 'lock',
    61: 'child',
    247: 'child',
    35: 'sleep',
    230: 'sleep',
  },
  arm64: {
    63: 'read',
    65: 'read',
    22: 'poll',
    72: 'poll',
    73: 'poll',
    203: 'connect',
    202: 'accept',
    242: 'accept',
    207: 'receive',
    212: 'receive',
    25: 'lock',
    32: 'lock',
    95: 'child',
    260: 'child',
    101: 'sleep',
    115: 'sleep',
  },
};

/** The system call that a process is blocked in. */
export interface BlockedCall {
  readonly in: BlockedIn;
  /** Its first argument: the descriptor, where it has one. */
  readonly fd: number;
}

/** The call that `pid` is blocked in; undefined while it runs, for other calls, and where the kernel does not tell. */
export function blockedCall(pid: number): BlockedCall | undefined {
  const [number = '', first = ''] = (readText(`/proc/${pid}/syscall`) ?? '').split(' ');
  const call = /^\d+$/.test(number) ? CALLS[process.arch]?.[Number(number)] : undefined;
  return call && { in: call, fd: Number(first) };
}

/** What is behind the open descriptors of `pid`: `/dev/pts/0`, `pipe:[123]`, `socket:[456]`, or a path. */
export function openFiles(pid: number): ReadonlyMap<number, string> {
  const files = new Map<number, string>();
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) files.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
  } catch {
    // It ends, or is another user's: what was read until then is what can be known.
  }
  return files;
}

/** A file lock (proc(5), /proc/locks). */
export interface FileLock {
  readonly inode: number;
  /** Who holds it; -1 for locks of an open file description, which have no owner. */
  readonly holder: number;
}

/** Parses /proc/locks; those who only wait for a lock (`->`) are left out. */
export function parseLocks(text: string): FileLock[] {
  const held = /^\d+: (?:FLOCK|POSIX|OFDLCK) +\S+ +\S+ (-?\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /;
  return text
    .split('\n')
    .map((line) => held.exec(line))
    .filter((match) => match !== null)
    .map(([, holder, inode]) => ({ holder: Number(holder), inode: Number(inode) }));
}

/** Every file lock that is held on this machine. */
export function heldLocks(): FileLock[] {
  return parseLocks(readText('/proc/locks') ?? '');
}

/** A socket of the internet families, as /proc/net tells it. */
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

/** The sockets in the network namespace of `pid`. */
export function netSockets(pid: number): NetSocket[] {
  return ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((name) => parseSockets(readText(`/proc/${pid}/net/${name}`) ?? ''));
}

/** `0100007F:0016` is 127.0.0.1:22: each word of four bytes has the order of this machine, which is little-endian. */
function addressOf(text: string): string {
  const [hex = '', port = ''] = text.split(':');
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const numbers = bytes.map((byte) => Number.parseInt(byte, 16));
  const isMapped = numbers.length === 16 && /^(00){10}ffff/.test(bytes.join('').toLowerCase());
  const host = numbers.length === 16 && !isMapped ? `[${groupsOf(bytes)}]` : numbers.slice(-4).join('.');
  return `${host}:${Number.parseInt(port, 16)}`;
}

/** The eight groups of an IPv6 address, the first run of zeroes left out. */
function groupsOf(bytes: readonly string[]): string {
  const groups = Array.from({ length: 8 }, (_, at) =>
    Number.parseInt(`${bytes[2 * at]}${bytes[2 * at + 1]}`, 16).toString(16),
  );
  return groups
    .join(':')
    .replace(/\b0(?::0\b)+/, ':')
    .replace(/:{3,}/, '::');
}

/** The name of a process, as ps(1) shows it; undefined where there is no such process. */
export function processName(pid: number): string | undefined {
  return readText(`/proc/${pid}/comm`)?.trim();
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
