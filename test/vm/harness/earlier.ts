import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { cachedDirectory } from './cache.ts';

const ROOT = join(import.meta.dir, '../../..');

/** The build that counts as installed somewhere: what it has set up, an upgrade keeps. */
const EARLIER = '8b18cd4';
/** The version that it is built as, so that both can be told apart. */
export const EARLIER_VERSION = '0.0.1';

/** Builds the executable and the package, with that commit's own tools. */
const BUILD = `import { build } from './ops/build.ts';
import { buildDeb } from './ops/deb.ts';
const version = '${EARLIER_VERSION}';
const binary = build('agent3', undefined, version);
buildDeb({ binary, architecture: 'amd64', version, directory: 'dist', compression: 'none' });`;

/** What an owner has from then. */
export interface Earlier {
  readonly binary: string;
  readonly deb: string;
}

/** The executable and the package of the earlier commit, built once. Throws where the clone does not reach back to it. */
export function earlierBuild(): Earlier {
  const directory = cachedDirectory(`earlier-${EARLIER}`, (place) => {
    try {
      command(['git', 'cat-file', '-e', `${EARLIER}^{commit}`], ROOT);
    } catch {
      throw new Error(`this clone has no commit ${EARLIER}, from which the upgrade is tried: git fetch --unshallow`);
    }
    console.error(`vm: building ${EARLIER} …`);
    mkdirSync(join(place, 'source'));
    command(['sh', '-c', `git archive ${EARLIER} | tar -x -C "$0"`, join(place, 'source')], ROOT);
    const bun = process.execPath;
    command([bun, 'install', '--frozen-lockfile'], join(place, 'source'));
    command([bun, '-e', BUILD], join(place, 'source'));
    command(['sh', '-c', 'mv source/dist/agent3 source/dist/*.deb . && rm -r source'], place);
  });
  const built = { binary: join(directory, 'agent3'), deb: join(directory, `agent3_${EARLIER_VERSION}_amd64.deb`) };
  if (!existsSync(built.binary) || !existsSync(built.deb)) throw new Error(`${directory} is not whole: remove it`);
  return built;
}
