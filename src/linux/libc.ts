import { CString, dlopen, type FFIFunction, type Pointer, read, toArrayBuffer } from 'bun:ffi';

const SYMBOLS = {
  getenv: { args: ['cstring'], returns: 'ptr' },
  strlen: { args: ['ptr'], returns: 'u64' },
  prctl: { args: ['int', 'u64', 'u64', 'u64', 'u64'], returns: 'int' },
  getpwuid: { args: ['u32'], returns: 'ptr' },
  pipe2: { args: ['ptr', 'int'], returns: 'int' },
  fcntl: { args: ['int', 'int', 'int'], returns: 'int' },
  getsid: { args: ['int'], returns: 'int' },
  getpgid: { args: ['int'], returns: 'int' },
  flock: { args: ['int', 'int'], returns: 'int' },
  mount: { args: ['cstring', 'cstring', 'cstring', 'u64', 'cstring'], returns: 'int' },
  umount2: { args: ['cstring', 'int'], returns: 'int' },
  openat: { args: ['int', 'cstring', 'int', 'int'], returns: 'int' },
  socketpair: { args: ['int', 'int', 'int', 'ptr'], returns: 'int' },
  setxattr: { args: ['cstring', 'cstring', 'ptr', 'u64', 'int'], returns: 'int' },
  getxattr: { args: ['cstring', 'cstring', 'ptr', 'u64'], returns: 'i64' },
  memfd_create: { args: ['cstring', 'u32'], returns: 'int' },
  inotify_init1: { args: ['int'], returns: 'int' },
  inotify_add_watch: { args: ['int', 'cstring', 'u32'], returns: 'int' },
  inotify_rm_watch: { args: ['int', 'int'], returns: 'int' },
  read: { args: ['int', 'ptr', 'u64'], returns: 'i64' },
  poll: { args: ['ptr', 'u64', 'int'], returns: 'int' },
  setrlimit: { args: ['int', 'ptr'], returns: 'int' },
  waitid: { args: ['int', 'u32', 'ptr', 'int'], returns: 'int' },
  syscall: { args: ['i64', 'int', 'ptr', 'u64'], returns: 'i64' },
  ioctl: { args: ['int', 'u64', 'ptr'], returns: 'int' },
  clock_gettime: { args: ['int', 'ptr'], returns: 'int' },
} as const satisfies Record<string, FFIFunction>;

type Libc = ReturnType<typeof dlopen<typeof SYMBOLS>>['symbols'];

let loaded: Libc | undefined;

/** The C library's functions that Bun has no API for. Throws if no known C library is found. */
export function libc(): Libc {
  loaded ??= loadFirst((name) => dlopen(name, SYMBOLS).symbols);
  return loaded;
}

/**
 * Overwrites the value of an environment variable in the process's initial environment block with zero bytes, so that
 * `/proc/<pid>/environ` no longer shows it. `process.env` was copied at start; its entry is deleted as well.
 */
export function eraseEnvironmentVariable(name: string): void {
  const symbols = libc();
  const value = symbols.getenv(Buffer.from(`${name}\0`)) as Pointer | null;
  if (value !== null) {
    const length = Number(symbols.strlen(value));
    if (length > 0) new Uint8Array(toArrayBuffer(value, 0, length)).fill(0);
  }
  delete process.env[name];
}

/** prctl(2). */
const PR_SET_PDEATHSIG = 1;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/**
 * Whether other processes of the same user may look into this one. The kernel decides at its start: not into a program
 * whose file its user cannot read, unless `fs.suid_dumpable` is 1 (proc(5), ptrace(2)).
 */
export function isInspectable(): boolean {
  return libc().prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) === 1;
}

/**
 * Makes `/proc/<pid>/{environ,mem,fd,…}` of this process belong to root and forbids core dumps and ptrace by other
 * processes of the same user (prctl(2), proc(5)). Programs it starts are not affected: execve resets it.
 */
export function forbidInspection(): void {
  if (libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) throw new Error('prctl(PR_SET_DUMPABLE) was refused');
}

const SIGKILL = 9;

