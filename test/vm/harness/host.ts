import { ensurePrograms } from '../../helpers/debian.ts';

/** What building and booting the machine needs, with the packages that have it. */
const PROGRAMS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  mmdebstrap: 'mmdebstrap',
  busybox: 'busybox-static',
  cpio: 'cpio',
  mke2fs: 'e2fsprogs',
  depmod: 'kmod',
} as const;

/** Why no machine can be booted here; undefined when one can. As root it installs what is missing. */
export function prepareHost(): string | undefined {
  if (process.arch !== 'x64') return `the machine is built for x64, and this is ${process.arch}`;
  if (process.getuid?.() !== 0) return 'only root can build its image';
  const missing = ensurePrograms(PROGRAMS);
  return missing.length === 0 ? undefined : `${missing.join(', ')} could not be installed`;
}
