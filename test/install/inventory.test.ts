import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildDeb, purgedPaths } from '../../ops/deb.ts';
import { inventoryTable } from '../../ops/settings-docs.ts';
import { additions, INVENTORY } from '../../src/install/inventory.ts';
import { PATHS } from '../../src/install/layout.ts';
import { limitsFor } from '../../src/install/machine.ts';
import { type PlanInput, plannedDirectories, plannedFiles } from '../../src/install/plan.ts';
import { command } from '../helpers/debian.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const names = new Set(INVENTORY.map(({ name }) => name));

describe('the table of what is added to a server', () => {
  test('has every path that the installer knows', () => {
    expect(Object.values(PATHS).filter((path) => !names.has(path))).toEqual([]);
  });

  test('stands in the document', () => {
    expect(readFileSync(join(import.meta.dir, '../../ops/docs/install.md'), 'utf8')).toContain(inventoryTable());
  });

  const shapes: readonly Pick<PlanInput, 'user' | 'watchdog' | 'packaged' | 'staged' | 'console'>[] = [
    { user: 'agent3', watchdog: 'timer', packaged: false, staged: false, console: 'https://a.example:8443' },
    { user: 'root', watchdog: 'cron', packaged: false, staged: true, console: 'http://localhost:8443' },
    { user: 'www-data', watchdog: 'none', packaged: true, staged: false, console: null },
    { user: 'agent3', watchdog: 'timer', packaged: true, staged: false, console: 'https://b.example' },
  ];
  test.each(shapes)('has what an installation makes: %j', (shape) => {
    const input: PlanInput = {
      ...shape,
      domain: null,
      group: shape.user,
      port: 5000,
      lookLogs: true,
      logGroups: ['adm'],
      socketGroup: 'caddy',
      limits: limitsFor(2 ** 30),
      oldLogs: [],
    };
    const made = [...plannedFiles(input), ...plannedDirectories(input)].map(({ path }) => path);
    expect(made.filter((path) => !names.has(path))).toEqual([]);
    expect(new Set(made).size).toBe(made.length);
    const files = additions({ ...shape, domain: null }, 'file').filter(({ shipped }) => !shape.packaged || !shipped);
    expect(plannedFiles(input).map(({ path }) => path)).toEqual(files.map(({ name }) => name));
  });

  test('has all that the Debian package brings and its purge removes', () => {
    using directory = new TemporaryDirectory();
    const options = {
      architecture: 'amd64',
      version: '0.0.1',
      directory: directory.path,
      compression: 'none',
    } as const;
    command(['dpkg-deb', '-R', buildDeb({ binary: '/bin/true', ...options }), directory.join('tree')]);
    const files = readdirSync(directory.join('tree'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.join('tree').length))
      .filter((path) => !/^\/(DEBIAN|usr\/share)\//.test(path))
      .map((path) => path.replace(/^(\/usr)?\/lib\/systemd\/system/, '/etc/systemd/system'));
    const shipped = INVENTORY.filter((entry) => entry.shipped === true).map(({ name }) => name);
    expect(files.sort()).toEqual(shipped.sort());
    const postrm = readFileSync(directory.join('tree/DEBIAN/postrm'), 'utf8');
    for (const path of purgedPaths()) expect(postrm).toContain(` ${path}`);
    expect(postrm).not.toMatch(/@[A-Z_]+@/);
    command(['sh', '-n', directory.join('tree/DEBIAN/postrm')]);
  });
});