/** Makes the kernel kill this process when the one that started it ends (prctl(2)). */
export function endWithParent(): void {
  libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/** flock(2): LOCK_EX | LOCK_NB. */
const LOCK_EXCLUSIVE_NOW = 2 | 4;

/** Takes the exclusive lock of an open file, held until it is closed; false if another process holds it. */
export function tryLock(fd: number): boolean {
  return libc().flock(fd, LOCK_EXCLUSIVE_NOW) === 0;
}

/** mount(2): MS_RDONLY | MS_NOSUID | MS_NODEV; umount2(2): MNT_DETACH | UMOUNT_NOFOLLOW. */
const READ_ONLY = 1 | 2 | 4;
const DETACH = 2 | 8;

/** Mounts an overlay (of the kernel's overlayfs) that nothing can be written to; false if that is refused. */
export function mountOverlay(path: string, options: string): boolean {
  const overlay = Buffer.from('overlay\0');
  return libc().mount(overlay, Buffer.from(`${path}\0`), overlay, READ_ONLY, Buffer.from(`${options}\0`)) === 0;
}

/** Mounts an empty file system in memory whose devices can be used (tmpfs(5)); false if that is refused. */
export function mountDevices(path: string): boolean {
  return mountTmpfs(path, NO_PROGRAMS);
}

/** Makes that file system read-only for everybody; false if that is refused. */
export function sealDevices(path: string): boolean {
  return mountTmpfs(path, NO_PROGRAMS | REMOUNT_READ_ONLY);
}

/** mount(2): MS_NOSUID | MS_NOEXEC; MS_REMOUNT | MS_RDONLY. */
const NO_PROGRAMS = 2 | 8;
const REMOUNT_READ_ONLY = 32 | 1;

function mountTmpfs(path: string, flags: number): boolean {
  const tmpfs = Buffer.from('tmpfs\0');
  return libc().mount(tmpfs, Buffer.from(`${path}\0`), tmpfs, flags, Buffer.from('mode=755,size=64k\0')) === 0;
}

/** Removes a mount; processes that use it can continue. */
export function detach(path: string): void {
  libc().umount2(Buffer.from(`${path}\0`), DETACH);
}

/**
 * An access control list (acl(5)) as the kernel reads it (linux/posix_acl_xattr.h): its version 2 in 4 bytes, then for
 * each entry a tag and permissions, in 2 bytes each, and a user id in 4. Here the owner has all permissions, that user
 * may search the directory (1), and all others have none.
 */
const ACL_ENTRIES = [
  [0x01, 7],
  [0x02, 1],
  [0x04, 0],
  [0x10, 1],
  [0x20, 0],
] as const;
const ACL_USER = 0x02;

/** Lets one user besides the owner search a directory, and nobody else; false if its file system has no such lists. */
export function letEnter(path: string, uid: number): boolean {
  const list = Buffer.alloc(4 + ACL_ENTRIES.length * 8, 0xff);
  list.writeUInt32LE(2);
  for (const [index, [whom, may]] of ACL_ENTRIES.entries()) {
    const at = 4 + index * 8;
    list.writeUInt16LE(whom, at);
    list.writeUInt16LE(may, at + 2);
    if (whom === ACL_USER) list.writeUInt32LE(uid, at + 4);
  }
  return setAccessList(path, list);
}

const ACCESS_LIST = Buffer.from('system.posix_acl_access\0');
/** The largest attribute in the kernel (XATTR_SIZE_MAX). */
const MAX_LIST_BYTES = 65_536;

/** Returns the access control list of a file, as the kernel returns it; undefined if it only has its modes. */
export function accessList(path: string): Buffer | undefined {
  const list = Buffer.alloc(MAX_LIST_BYTES);
  const length = Number(libc().getxattr(Buffer.from(`${path}\0`), ACCESS_LIST, list, list.length));
  return length <= 0 ? undefined : list.subarray(0, length);
}

/** Sets the access control list of a file to that of another; false if its file system has no such lists. */
export function setAccessList(path: string, list: Buffer): boolean {
  return libc().setxattr(Buffer.from(`${path}\0`), ACCESS_LIST, list, list.length, 0) === 0;
}

/** Returns the time of a clock (clock_gettime(2)), in seconds; undefined for an unknown clock. */
export function clockSeconds(clock: number): number | undefined {
  const time = new BigInt64Array(2);
  if (libc().clock_gettime(clock, time) !== 0) return undefined;
  return Number(time[0]) + Number(time[1]) / 1e9;
}

/** Returns group and session of a process, or undefined. Takes a fraction of the time of reading /proc. */
export function groupAndSession(pid: number): { readonly group: number; readonly session: number } | undefined {
  const session = libc().getsid(pid);
  if (session === -1) return undefined;
  return { session, group: libc().getpgid(pid) };
}

/** An entry of the user database. */
export interface PasswordEntry {
  readonly name: string;
  readonly home: string;
}

/** Offsets of `pw_name` and `pw_dir` in `struct passwd` on 64-bit Linux, the same in glibc and musl. */
const PW_NAME = 0;
const PW_DIR = 32;

/** Returns the user database's entry of `uid` (getpwuid(3)), or undefined. Bun's `os.userInfo` reads `$USER`. */
export function passwordEntry(uid: number): PasswordEntry | undefined {
  const entry = libc().getpwuid(uid);
  if (entry === null) return undefined;
  const text = (offset: number): string => new CString(read.ptr(entry, offset) as Pointer).toString();
  return { name: text(PW_NAME), home: text(PW_DIR) };
}

/** Names of the C library: glibc first, then musl's, which include the machine's architecture. */
const LIBC_NAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'] as const;

/** Calls `load` with the first C library that it finds, and returns the result. Throws without a known one. */
export function loadFirst<T>(load: (name: string) => T): T {
  const faults: unknown[] = [];
  for (const name of LIBC_NAMES) {
    try {
      return load(name);
    } catch (error) {
      faults.push(error);
    }
  }
  throw new AggregateError(faults, `no C library found under the names ${LIBC_NAMES.join(', ')}`);
}
