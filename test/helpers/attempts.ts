/** Numbers of system calls on x86-64 and arm64; undefined where there is no such call. */
const CALLS: Readonly<Record<string, readonly [x64: number, arm64: number | undefined]>> = {
  chmod: [90, undefined],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  mknod: [133, undefined],
  mknodat: [259, 33],
  creat: [85, undefined],
  open: [2, undefined],
  openat: [257, 56],
  fsetxattr: [190, 7],
  fcntl: [72, 25],
  ftruncate: [77, 46],
  inotify_init1: [294, 26],
  fanotify_init: [300, 262],
  pidfd_getfd: [438, 438],
  ptrace: [101, 117],
  process_vm_writev: [311, 271],
  socket: [41, 198],
  socketpair: [53, 199],
  io_uring_setup: [425, 425],
  open_tree_attr: [467, 467],
  io_setup: [206, 0],
  mmap: [9, 222],
  shmget: [29, 194],
  memfd_create: [319, 279],
};
export const numberOf = (name: string): number | undefined => CALLS[name]?.[process.arch === 'x64' ? 0 : 1];

/** A try, and what else must not be seen outside. */
export type Attempt = readonly [what: string, cmd: string];
const AT_CWD = -100;
const FILE = 0o100000;
/** One call; nothing where this architecture has no such call. */
export const call = (name: string, ...args: readonly (string | number)[]): string =>
  numberOf(name) === undefined ? 'true' : `"$A" call ${numberOf(name)} ${args.join(' ')}`;

const MODES = [0o4755, 0o2755, 0o6711];
const octal = (mode: number): string => `0${mode.toString(8)}`;

/** Each in an empty directory $D, with a file f of the command's own. */
export const SET_ID: readonly Attempt[] = [
  ...MODES.flatMap((mode): Attempt[] => [
    [`chmod ${octal(mode)}`, call('chmod', 's:f', mode)],
    [`fchmod ${octal(mode)}`, `exec 5<f; ${call('fchmod', 5, mode)}`],
    [`fchmodat ${octal(mode)}`, call('fchmodat', AT_CWD, 's:f', mode)],
    [`fchmodat2 ${octal(mode)}`, call('fchmodat2', AT_CWD, 's:f', mode, 0)],
    [`mknod ${octal(mode)}`, call('mknod', 's:n', FILE | mode, 0)],
    [`mknodat ${octal(mode)}`, call('mknodat', AT_CWD, 's:n', FILE | mode, 0)],
    [`creat ${octal(mode)}`, call('creat', 's:n', mode)],
    [`open ${octal(mode)}`, call('open', 's:n', 0o102, mode)],
    [`openat ${octal(mode)}`, call('openat', AT_CWD, 's:n', 0o102, mode)],
    [`openat2 ${octal(mode)}`, `"$A" openat2 n ${mode.toString(8)}`],
    [`a file without a name, ${octal(mode)}`, `"$A" tmpfile . n ${mode.toString(8)}`],
    [`its own output, ${octal(mode)}`, call('fchmod', 1, mode)],
    [`its own errors, ${octal(mode)}`, call('fchmod', 2, mode)],
    [`its own output by its name, ${octal(mode)}`, call('fchmodat', AT_CWD, 's:/proc/self/fd/1', mode)],
  ]),
  ['chmod u+s', 'chmod u+s f && echo ESCAPED'],
  ['chmod g+s', 'chmod g+s f && echo ESCAPED'],
  ['install', 'install -m 4755 "$A" n && echo ESCAPED'],
  ['cp of a set-id program', 'cp -a /usr/bin/passwd n'],
  ['perl', `perl -e 'chmod(04755, "f") and print "ESCAPED"'`],
  ['a call of 32-bit programs', '"$A" int80 f 4755'],
  ['a call of x32', process.arch === 'x64' ? `"$A" call $((0x40000000 + 90)) s:f ${0o4755}` : 'true'],
  [
    'a capability of a file',
    `exec 5<>f; perl -e 'open F, "+<", "f"; my $v = pack("V5", 0x02000001, 0xffffffff, 0, 0, 0); ` +
      `print "ESCAPED" if syscall(${numberOf('fsetxattr')}, fileno(F), "security.capability", $v, 20, 0) == 0'`,
  ],
];

