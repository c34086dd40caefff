/** The numbers of system calls on one architecture. Sources: asm/unistd_64.h; asm-generic/unistd.h. */
interface Numbers {
  /** AUDIT_ARCH of linux/audit.h. */
  readonly arch: number;
  /** Answered with EPERM. */
  readonly refused: readonly number[];
  readonly socket: number;
  readonly socketpair: number;
  readonly ioctl: number;
  readonly clone: number;
  readonly fcntl: number;
  /** Calls that give a file its mode, and which of their arguments that is. */
  readonly modes: readonly (readonly [call: number, mode: number])[];
  /** The one that programs use which copy trees of directories: see `ofTrees`. */
  readonly treeMode: readonly [call: number, mode: number];
  /** Calls that do so when their flags ask for a new file, with both arguments. */
  readonly opens: readonly (readonly [call: number, flags: number, mode: number])[];
  /** Calls that change another process, ptrace and process_vm_writev, and which of their arguments names it. */
  readonly changes: readonly (readonly [call: number, pid: number])[];
  /** inotify_init, inotify_init1. */
  readonly watches: readonly number[];
  /** io_setup. */
  readonly asynchronous: number;
  /** Calls that take memory by huge pages when a flag says so, which of their arguments that is, and the flag. */
  readonly hugePages: readonly (readonly [call: number, flags: number, flag: number])[];
}

/**
 * The same on every architecture (asm-generic/unistd.h): io_uring, which makes sockets past this filter; mounts;
 * pidfd_getfd, which takes descriptors of others.
 */
const COMMON_REFUSED = [425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 467] as const;
const CLONE3 = 435;
const OPENAT2 = 437;
const FCHMODAT2 = [452, 2] as const;
/** The newest call that was looked at (file_setattr, Linux 6.17): what later ones do, this filter does not know. */
const NEWEST = 469;

/** asm-generic/mman-common.h; linux/shm.h; linux/memfd.h. */
const MAP_HUGETLB = 0x40000;
const SHM_HUGETLB = 0o4000;
const MFD_HUGETLB = 0x4;

/**
 * Keyrings (not all of a keyring is in a namespace), bpf, perf_event_open, userfaultfd, mount, umount2, pivot_root,
 * unshare, setns, open_by_handle_at, kexec_load, the three of kernel modules, fanotify_init.
 */
const NUMBERS: Readonly<Record<string, Numbers>> = {
  x64: {
    arch: 0xc000_003e,
    refused: [248, 249, 250, 321, 298, 323, 165, 166, 155, 272, 308, 304, 246, 175, 313, 176, 300],
    socket: 41,
    socketpair: 53,
    ioctl: 16,
    clone: 56,
    fcntl: 72,
    // fchmod, fchmodat, mknod, mknodat, creat; chmod.
    modes: [[91, 1], [268, 2], [133, 1], [259, 2], [85, 1], FCHMODAT2],
    treeMode: [90, 1],
    // open, openat.
    opens: [
      [2, 1, 2],
      [257, 2, 3],
    ],
    changes: [
      [101, 1],
      [311, 0],
    ],
    watches: [253, 294],
    asynchronous: 206,
    // mmap, shmget, memfd_create.
    hugePages: [
      [9, 3, MAP_HUGETLB],
      [29, 2, SHM_HUGETLB],
      [319, 1, MFD_HUGETLB],
    ],
  },
  arm64: {
    arch: 0xc000_00b7,
    refused: [217, 218, 219, 280, 241, 282, 40, 39, 41, 97, 268, 265, 104, 105, 273, 106, 262],
    socket: 198,
    socketpair: 199,
    ioctl: 29,
    clone: 220,
    fcntl: 25,
    // fchmod, mknodat; fchmodat.
    modes: [[52, 1], [33, 2], FCHMODAT2],
    treeMode: [53, 2],
    opens: [[56, 2, 3]],
    changes: [
      [117, 1],
      [271, 0],
    ],
    watches: [26],
    asynchronous: 0,
    hugePages: [
      [222, 3, MAP_HUGETLB],
      [194, 2, SHM_HUGETLB],
      [279, 1, MFD_HUGETLB],
    ],
  },
};

