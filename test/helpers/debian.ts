import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Parts of the tests that run at once install one after the other. */
const LOCK = join(tmpdir(), 'agent3-tests-install.lock');
/** Of the lock on its lists, apt-get says at once that somebody has it. */
const INSTALL = `for pause in 1 5 20 60 0; do apt-get update -qq && break; sleep $pause; done
exec apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends "$@"`;

/** The programs that tests use beyond Debian's minimal system, each with its package. */
const PACKAGES = {
  bwrap: 'bubblewrap',
  chromium: 'chromium',
  // Without its fonts a page shows no letters, and its pictures are of no use.
  'fc-list': 'fontconfig',
  'dpkg-deb': 'dpkg',
  fish: 'fish',
  gcc: 'gcc',
  git: 'git',
  ip: 'iproute2',
  lintian: 'lintian',
  logrotate: 'logrotate',
  'nats-server': 'nats-server',
  nsenter: 'util-linux',
  openssl: 'openssl',
  perl: 'perl-base',
  promtool: 'prometheus',
  python3: 'python3',
  script: 'bsdutils',
  setfacl: 'acl',
  shellcheck: 'shellcheck',
  unshare: 'util-linux',
  zsh: 'zsh',
  // Machines: what they run in, and what their images are built with.
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  setpriv: 'util-linux',
  'systemd-nspawn': 'systemd-container',
  mmdebstrap: 'mmdebstrap',
  busybox: 'busybox-static',
  cpio: 'cpio',
  'mkfs.btrfs': 'btrfs-progs',
  mke2fs: 'e2fsprogs',
  unxz: 'xz-utils',
} as const;
type Program = keyof typeof PACKAGES;

/** All of them: one call of apt-get takes half a minute less than one for each test that needs something. */
export const PROGRAMS = Object.keys(PACKAGES) as Program[];

/**
 * Makes sure that programs of Debian's packages are there: as root it installs what is missing. Returns the programs
 * that are still missing; throws when apt-get fails.
 */
export function ensurePrograms(...needed: readonly Program[]): string[] {
  const missing = (): Program[] => needed.filter((program) => Bun.which(program, { PATH }) === null);
  const absent = missing();
  if (absent.length === 0 || process.getuid?.() !== 0 || Bun.which('apt-get', { PATH }) === null) return absent;
  const packages = [...new Set(absent.map((program) => PACKAGES[program]))];
  console.error(`the tests install packages on this machine, with apt-get: ${packages.join(', ')}`);
  command(['flock', LOCK, 'sh', '-c', INSTALL, 'install', ...packages]);
  return missing();
}

/** The environment for programs of the host: the caller's, with the directories that only root has in its path. */
export function hostEnvironment(): Record<string, string | undefined> {
  return { ...process.env, PATH, DEBIAN_FRONTEND: 'noninteractive', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
}

/** Runs a program of the host and returns its output. Throws with what it said when it fails. */
export function command(argv: readonly string[], cwd?: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], {
    env: hostEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
  });
  if (exitCode === 0) return stdout.toString();
  throw new Error(`${argv.join(' ')} failed (${exitCode}): ${stderr.toString().slice(-2000)}`);
}