export const SOCKETS: readonly Attempt[] = [
  ...[1, 2, 3, 5, 0o2000002, 0o4003].flatMap((type) =>
    ['$O/datagram', '$O/stream', '@$N-datagram', '@$N-stream'].map(
      (name): Attempt => [`a pair of type ${type.toString(8)} to ${name}`, `"$A" pair ${type} "${name}"`],
    ),
  ),
  ...[1, 2, 5].flatMap((type) =>
    ['$O/datagram', '$O/stream', '@$N-datagram'].map(
      (name): Attempt => [`a socket of type ${type} to ${name}`, `"$A" unix ${type} "${name}"`],
    ),
  ),
  ['an end that listens, by path', '"$A" listen "$D/l"'],
  ['an end that listens, by name', '"$A" listen "@$N-own"'],
  ...[29, 30, 38, 40, 17].map((family): Attempt => [`family ${family}`, call('socket', family, 2, 0)]),
  ...[2, 9, 15].map((protocol): Attempt => [`netlink ${protocol}`, call('socket', 16, 3, protocol)]),
  ['a raw socket', call('socket', 2, 3, 1)],
  ['a packet socket by its old name', call('socket', 2, 10, 768)],
  ['ptrace of the first process', call('ptrace', 0x4206, 1, 0, 0)],
  ['a write to the first process', call('process_vm_writev', 1, 0, 0, 0, 0, 0)],
  ['pidfd_getfd', call('pidfd_getfd', 0, 0, 0)],
  ['io_uring', call('io_uring_setup', 1, 0)],
  ['open_tree_attr', call('open_tree_attr', 0, 0, 0)],
];

export const LEASES: readonly Attempt[] = [
  ...[0, 1].map((kind): Attempt => [`a lease of kind ${kind}`, `exec 5<"$O/file"; ${call('fcntl', 5, 1024, kind)}`]),
  ['a lease on a program', `exec 5</bin/cat; ${call('fcntl', 5, 1024, 0)}`],
  ['a lease on its own output', call('fcntl', 1, 1024, 0)],
  ['a watch of a directory by signal', `exec 5<"$O"; ${call('fcntl', 5, 1026, 2)}`],
  ['a delegation', `exec 5<"$O"; ${call('fcntl', 5, 1040, 0)}`],
];

/** Where nothing may be written to. */
export const WATCHES: readonly Attempt[] = [
  ['inotify', `"$A" many ${numberOf('inotify_init1')} 0`],
  ['inotify that does not block', `"$A" many ${numberOf('inotify_init1')} ${0o4000}`],
  ['fanotify', `"$A" many ${numberOf('fanotify_init')} ${0x200}`],
];

/** What the kernel has for all of the machine once. */
export const SHARED: readonly Attempt[] = [
  // A context is written into 8 bytes that are 0.
  ['asynchronous input and output', call('io_setup', 1, 's:')],
  ['huge pages without a file', call('mmap', 0, 0x20_0000, 3, 0x4_0022, -1, 0)],
  ['huge pages in a file', call('memfd_create', 's:n', 4)],
  ['huge pages that are shared', call('shmget', 0, 0x20_0000, 0o5600)],
];

/** Where nothing may be written to and there is no network. */
export const INTERNET: readonly Attempt[] = [2, 10].flatMap((family) =>
  [1, 2].map((type): Attempt => [`a socket of family ${family}, type ${type}`, call('socket', family, type, 0)]),
);

/**
 * A command that makes tries one after the other, each in a directory of its own with a file f, and says ESCAPED of what
 * succeeds and of each file with set-id bits. It is told $A, the program; $O, a directory of a daemon; $N, its name.
 */
export function tryAll(attempts: readonly Attempt[], work: string): string {
  const find = `find . -type f -perm /6000 | sed 's/^/ESCAPED /'`;
  const tries = attempts.map(
    ([, cmd], index) => `echo "@@${index}"; (mkdir ${index}; cd ${index}; : > f; ${cmd}; ${find})`,
  );
  return [`D=$(mktemp -d ${work}/t.XXXXXX); cd "$D"`, ...tries].join('\n');
}

/** What each try said, by its name. */
export function saidBy(attempts: readonly Attempt[], stdout: string): ReadonlyMap<string, string> {
  const parts = stdout.split('@@').slice(1);
  return new Map(
    parts.map((part) => {
      const [index = '', ...lines] = part.split('\n');
      return [attempts[Number(index)]?.[0] ?? '', lines.join('\n')];
    }),
  );
}

/** A mode that lets all read is said to be set where directories are copied; it is not. */
export function hasEscaped(what: string, said: string | undefined): boolean {
  if (said === undefined) throw new Error(`nothing is known of ${what}`);
  return said.includes('ESCAPED') && !(said === 'ESCAPED 0\n' && / 02755$/.test(what));
}