/** linux/filter.h, bpf_common.h: load a word, and, jump if equal, if greater, if a bit is set, return. */
const LOAD = 0x20;
const AND = 0x54;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
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
const EAFNOSUPPORT = 97;

/** sys/socket.h: AF_UNIX, AF_NETLINK; AF_INET, AF_INET6. */
const [UNIX, NETLINK, ...FAMILIES] = [1, 16, 2, 10] as const;
/** linux/netlink.h: routes and addresses, sockets, generic. Some of the others carry messages to a user's programs. */
const NETLINK_PROTOCOLS = [0, 4, 16] as const;
/** sys/socket.h: SOCK_STREAM, SOCK_SEQPACKET, without the flags beside them. Their pairs cannot be led elsewhere. */
const PAIRS = [1, 5] as const;
const TYPE_BITS = 0xf;
/** asm-generic/ioctls.h: TIOCSTI and TIOCLINUX type into a terminal. */
const TYPING = [0x5412, 0x541c] as const;
/** Snapshots copy what is hidden: linux/btrfs.h, and bcachefs; without the size of their arguments. */
const SNAPSHOTS = [0x9401, 0x9417, 0xbc10, 0xbc1d] as const;
/** linux/sched.h: every CLONE_NEW… but that of time, which clone has no bit for. */
const NEW_NAMESPACES = 0x7e02_0000;
/** linux/stat.h: S_ISUID, S_ISGID; S_IROTH, S_IXOTH. */
const SET_USER_ID = 0o4000;
const SET_GROUP_ID = 0o2000;
const SET_ID = SET_USER_ID | SET_GROUP_ID;
const READ_BY_OTHERS = 0o4;
const ENTERED_BY_OTHERS = 0o1;
/** asm-generic/fcntl.h: O_CREAT, __O_TMPFILE. */
const NEW_FILE = 0o20000100;
/** The first process of a sandbox, which is bwrap(1): by it the agent finds what a command has left there. */
const FIRST = 1;
/** linux/fcntl.h: F_SETLEASE, F_NOTIFY, F_SETDELEG. */
const LEASES = [1024, 1026, 1040] as const;

/** What a sandbox has. */
export interface FilterOptions {
  /** A directory that it may write to: what works there may watch files for changes (inotify(7)), and serve itself. */
  readonly isWritable: boolean;
  /** The network of the machine. */
  readonly network: boolean;
}

/**
 * The seccomp filter (classic BPF) of a sandboxed command. The rule: it may use what it reaches by name, as its user,
 * and what it does there stays there. So it
 * - gives no file its own rights: no mode with a set-id bit, by any call that takes a mode;
 * - reaches no program of the machine but by the internet, which a network namespace holds: no socket that a path or an
 *   abstract name could be reached from;
 * - lets no descriptor out and takes none in: they travel by such sockets only;
 * - keeps nobody from what it can only read: no leases;
 * - takes little that the kernel counts for its user, or for all users, in all namespaces together: no contexts of
 *   asynchronous input and output, no huge pages; where it may write nowhere no watches, and without network not the
 *   memory of sockets of the internet, which lead nowhere there;
 * - changes nothing of the first process of its sandbox, which is not its own;
 * - makes no namespaces, mounts or keys, types into no terminal, copies no tree by a snapshot;
 * - uses no call that has come to the kernel since this list was made.
 *
 * What a filter cannot look at, because it lies in memory (openat2, clone3), answers that there is no such call: the C
 * library then takes the older one. bwrap(1) loads this filter last, and uses both before. Undefined for an
 * architecture that it does not know.
 */
export function seccompFilter(options: FilterOptions, architecture: string = process.arch): Uint8Array | undefined {
  const numbers = NUMBERS[architecture];
  if (numbers === undefined) return undefined;
  const key = `${architecture} ${options.isWritable} ${options.network}`;
  const filter = made.get(key) ?? makeFilter(options, numbers);
  made.set(key, filter);
  return filter;
}

/** Each command needs one. */
const made = new Map<string, Uint8Array>();

