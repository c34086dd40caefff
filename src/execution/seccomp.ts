/** What a sandbox refuses at the door of the kernel: see `seccompFilter`. */
interface Numbers {
  /** AUDIT_ARCH of linux/audit.h. */
  readonly arch: number;
  /** Answered with EPERM. */
  readonly refused: readonly number[];
  readonly socket: number;
  readonly ioctl: number;
  readonly clone: number;
}

/** The same on every architecture (asm-generic/unistd.h): io_uring, which makes sockets past this filter; mounts; clone3. */
const COMMON_REFUSED = [425, 426, 427, 428, 429, 430, 431, 432, 433, 442] as const;
const CLONE3 = 435;

/**
 * Keyrings (not all of a keyring is in a namespace), bpf, perf_event_open, userfaultfd, mount, umount2, pivot_root,
 * unshare, setns, open_by_handle_at, kexec_load, the three of kernel modules. Sources: asm/unistd_64.h;
 * asm-generic/unistd.h.
 */
const NUMBERS: Readonly<Record<string, Numbers>> = {
  x64: {
    arch: 0xc000_003e,
    refused: [248, 249, 250, 321, 298, 323, 165, 166, 155, 272, 308, 304, 246, 175, 313, 176],
    socket: 41,
    ioctl: 16,
    clone: 56,
  },
  arm64: {
    arch: 0xc000_00b7,
    refused: [217, 218, 219, 280, 241, 282, 40, 39, 41, 97, 268, 265, 104, 105, 273, 106],
    socket: 198,
    ioctl: 29,
    clone: 220,
  },
};

/** linux/filter.h, bpf_common.h: load a word, jump if equal, jump if greater or equal, jump if a bit is set, return. */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_SET = 0x45;
const RETURN = 0x06;

/** linux/seccomp.h: what a filter answers, and where a system call's number, architecture and arguments lie. */
const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const ERRNO = 0x0005_0000;
const NUMBER_AT = 0;
const ARCH_AT = 4;
const argumentAt = (index: number): number => 16 + 8 * index;

const EPERM = 1;
const ENOSYS = 38;

/** The first number of the x32 interface, which has every call a second time. */
const X32 = 0x4000_0000;
/** sys/socket.h: AF_INET, AF_INET6, AF_NETLINK. */
const FAMILIES = [2, 10, 16] as const;
/** asm-generic/ioctls.h: TIOCSTI and TIOCLINUX type into a terminal. */
const TYPING = [0x5412, 0x541c] as const;
/** linux/sched.h: every CLONE_NEW… but that of time, which clone has no bit for. */
const NEW_NAMESPACES = 0x7e02_0000;

/**
 * A seccomp filter (classic BPF) for commands that may harm nothing: no sockets but those of the internet, which a
 * network namespace holds, so that no daemon is reached through a socket in the file system; no new namespaces, no
 * mounts, no keyrings, no io_uring. Undefined for an architecture that it does not know.
 */
export function seccompFilter(architecture: string = process.arch): Uint8Array | undefined {
  const numbers = NUMBERS[architecture];
  if (numbers === undefined) return undefined;
  const program: Instruction[] = [
    load(ARCH_AT),
    ...unlessEqual(numbers.arch, KILL_PROCESS),
    load(NUMBER_AT),
    // No call of arm64 has so high a number.
    [JUMP_GREATER_EQUAL, 0, 1, X32],
    [RETURN, 0, 0, ERRNO | ENOSYS],
    ...[...numbers.refused, ...COMMON_REFUSED].flatMap((number) => ifEqual(number, ERRNO | EPERM)),
    // Its flags lie in memory, where no filter can look; the C library then takes clone.
    ...ifEqual(CLONE3, ERRNO | ENOSYS),
    ...forCall(numbers.socket, [
      load(argumentAt(0)),
      ...FAMILIES.flatMap((family) => ifEqual(family, ALLOW)),
      refuse(),
    ]),
    ...forCall(numbers.ioctl, [load(argumentAt(1)), ...TYPING.flatMap((request) => ifEqual(request, ERRNO | EPERM))]),
    ...forCall(numbers.clone, [load(argumentAt(0)), [JUMP_SET, 0, 1, NEW_NAMESPACES], refuse()]),
    [RETURN, 0, 0, ALLOW],
  ];
  return encode(program);
}

/** Code, how far to jump when it holds and when not, and a number. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

function load(offset: number): Instruction {
  return [LOAD, 0, 0, offset];
}

function refuse(): Instruction {
  return [RETURN, 0, 0, ERRNO | EPERM];
}

function ifEqual(value: number, answer: number): Instruction[] {
  return [
    [JUMP_EQUAL, 0, 1, value],
    [RETURN, 0, 0, answer],
  ];
}

function unlessEqual(value: number, answer: number): Instruction[] {
  return [
    [JUMP_EQUAL, 1, 0, value],
    [RETURN, 0, 0, answer],
  ];
}

/** Instructions for one system call; behind them its number is loaded again. */
function forCall(number: number, body: readonly Instruction[]): Instruction[] {
  return [[JUMP_EQUAL, 0, body.length, number], ...body, load(NUMBER_AT)];
}

/** struct sock_filter: two bytes, one, one, four. */
function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, ifTrue, ifFalse, value], at) => {
    bytes.writeUInt16LE(code, at * 8);
    bytes.writeUInt8(ifTrue, at * 8 + 2);
    bytes.writeUInt8(ifFalse, at * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, at * 8 + 4);
  });
  return bytes;
}
