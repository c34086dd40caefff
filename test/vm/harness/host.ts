import { ensurePrograms } from '../../helpers/debian.ts';

/** What booting the machine needs, and what building its image needs on top, with the packages that have it. */
const BOOT_PROGRAMS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  setpriv: 'util-linux',
} as const;
const BUILD_PROGRAMS = {
  mmdebstrap: 'mmdebstrap',
  busybox: 'busybox-static',
  cpio: 'cpio',
  mke2fs: 'e2fsprogs',
  unxz: 'xz-utils',
} as const;

/**
 * Why no machine can be booted here; undefined when one can. As root it installs what is missing, and throws when that
 * fails: root is never told that the tests were skipped. Anyone else needs QEMU, and an image that root has built.
 */
export function prepareHost(imageIsBuilt: () => boolean): string | undefined {
  if (process.arch !== 'x64') return `the machine is built for x64, and this is ${process.arch}`;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && !imageIsBuilt()) return 'only root can build its image';
  const missing = ensurePrograms({ ...BOOT_PROGRAMS, ...(imageIsBuilt() ? {} : BUILD_PROGRAMS) });
  if (missing.length === 0) return undefined;
  if (isRoot) throw new Error(`no machine can be booted: ${missing.join(', ')} could not be installed`);
  return `${missing.join(', ')} missing, and only root can install that`;
}
