import { describe, expect, test } from 'bun:test';
import { seccompFilter } from '../../src/sandbox/seccomp.ts';

type Answer = 'allowed' | 'EPERM' | 'ENOSYS' | 'EAFNOSUPPORT' | 'not done' | 'killed';
const ANSWERS: Readonly<Record<number, Answer>> = {
  2147418112: 'allowed',
  327681: 'EPERM',
  327718: 'ENOSYS',
  327777: 'EAFNOSUPPORT',
  327680: 'not done',
  2147483648: 'killed',
};

/** Runs a classic BPF program as the kernel does, over struct seccomp_data. */
function run(program: Uint8Array, arch: number, call: number, args: readonly number[]): Answer | undefined {
  const data = Buffer.alloc(64);
  data.writeInt32LE(call, 0);
  data.writeUInt32LE(arch, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), 16 + 8 * index);
  const code = Buffer.from(program);
  let accumulator = 0;
  for (let at = 0; at < code.length; at += 8) {
    const [ifTrue, ifFalse, value] = [code.readUInt8(at + 2), code.readUInt8(at + 3), code.readUInt32LE(at + 4)];
    const jump = (holds: boolean): void => {
      at += 8 * (holds ? ifTrue : ifFalse);
    };
    switch (code.readUInt16LE(at)) {
      case 0x20:
        accumulator = data.readUInt32LE(value);
        break;
      case 0x54:
        accumulator = (accumulator & value) >>> 0;
        break;
      case 0x15:
        jump(accumulator === value);
        break;
      case 0x25:
        jump(accumulator > value);
        break;
      case 0x45:
        jump((accumulator & value) !== 0);
        break;
      case 0x06:
        return ANSWERS[value];
      default:
        throw new Error(`no instruction ${code.readUInt16LE(at)}`);
    }
  }
  throw new Error('the program has no end');
}

const X64 = 0xc000_003e;
const ARM64 = 0xc000_00b7;
const CREATING = [0o100, 0o101, 0o1101, 0o20200002, 0o20000000 | 0o2, 0o2000100] as const;
const NOT_CREATING = [0, 1, 2, 0o2000, 0o200000, 0o1001] as const;
const SETTING = [0o4755, 0o2755, 0o6755, 0o4000, 0o2000, 0o7777, 0o104755, 0o102755, 0x1_0000_0000 + 0o4711] as const;
const PLAIN = [0o755, 0o644, 0o1777, 0, 0o100600, 0o40755] as const;
const FD = 3;

/** Calls that set a mode: their names and numbers on x86-64, on arm64, and the argument with the mode. */
const MODES: readonly (readonly [name: string, x64: number, arm64: number | undefined, mode: number])[] = [
  ['fchmod', 91, 52, 1],
  ['fchmodat2', 452, 452, 2],
  ['mknod', 133, undefined, 1],
  ['mknodat', 259, 33, 2],
  ['creat', 85, undefined, 1],
];
/** Those that make a file where their flags ask for one. */
const OPENS: readonly (readonly [name: string, x64: number, arm64: number | undefined, flags: number])[] = [
  ['open', 2, undefined, 1],
  ['openat', 257, 56, 2],
];

type Row = readonly [what: string, arch: 'x64' | 'arm64', call: number, args: readonly number[], answer: Answer];

const at = (index: number, value: number): number[] => [...Array(index).fill(FD), value];
const onBoth = (what: string, x64: number, arm64: number | undefined, args: number[], answer: Answer): Row[] => [
  [what, 'x64', x64, args, answer],
  ...(arm64 === undefined ? [] : [[what, 'arm64', arm64, args, answer] as const]),
];
const octal = (value: number): string => value.toString(8);

