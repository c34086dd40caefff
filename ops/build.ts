import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../package.json';

/** The release targets: name of the file, and Bun's name of the target. */
export const RELEASE_TARGETS = {
  'agent3-linux-x64': 'bun-linux-x64',
  'agent3-linux-x64-baseline': 'bun-linux-x64-baseline',
  'agent3-linux-arm64': 'bun-linux-arm64',
  'agent3-linux-x64-musl': 'bun-linux-x64-musl',
  'agent3-linux-arm64-musl': 'bun-linux-arm64-musl',
} as const;

const ROOT = join(import.meta.dir, '..');
const DIST = join(ROOT, 'dist');

/**
 * Builds `dist/<name>` for `target`, or for this machine without one. Ends the process when the build fails. The tests of
 * an upgrade build another `version`.
 */
export function build(name: string, target?: string, version: string = manifest.version): string {
  mkdirSync(DIST, { recursive: true });
  const outfile = join(DIST, name);
  const command = [
    process.execPath,
    'build',
    join(ROOT, 'src/main.ts'),
    '--compile',
    '--bytecode',
    '--format=esm',
    // A subcommand loads only what it needs, in 10 ms of CPU instead of 25, because `agent3 console obey` must be quick.
    '--splitting',
    // Without these two, the executable would run files in its working directory.
    '--no-compile-autoload-dotenv',
    '--no-compile-autoload-bunfig',
    `--define=AGENT3_BUILD_VERSION=${JSON.stringify(version)}`,
    `--define=AGENT3_BUILD_COMMIT=${JSON.stringify(commitName())}`,
    `--outfile=${outfile}`,
    ...(target === undefined ? [] : [`--target=${target}`]),
  ];
  const { exitCode } = Bun.spawnSync(command, { cwd: ROOT, stdout: 'ignore', stderr: 'inherit' });
  if (exitCode !== 0) process.exit(exitCode);
  return outfile;
}

/** Returns the current commit, with `+` for changed files; `unknown` without git. */
function commitName(): string {
  const commit = git('rev-parse', '--short=12', 'HEAD');
  if (commit === undefined) return 'unknown';
  return git('status', '--porcelain') === '' ? commit : `${commit}+`;
}

function git(...args: string[]): string | undefined {
  try {
    const { exitCode, stdout } = Bun.spawnSync(['git', ...args], { cwd: ROOT, stderr: 'ignore' });
    return exitCode === 0 ? stdout.toString().trim() : undefined;
  } catch {
    return undefined;
  }
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256');
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return hasher.digest('hex');
}

async function buildRelease(): Promise<void> {
  let sums = '';
  for (const [name, target] of Object.entries(RELEASE_TARGETS)) {
    const line = `${await sha256(build(name, target))}  ${name}`;
    console.log(line);
    sums += `${line}\n`;
  }
  await Bun.write(join(DIST, 'SHA256SUMS'), sums);
}

if (import.meta.main) {
  if (process.argv.includes('--all')) await buildRelease();
  else console.log(build('agent3'));
}
