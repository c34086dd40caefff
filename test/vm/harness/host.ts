/** Debian's packages that building and booting the machine needs. */
const PACKAGES = [
  'qemu-system-x86',
  'qemu-utils',
  'mmdebstrap',
  'busybox-static',
  'cpio',
  'e2fsprogs',
  'kmod',
] as const;

/** Programs of these packages: where they are, nothing is installed. */
const PROGRAMS = ['qemu-system-x86_64', 'qemu-img', 'mmdebstrap', 'busybox', 'cpio', 'mke2fs', 'modinfo'] as const;

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** Why no machine can be booted here; undefined when one can. As root it installs what is missing. */
export function prepareHost(): string | undefined {
  if (process.arch !== 'x64') return `the machine is built for x64, and this is ${process.arch}`;
  if (missing().length === 0) return process.getuid?.() === 0 ? undefined : 'the image is built as root';
  if (process.getuid?.() !== 0) return `${missing().join(', ')} missing, and only root can install them`;
  command(['apt-get', 'update', '-qq']);
  command(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...PACKAGES]);
  return missing().length === 0 ? undefined : `${missing().join(', ')} could not be installed`;
}

function missing(): string[] {
  return PROGRAMS.filter((program) => Bun.which(program, { PATH }) === null);
}

/** Runs a program of the host and gives its output. Throws with what it said when it fails. */
export function command(argv: readonly string[], cwd?: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], {
    env: { ...process.env, PATH, DEBIAN_FRONTEND: 'noninteractive', LANG: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
  });
  if (exitCode === 0) return stdout.toString();
  throw new Error(`${argv.join(' ')} failed (${exitCode}): ${stderr.toString().slice(-2000)}`);
}