const rows: Row[] = [
  ...MODES.flatMap(([name, x64, arm64, mode]) => [
    ...SETTING.flatMap((value) => onBoth(`${name} ${octal(value)}`, x64, arm64, at(mode, value), 'EPERM')),
    ...PLAIN.flatMap((value) => onBoth(`${name} ${octal(value)}`, x64, arm64, at(mode, value), 'allowed')),
  ]),
  ...OPENS.flatMap(([name, x64, arm64, flags]) => [
    ...CREATING.flatMap((flag) =>
      SETTING.flatMap((value) =>
        onBoth(`${name} ${octal(flag)} ${octal(value)}`, x64, arm64, [...at(flags, flag), value], 'EPERM'),
      ),
    ),
    ...CREATING.flatMap((flag) =>
      onBoth(`${name} ${octal(flag)} 0600`, x64, arm64, [...at(flags, flag), 0o600], 'allowed'),
    ),
    // Without a new file, this argument means nothing.
    ...NOT_CREATING.flatMap((flag) =>
      onBoth(`${name} ${octal(flag)} 4755`, x64, arm64, [...at(flags, flag), 0o4755], 'allowed'),
    ),
  ]),
  // The one for trees of directories: chmod of x86-64, fchmodat of arm64. Never the bit for a user, never one in silence
  // where others are kept out.
  ...[0o4755, 0o6755, 0o4000, 0o2770, 0o2700, 0o2751, 0o2754, 0o2000].flatMap((value): Row[] => [
    [`chmod ${octal(value)}`, 'x64', 90, at(1, value), 'EPERM'],
    [`fchmodat ${octal(value)}`, 'arm64', 53, at(2, value), 'EPERM'],
    [`fchmodat ${octal(value)}`, 'x64', 268, at(2, value), 'EPERM'],
  ]),
  ...[0o2755, 0o2775, 0o42755].flatMap((value): Row[] => [
    [`chmod ${octal(value)}`, 'x64', 90, at(1, value), 'not done'],
    [`fchmodat ${octal(value)}`, 'arm64', 53, at(2, value), 'not done'],
    [`fchmodat ${octal(value)}`, 'x64', 268, at(2, value), 'EPERM'],
  ]),
  ...PLAIN.flatMap((value): Row[] => [
    [`chmod ${octal(value)}`, 'x64', 90, at(1, value), 'allowed'],
    [`fchmodat ${octal(value)}`, 'arm64', 53, at(2, value), 'allowed'],
    [`fchmodat ${octal(value)}`, 'x64', 268, at(2, value), 'allowed'],
  ]),
  ...onBoth('openat2', 437, 437, [FD], 'ENOSYS'),
  ...onBoth('clone3', 435, 435, [], 'ENOSYS'),
  ...[470, 471, 500, 1024, 0x4000_0000, 0x4000_0001, 0x4000_005a].flatMap((call) =>
    onBoth(`call ${call}`, call, call, [0, 0o4755], 'ENOSYS'),
  ),
  ...[425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 467].flatMap((call) =>
    onBoth(`call ${call}`, call, call, [], 'EPERM'),
  ),
  ...[1, 5, 0o2000001, 0o2004005].flatMap((type) =>
    onBoth(`socketpair of type ${octal(type)}`, 53, 199, [1, type], 'allowed'),
  ),
  ...[0, 2, 3, 4, 6, 10, 15, 0o2000002, 0o2000003].flatMap((type) =>
    onBoth(`socketpair of type ${octal(type)}`, 53, 199, [1, type], 'EPERM'),
  ),
  ...[2, 10, 16, 17, 30, 38, 40].flatMap((family) =>
    onBoth(`socketpair of family ${family}`, 53, 199, [family, 1], 'EPERM'),
  ),
  ...[2, 10].flatMap((family) => onBoth(`socket of family ${family}`, 41, 198, [family, 1, 0], 'allowed')),
  ...[1, 3, 4, 15, 17, 21, 29, 30, 31, 38, 40, 44].flatMap((family) =>
    onBoth(`socket of family ${family}`, 41, 198, [family, 1, 0], 'EPERM'),
  ),
  ...[0, 4, 16].flatMap((protocol) => onBoth(`netlink ${protocol}`, 41, 198, [16, 3, protocol], 'allowed')),
  ...[1, 2, 9, 11, 12, 15, 20, 21].flatMap((protocol) =>
    onBoth(`netlink ${protocol}`, 41, 198, [16, 3, protocol], 'EPERM'),
  ),
  ...[1024, 1026, 1040].flatMap((command) => onBoth(`fcntl ${command}`, 72, 25, [FD, command, 0], 'EPERM')),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 1025, 1030, 1031, 1033].flatMap((command) =>
    onBoth(`fcntl ${command}`, 72, 25, [FD, command, 0], 'allowed'),
  ),
  ...[0x5412, 0x541c].flatMap((request) => onBoth(`ioctl ${request}`, 16, 29, [FD, request], 'EPERM')),
  // Snapshots of btrfs and bcachefs, with sizes of other kernels, and with bits that the kernel does not look at.
  ...[0x5000_9401, 0x5000_9417, 0x4020_bc10, 0x4030_bc1d, 0xc020_bc10, 0x7_5000_9417].flatMap((request) =>
    onBoth(`ioctl ${request}`, 16, 29, [FD, request], 'EPERM'),
  ),
  // FICLONE, FIDEDUPERANGE, BTRFS_IOC_SUBVOL_CREATE, FS_IOC_GETFLAGS, TCGETS.
  ...[0x4004_9409, 0xc018_9436, 0x5000_940e, 0x8008_6601, 0x5401].flatMap((request) =>
    onBoth(`ioctl ${request}`, 16, 29, [FD, request], 'allowed'),
  ),
  ...onBoth('ioctl TCGETS', 16, 29, [FD, 0x5401], 'allowed'),
  ...[0x1000_0000, 0x2_0000, 0x4000_0000, 0x2000_0000 | 17].flatMap((flags) =>
    onBoth(`clone ${flags.toString(16)}`, 56, 220, [flags], 'EPERM'),
  ),
  ...onBoth('clone of a thread', 56, 220, [0x3d_0f00], 'allowed'),
  ...onBoth('io_setup', 206, 0, [128], 'ENOSYS'),
  ...[0x4_0002, 0x4_0022, 0x5_4022, (21 << 26) | 0x4_0022].flatMap((flags) =>
    onBoth(`mmap ${flags.toString(16)}`, 9, 222, [0, 4096, 3, flags], 'EPERM'),
  ),
  ...[0x1, 0x2, 0x22, 0x812, 0x2_0022, 0x8022, 0x10_0022].flatMap((flags) =>
    onBoth(`mmap ${flags.toString(16)}`, 9, 222, [0, 4096, 3, flags], 'allowed'),
  ),
  ...[0o4000, 0o5600, 0o4600].flatMap((flags) => onBoth(`shmget ${octal(flags)}`, 29, 194, [0, 4096, flags], 'EPERM')),
  ...[0, 0o1600, 0o3600, 0o600].flatMap((flags) =>
    onBoth(`shmget ${octal(flags)}`, 29, 194, [0, 4096, flags], 'allowed'),
  ),
  ...[4, 5, 6, 7, 0xc, 4 | (21 << 26)].flatMap((flags) =>
    onBoth(`memfd_create ${flags}`, 319, 279, [0, flags], 'EPERM'),
  ),
  ...[0, 1, 2, 3, 8, 16].flatMap((flags) => onBoth(`memfd_create ${flags}`, 319, 279, [0, flags], 'allowed')),
  ...onBoth('fanotify_init', 300, 262, [0x200], 'EPERM'),
  ...onBoth('ptrace of itself', 101, 117, [0, 0], 'allowed'),
  ...onBoth('ptrace of another', 101, 117, [16, 7], 'allowed'),
  ...onBoth('ptrace of the first process', 101, 117, [16, 1], 'EPERM'),
  ...onBoth('process_vm_writev to another', 311, 271, [7], 'allowed'),
  ...onBoth('process_vm_writev to the first process', 311, 271, [1], 'EPERM'),
];

