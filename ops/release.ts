import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import manifest from '../package.json';
import { build, RELEASE_TARGETS, sha256 } from './build.ts';
import { buildDeb } from './deb.ts';

const OPS = import.meta.dir;
const OUT = join(OPS, '../dist/release');

/** The files of the service that a bundle contains, for reading. */
const BUNDLED = /^(install|agent3.*|Caddyfile)$/;

/** The Debian packages, each with the executable for all machines of its architecture. */
const PACKAGES: Readonly<Record<string, keyof typeof RELEASE_TARGETS>> = {
  amd64: 'agent3-linux-x64-baseline',
  arm64: 'agent3-linux-arm64',
};

/** Makes `agent3-<version>-linux-<arch>.tar.gz`: the executable, `ops/`, and the documents. Returns its path. */
export function buildBundle(binary: string, target: string, directory: string): string {
  const name = `agent3-${manifest.version}-${target}`;
  const work = mkdtempSync(join(tmpdir(), 'agent3-bundle-'));
  try {
    const tree = join(work, name);
    mkdirSync(join(tree, 'ops'), { recursive: true });
    cpSync(binary, join(tree, 'agent3'));
    for (const file of readdirSync(OPS).filter((one) => BUNDLED.test(one))) {
      cpSync(join(OPS, file), join(tree, 'ops', file));
    }
    for (const directory of ['docs', 'pictures'])
      cpSync(join(OPS, directory), join(tree, 'ops', directory), { recursive: true });
    cpSync(join(OPS, 'INSTALL.md'), join(tree, 'INSTALL.md'));
    for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE']) cpSync(join(OPS, '..', file), join(tree, file));
    const archive = join(directory, `${name}.tar.gz`);
    run(['tar', '--owner=0', '--group=0', '--sort=name', '-czf', archive, '-C', work, name]);
    return archive;
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Returns what to make, by the names of bundles (`linux-x64`), or all without names. Throws for an unknown name. */
export function chosenTargets(bundles: readonly string[]): readonly (readonly [name: string, target: string])[] {
  const all = Object.entries(RELEASE_TARGETS);
  if (bundles.length === 0) return all;
  const named = new Map(all.map((entry) => [entry[0].replace(/^agent3-/, ''), entry]));
  return bundles.map((bundle) => {
    const entry = named.get(bundle);
    if (entry === undefined)
      throw new Error(`there is no bundle ${bundle}. There are: ${[...named.keys()].join(', ')}`);
    return entry;
  });
}

function run(argv: string[]): void {
  const { exitCode } = Bun.spawnSync(argv, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (exitCode !== 0) throw new Error(`${argv[0]} failed`);
}

if (import.meta.main) {
  const targets = chosenTargets(process.argv.slice(2));
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  const binaries = new Map(targets.map(([name, target]) => [name, build(name, target)]));
  const made = [...binaries].map(([name, binary]) => buildBundle(binary, name.replace(/^agent3-/, ''), OUT));
  for (const [architecture, name] of Object.entries(PACKAGES)) {
    const binary = binaries.get(name);
    if (binary !== undefined) made.push(buildDeb({ binary, architecture, version: manifest.version, directory: OUT }));
  }
  const lines = await Promise.all(made.map(async (path) => `${await sha256(path)}  ${path.split('/').at(-1)}`));
  writeFileSync(join(OUT, 'SHA256SUMS'), `${lines.join('\n')}\n`);
  console.log(`In dist/release, with their SHA-256:\n${lines.join('\n')}`);
}