function makeFilter({ isWritable, network }: FilterOptions, numbers: Numbers): Uint8Array {
  const refused = [...numbers.refused, ...COMMON_REFUSED, ...(isWritable ? [] : numbers.watches)];
  const internet = isWritable || network ? ALLOW : ERRNO | EAFNOSUPPORT;
  const program: Instruction[] = [
    load(ARCH_AT),
    ...unlessEqual(numbers.arch, KILL_PROCESS),
    load(NUMBER_AT),
    // No call of arm64 has so high a number as those of x32.
    [JUMP_GREATER, 0, 1, NEWEST],
    [RETURN, 0, 0, ERRNO | ENOSYS],
    ...refused.flatMap((number) => ifEqual(number, ERRNO | EPERM)),
    ...[CLONE3, OPENAT2, numbers.asynchronous].flatMap((number) => ifEqual(number, ERRNO | ENOSYS)),
    ...numbers.modes.flatMap(([call, mode]) => forCall(call, ifAnyBit(mode, SET_ID))),
    ...forCall(numbers.treeMode[0], ofTrees(numbers.treeMode[1])),
    ...numbers.opens.flatMap(([call, flags, mode]) =>
      forCall(call, [load(argumentAt(flags)), [JUMP_SET, 0, 3, NEW_FILE], ...ifAnyBit(mode, SET_ID)]),
    ),
    ...forCall(numbers.socket, [
      load(argumentAt(0)),
      ...FAMILIES.flatMap((family) => ifEqual(family, internet)),
      ...unlessEqual(NETLINK, ERRNO | EPERM),
      load(argumentAt(2)),
      ...NETLINK_PROTOCOLS.flatMap((protocol) => ifEqual(protocol, ALLOW)),
      refuse(),
    ]),
    ...forCall(numbers.socketpair, [
      load(argumentAt(0)),
      ...unlessEqual(UNIX, ERRNO | EPERM),
      load(argumentAt(1)),
      [AND, 0, 0, TYPE_BITS],
      ...PAIRS.flatMap((type) => ifEqual(type, ALLOW)),
      refuse(),
    ]),
    ...forCall(numbers.fcntl, [load(argumentAt(1)), ...LEASES.flatMap((command) => ifEqual(command, ERRNO | EPERM))]),
    ...numbers.changes.flatMap(([call, pid]) =>
      forCall(call, [load(argumentAt(pid)), ...ifEqual(FIRST, ERRNO | EPERM)]),
    ),
    ...forCall(numbers.ioctl, [
      load(argumentAt(1)),
      ...TYPING.flatMap((request) => ifEqual(request, ERRNO | EPERM)),
      [AND, 0, 0, 0xffff],
      ...SNAPSHOTS.flatMap((request) => ifEqual(request, ERRNO | EPERM)),
    ]),
    ...numbers.hugePages.flatMap(([call, flags, flag]) => forCall(call, ifAnyBit(flags, flag))),
    ...forCall(numbers.clone, ifAnyBit(0, NEW_NAMESPACES)),
    [RETURN, 0, 0, ALLOW],
  ];
  return encode(program);
}

/** Code, how far to jump when it holds and when not, and a number. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

function load(offset: number): Instruction {
  return [LOAD, 0, 0, offset];
}

const refuse = (): Instruction => [RETURN, 0, 0, ERRNO | EPERM];

/** Refuses a call one of whose arguments has any of these bits: three instructions. */
function ifAnyBit(argument: number, bits: number): Instruction[] {
  return [load(argumentAt(argument)), [JUMP_SET, 0, 1, bits], refuse()];
}

/**
 * A filter cannot tell a directory from a file. git, cp and tar give a directory the bit that it has inherited from the
 * one above, and stop where that is refused: they hear that it was done, and nothing is done. Whoever asks for a mode
 * that keeps others out hears the truth: it would not be kept.
 */
function ofTrees(argument: number): Instruction[] {
  return [
    load(argumentAt(argument)),
    [JUMP_SET, 4, 0, SET_USER_ID],
    [JUMP_SET, 0, 4, SET_GROUP_ID],
    [JUMP_SET, 0, 2, READ_BY_OTHERS],
    [JUMP_SET, 0, 1, ENTERED_BY_OTHERS],
    [RETURN, 0, 0, ERRNO],
    refuse(),
  ];
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
