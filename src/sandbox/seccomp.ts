import { CLONE3, COMMON_REFUSED, NEWEST, NUMBERS, type Numbers, OPENAT2 } from './system-calls.ts';

/** linux/filter.h, bpf_common.h: load a word, and, jump if equal, if greater, if a bit is set, return. */
const LOAD = 0x20;
const AND = 0x54;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_SET = 0x45;
const RETURN = 0x06;

/** linux/seccomp.h: results of a filter, and the offsets of a system call's number, architecture and arguments. */
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
/** Those by which the machine describes its network: changing it takes a capability (rtnetlink(7), sock_diag(7)). */
const NETLINK_ASKING = [0, 4] as const;
/** linux/netlink.h: struct sockaddr_nl. */
const NETLINK_ADDRESS_BYTES = 12;
/** sys/socket.h: SOCK_STREAM, SOCK_SEQPACKET, without their flags. Their pairs cannot be connected elsewhere. */
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
/** The first process of a sandbox, which is bwrap(1): through it the agent finds what a command has left there. */
const FIRST = 1;
/** linux/fcntl.h: F_SETLEASE, F_NOTIFY, F_SETDELEG. */
const LEASES = [1024, 1026, 1040] as const;
/** asm-generic/fcntl.h: F_SETLK, F_SETLKW, and the same of open files (F_OFD_…). */
const LOCKS = [6, 7, 37, 38] as const;
/** sys/file.h: LOCK_EX. */
const EXCLUSIVE = 2;

/** Properties of a sandbox that the filter depends on. */
export interface FilterOptions {
  /**
   * Whether it has a writable directory: programs there may watch files for changes (inotify(7)), and serve themselves.
   */
  readonly isWritable: boolean;
  /** Whether it has the network of the machine. */
  readonly network: boolean;
  /** It sees the network of the machine without using it: see `machineSockets`. */
  readonly machine?: MachineSockets | undefined;
}

/** What it reaches there. */
export interface MachineSockets {
  /** The lengths in bytes of addresses that it may connect to; none: it makes no sockets that lead to programs. */
  readonly addressBytes: readonly number[];
}

/**
 * Returns the seccomp filter (classic BPF) of a sandboxed command. The rule: it may use what it reaches by name, as its
 * user, and what it does there stays there. So it
 * - makes no file that runs with its rights: no mode with a set-id bit, by any call that takes a mode;
 * - reaches programs of the machine only by the internet, which a network namespace separates: no socket that could be
 *   reached by a path or an abstract name;
 * - passes no descriptor out or in: they only travel by such sockets;
 * - does not hold up others at files that it can only read: no leases, and no locks if it may write nowhere. A reader
 *   that asks for a shared lock, as sqlite3 and who do, gets success, and reads as cat does;
 * - takes little that the kernel counts for its user, or for all users, in all namespaces together: no contexts of
 *   asynchronous input and output, no huge pages; no watches if it may write nowhere, and without network no memory of
 *   internet sockets, which lead nowhere there;
 * - changes nothing of the first process of its sandbox, which is not its own;
 * - makes no namespaces, mounts or keys, types into no terminal, copies no tree by a snapshot;
 * - uses no call that is newer than this list;
 * - if it sees the network of the machine, asks the kernel about it, and reaches one socket by a path.
 *
 * Calls whose arguments are in memory (openat2, clone3) cannot be examined. They return that there is no such call, and
 * the C library uses the older one. bwrap(1) loads this filter last, and uses both before. Returns undefined for an
 * unknown architecture.
 */
export function seccompFilter(options: FilterOptions, architecture: string = process.arch): Uint8Array | undefined {
  const numbers = NUMBERS[architecture];
  if (numbers === undefined) return undefined;
  const key = `${architecture} ${JSON.stringify(options)}`;
  const filter = made.get(key) ?? makeFilter(options, numbers);
  made.set(key, filter);
  return filter;
}

/** Each command needs one. */
const made = new Map<string, Uint8Array>();

