import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildDeb } from '../../ops/deb.ts';
import { buildBundle, chosenTargets } from '../../ops/release.ts';
import { BINARY } from '../helpers/binary.ts';
import { command, ensurePrograms } from '../helpers/debian.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const OPS = join(import.meta.dir, '../../ops');
const missing = ensurePrograms('shellcheck', 'lintian', 'dpkg-deb');

describe('the bundle', () => {
  test('has the executable, the files of the service, and what the documents show', () => {
    using directory = new TemporaryDirectory();
    const archive = buildBundle(BINARY, 'linux-x64', directory.path);
    const names = command(['tar', '-tzf', archive])
      .trim()
      .split('\n')
      .map((name) => name.split('/').slice(1).join('/'));
    for (const name of ['agent3', 'INSTALL.md', 'LICENSE', 'ops/install', 'ops/agent3.service', 'ops/agent3.logrotate'])
      expect(names).toContain(name);
    for (const document of ['README.md', ...names.filter((name) => /^ops\/docs\/.*\.md$/.test(name))]) {
      const text = readFileSync(join(OPS, '..', document), 'utf8');
      for (const [, path = ''] of text.matchAll(/(?:\]\(|src=")([^)"#:]+)[)"#]/g)) {
        const to = join(dirname(document), path);
        if (to.startsWith('ops/')) expect(names).toContain(to);
      }
    }
    expect(names).toContain('README.md');
    command(['tar', '-xzf', archive, '-C', directory.path]);
    const [tree = ''] = readdirSync(directory.path).filter((name) => !name.endsWith('.gz'));
    expect(command([join(directory.path, tree, 'ops/install'), '--help'])).toContain('--dry-run');
  });
});

describe('a release', () => {
  test('has every bundle, or those that are named', () => {
    expect(chosenTargets([]).length).toBe(5);
    expect(chosenTargets(['linux-arm64'])).toEqual([['agent3-linux-arm64', 'bun-linux-arm64']]);
    expect(() => chosenTargets(['x64'])).toThrow('there is no bundle x64. There are: linux-x64, linux-x64-baseline');
  });
});

describe('the scripts for shells', () => {
  const ofOps = ['install', 'debian/postinst', 'debian/prerm', 'debian/postrm', 'completion/agent3.bash'];
  const scripts = [...ofOps.map((script) => `ops/${script}`), 'src/contexts/context.bash'];
  test.skipIf(missing.includes('shellcheck')).each(scripts)('%s is clean by shellcheck', (script) => {
    expect(command(['shellcheck', join(OPS, '..', script)])).toBe('');
  });
});

describe('the Debian package', () => {
  test.skipIf(missing.length > 0)(
    'has no error by lintian',
    () => {
      using directory = new TemporaryDirectory();
      const archive = buildDeb({ binary: BINARY, architecture: 'amd64', version: '0.1.0', directory: directory.path });
      expect(command(['lintian', '--allow-root', '--fail-on', 'error', archive])).not.toMatch(/^E:/m);
      // It unpacks and reads all of the executable: 20 s on a quiet machine.
    },
    180_000,
  );
});
