/** The numbers of system calls on one architecture. Sources: asm/unistd_64.h; asm-generic/unistd.h. */
export interface Numbers {
  /** AUDIT_ARCH of linux/audit.h. */
  readonly arch: number;
  /** Answered with EPERM. */
  readonly refused: readonly number[];
  readonly socket: number;
  readonly socketpair: number;
  readonly connect: number;
  readonly bind: number;
  readonly listen: number;
  readonly ioctl: number;
  readonly clone: number;
  readonly fcntl: number;
  readonly flock: number;
  /** Calls that set the mode of a file, and which of their arguments that is. */
  readonly modes: readonly (readonly [call: number, mode: number])[];
  /** The call of programs that copy trees of directories: see `ofTrees`. */
  readonly treeMode: readonly [call: number, mode: number];
  /** Calls that do so if their flags ask for a new file, with both arguments. */
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
export const COMMON_REFUSED = [425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 467] as const;
export const CLONE3 = 435;
export const OPENAT2 = 437;
const FCHMODAT2 = [452, 2] as const;
/** The newest call that was examined (file_setattr, Linux 6.17): this filter does not know later ones. */
export const NEWEST = 469;

/** asm-generic/mman-common.h; linux/shm.h; linux/memfd.h. */
const MAP_HUGETLB = 0x40000;
const SHM_HUGETLB = 0o4000;
const MFD_HUGETLB = 0x4;

/**
 * Keyrings (not all of a keyring is in a namespace), bpf, perf_event_open, userfaultfd, mount, umount2, pivot_root,
 * unshare, setns, open_by_handle_at, kexec_load, the three of kernel modules, fanotify_init.
 */
export const NUMBERS: Readonly<Record<string, Numbers>> = {
  x64: {
    arch: 0xc000_003e,
    refused: [248, 249, 250, 321, 298, 323, 165, 166, 155, 272, 308, 304, 246, 175, 313, 176, 300],
    socket: 41,
    socketpair: 53,
    connect: 42,
    bind: 49,
    listen: 50,
    ioctl: 16,
    clone: 56,
    fcntl: 72,
    flock: 73,
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
    connect: 203,
    bind: 200,
    listen: 201,
    ioctl: 29,
    clone: 220,
    fcntl: 25,
    flock: 32,
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