/** What is different where a sandbox sees the network of the machine; with a bus whose address has 80 or 81 bytes. */
const ofMachine: Row[] = [
  ...onBoth('a stream of AF_UNIX', 41, 198, [1, 1, 0], 'allowed'),
  ...onBoth('a stream of AF_UNIX with flags', 41, 198, [1, 0o2004001, 0], 'allowed'),
  ...[2, 3, 5, 0o2000002].flatMap((type) => onBoth(`AF_UNIX of type ${octal(type)}`, 41, 198, [1, type, 0], 'EPERM')),
  ...[2, 10].flatMap((family) => onBoth(`family ${family}`, 41, 198, [family, 1, 0], 'EAFNOSUPPORT')),
  ...[17, 38, 40].flatMap((family) => onBoth(`family ${family}`, 41, 198, [family, 1, 0], 'EPERM')),
  ...[0, 4].flatMap((protocol) => onBoth(`netlink ${protocol}`, 41, 198, [16, 3, protocol], 'allowed')),
  ...[2, 9, 15, 16].flatMap((protocol) => onBoth(`netlink ${protocol}`, 41, 198, [16, 3, protocol], 'EPERM')),
  ...[80, 81].flatMap((bytes) => onBoth(`connect by ${bytes} bytes`, 42, 203, [FD, 0, bytes], 'allowed')),
  ...[2, 12, 16, 28, 79, 82, 110].flatMap((bytes) =>
    onBoth(`connect by ${bytes} bytes`, 42, 203, [FD, 0, bytes], 'EPERM'),
  ),
  ...onBoth('bind of netlink', 49, 200, [FD, 0, 12], 'allowed'),
  ...[2, 16, 30, 80, 110].flatMap((bytes) => onBoth(`bind by ${bytes} bytes`, 49, 200, [FD, 0, bytes], 'not done')),
  ...onBoth('listen', 50, 201, [FD, 1], 'EPERM'),
];

