import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Parts of the tests that run at once install one after the other. */
const LOCK = join(tmpdir(), 'agent3-tests-install.lock');
/** Of the lock on its lists, apt-get says at once that somebody has it. */
const INSTALL = `for pause in 1 5 20 60 0; do apt-get update -qq && break; sleep $pause; done
exec apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends "$@"`;

/**
 * Makes sure that programs of Debian's packages are there: as root it installs what is missing. `needed` names the
 * package of each program. Gives the programs that are still missing.
 */
export function ensurePrograms(needed: Readonly<Record<string, string>>): string[] {
  const missing = (): string[] => Object.keys(needed).filter((program) => Bun.which(program, { PATH }) === null);
  const absent = missing();
  if (absent.length === 0 || process.getuid?.() !== 0 || Bun.which('apt-get', { PATH }) === null) return absent;
  const packages = [...new Set(absent.map((program) => needed[program] ?? program))];
  console.error(`the tests install packages on this machine, with apt-get: ${packages.join(', ')}`);
  command(['flock', LOCK, 'sh', '-c', INSTALL, 'install', ...packages]);
  return missing();
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