function makeFilter({ isWritable, network, machine }: FilterOptions, numbers: Numbers): Uint8Array {
  const refused = [...numbers.refused, ...COMMON_REFUSED, ...(isWritable ? [] : numbers.watches)];
  const internet = isWritable || network ? ALLOW : ERRNO | EAFNOSUPPORT;
  const program: Instruction[] = [
    load(ARCH_AT),
    ...unlessEqual(numbers.arch, KILL_PROCESS),
    load(NUMBER_AT),
    // No call of arm64 has a number as high as those of x32.
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
      ...(machine === undefined || machine.addressBytes.length === 0 ? [] : streamsOfPaths()),
      ...unlessEqual(NETLINK, ERRNO | EPERM),
      load(argumentAt(2)),
      ...(machine === undefined ? NETLINK_PROTOCOLS : NETLINK_ASKING).flatMap((protocol) => ifEqual(protocol, ALLOW)),
      refuse(),
    ]),
    ...(machine === undefined ? [] : machineSockets(machine, numbers)),
    ...forCall(numbers.socketpair, [
      load(argumentAt(0)),
      ...unlessEqual(UNIX, ERRNO | EPERM),
      load(argumentAt(1)),
      [AND, 0, 0, TYPE_BITS],
      ...PAIRS.flatMap((type) => ifEqual(type, ALLOW)),
      refuse(),
    ]),
    ...forCall(numbers.fcntl, [
      load(argumentAt(1)),
      ...LEASES.flatMap((command) => ifEqual(command, ERRNO | EPERM)),
      ...(isWritable ? [] : LOCKS.flatMap((command) => ifEqual(command, ERRNO))),
    ]),
    ...(isWritable ? [] : forCall(numbers.flock, [...ifAnyBit(1, EXCLUSIVE), [RETURN, 0, 0, ERRNO]])),
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

/** Only AF_UNIX streams: they reach others only by connect(2), while a datagram has its address with it. */
function streamsOfPaths(): Instruction[] {
  const body = [load(argumentAt(1)), [AND, 0, 0, TYPE_BITS] as const, ...ifEqual(PAIRS[0], ALLOW), refuse()];
  return [[JUMP_EQUAL, 0, body.length, UNIX], ...body];
}

/**
 * In the network namespace of the machine, abstract sockets can be reached, and a filter sees the length of an address,
 * not its content. So connect(2) accepts addresses of a length that no abstract socket has: one that a path of this
 * length leads to. Clients of D-Bus also ask for a bind(2) of AF_UNIX sockets (systemd from 254 on): it is answered as
 * done, and nothing is done. Only an address as long as netlink's is bound. listen(2) is refused.
 */
function machineSockets({ addressBytes }: MachineSockets, numbers: Numbers): Instruction[] {
  return [
    ...(addressBytes.length === 0
      ? []
      : forCall(numbers.connect, [
          load(argumentAt(2)),
          ...addressBytes.flatMap((bytes) => ifEqual(bytes, ALLOW)),
          refuse(),
        ])),
    ...forCall(numbers.bind, [load(argumentAt(2)), ...unlessEqual(NETLINK_ADDRESS_BYTES, ERRNO)]),
    ...ifEqual(numbers.listen, ERRNO | EPERM),
  ];
}

/** Code, how far to jump if it is true and if not, and a number. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

function load(offset: number): Instruction {
  return [LOAD, 0, 0, offset];
}

const refuse = (): Instruction => [RETURN, 0, 0, ERRNO | EPERM];

/** Refuses a call if one of its arguments has any of these bits: three instructions. */
function ifAnyBit(argument: number, bits: number): Instruction[] {
  return [load(argumentAt(argument)), [JUMP_SET, 0, 1, bits], refuse()];
}

/**
 * A filter cannot distinguish a directory from a file. git, cp and tar set the bit that a directory has inherited from
 * its parent, and stop if that is refused: it is answered as done, and nothing is done. A mode that locks others out is
 * refused openly: it would not be kept.
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

/** Instructions for one system call; after them its number is loaded again. */
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
