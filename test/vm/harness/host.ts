/** Debian's packages that building and booting the machine needs. */
const PACKAGES = [
  'qemu-system-x86',
  'qemu-utils',
  'mmdebstrap',
  'busybox-static',
  'cpio',
  'e2fsprogs',
  'util-linux',
  'debian-archive-keyring',
] as const;

/** What a boot needs, and what building the image needs on top; no program of `PACKAGES` is looked for twice. */
const BOOT_PROGRAMS = ['qemu-system-x86_64', 'qemu-img', 'setpriv'] as const;
const BUILD_PROGRAMS = ['mmdebstrap', 'busybox', 'cpio', 'mke2fs', 'chroot'] as const;

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Why no machine can be booted here; undefined when one can. As root it installs what is missing, and throws when that
 * fails: root is never told that the tests were skipped. Anyone else needs QEMU, and an image that root has built.
 */
export function prepareHost(imageIsBuilt: () => boolean): string | undefined {
  if (process.arch !== 'x64') return `the machine is built for x64, and this is ${process.arch}`;
  const isRoot = process.getuid?.() === 0;
  const missing = missingPrograms([...BOOT_PROGRAMS, ...(imageIsBuilt() ? [] : BUILD_PROGRAMS)]);
  if (missing.length === 0) return isRoot || imageIsBuilt() ? undefined : 'only root can build its image';
  if (!isRoot) return `${missing.join(', ')} missing, and only root can install that`;
  console.error(`vm: installing ${missing.join(', ')} …`);
  command(['apt-get', 'update', '-qq']);
  command(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...PACKAGES]);
  const still = missingPrograms(missing);
  if (still.length > 0) throw new Error(`apt-get has installed ${PACKAGES.join(', ')}, but not ${still.join(', ')}`);
  return undefined;
}

function missingPrograms(programs: readonly string[]): string[] {
  return programs.filter((program) => Bun.which(program, { PATH }) === null);
}

/** The environment for programs of the host: the caller's, with the directories that only root has in its path. */
export function hostEnvironment(): Record<string, string | undefined> {
  return { ...process.env, PATH, DEBIAN_FRONTEND: 'noninteractive', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
}

/** Runs a program of the host and gives its output. Throws with what it said when it fails. */
export function command(argv: readonly string[], cwd?: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], {
    env: hostEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
  });
  if (exitCode === 0) return stdout.toString();
  throw new Error(`${argv.join(' ')} failed (${exitCode}): ${stderr.toString().slice(-2000)}`);
}