describe('the filter of a sandbox that sees the machine', () => {
  const answerOf = (addressBytes: number[], [, arch, call, args]: Row): Answer | undefined => {
    const program = seccompFilter({ isWritable: false, network: false, machine: { addressBytes } }, arch);
    if (program === undefined) throw new Error(`no filter for ${arch}`);
    return run(program, arch === 'x64' ? X64 : ARM64, call, args);
  };
  test.each(ofMachine)('%s on %s', (what, arch, call, args, answer) =>
    expect(answerOf([80, 81], [what, arch, call, args, answer])).toBe(answer),
  );

  test.each(ofMachine.filter(([what]) => what.includes('AF_UNIX')))(
    'without the bus makes no %s on %s',
    (what, arch, call, args, answer) => expect(answerOf([], [what, arch, call, args, answer])).toBe('EPERM'),
  );
});

describe('the filter of a sandbox', () => {
  test.each(rows)('%s on %s', (_, arch, call, args, answer) => {
    const program = seccompFilter({ isWritable: true, network: false }, arch);
    if (program === undefined) throw new Error(`no filter for ${arch}`);
    expect(run(program, arch === 'x64' ? X64 : ARM64, call, args)).toBe(answer);
  });

  const watches: readonly (readonly [name: string, arch: 'x64' | 'arm64', call: number])[] = [
    ['inotify_init', 'x64', 253],
    ['inotify_init1', 'x64', 294],
    ['inotify_init1', 'arm64', 26],
  ];
  test.each(watches)('%s on %s only where something may be written to', (_, arch, call) => {
    const answers = [true, false].map((may) => {
      const program = seccompFilter({ isWritable: may, network: true }, arch) ?? new Uint8Array();
      return run(program, arch === 'x64' ? X64 : ARM64, call, []);
    });
    expect(answers).toEqual(['allowed', 'EPERM']);
  });

  const sockets = (['x64', 'arm64'] as const).flatMap((arch) =>
    [2, 10].flatMap((family) => [1, 2, 3, 0o2000001].map((type) => [arch, family, type] as const)),
  );
  test.each(sockets)(
    'on %s a socket of family %d and type %d wants a workspace or the network',
    (arch, family, type) => {
      const answers = [false, true].flatMap((isWritable) =>
        [false, true].map((network) => {
          const program = seccompFilter({ isWritable, network }, arch) ?? new Uint8Array();
          return run(program, arch === 'x64' ? X64 : ARM64, arch === 'x64' ? 41 : 198, [family, type, 0]);
        }),
      );
      expect(answers).toEqual(['EAFNOSUPPORT', 'allowed', 'allowed', 'allowed']);
    },
  );

  test.each([
    ['x64', ARM64],
    ['x64', 0x4000_0003],
    ['arm64', X64],
    ['arm64', 0x4000_0028],
  ] as const)('of %s kills what calls as another architecture, %d', (arch, other) => {
    expect(run(seccompFilter({ isWritable: true, network: true }, arch) ?? new Uint8Array(), other, 1, [])).toBe(
      'killed',
    );
  });

  test('is not known for every machine', () => {
    expect(seccompFilter({ isWritable: true, network: true }, 'riscv64')).toBeUndefined();
  });
});
