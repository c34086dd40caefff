import { ensurePrograms } from '../../helpers/debian.ts';

/** What booting the machine needs, and what building its image needs on top. */
const BOOT_PROGRAMS = ['qemu-system-x86_64', 'qemu-img', 'setpriv'] as const;
const BUILD_PROGRAMS = ['mmdebstrap', 'busybox', 'cpio', 'mke2fs', 'unxz'] as const;

/**
 * Why no machine can be booted here; undefined when one can. As root it installs what is missing, and throws when that
 * fails: root is never told that the tests were skipped. Anyone else needs QEMU, and an image that root has built.
 */
export function prepareHost(imageIsBuilt: () => boolean): string | undefined {
  if (process.arch !== 'x64') return `the machine is built for x64, and this is ${process.arch}`;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && !imageIsBuilt()) return 'only root can build its image';
  const missing = ensurePrograms(...BOOT_PROGRAMS, ...(imageIsBuilt() ? [] : BUILD_PROGRAMS));
  if (missing.length === 0) return undefined;
  if (isRoot) throw new Error(`no machine can be booted: ${missing.join(', ')} could not be installed`);
  return `${missing.join(', ')} missing, and only root can install that`;
}
