import { expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { importSites } from '../../src/install/caddy.ts';
import { Changes } from '../../src/install/changes.ts';
import { PATHS } from '../../src/install/layout.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

test('Caddy takes the sites of agent and console in one step', () => {
  using place = new TemporaryDirectory();
  mkdirSync(place.join('etc/caddy'), { recursive: true });
  writeFileSync(place.join('etc/caddy/Caddyfile'), 'example.org\n');
  const told: string[] = [];
  const changes = new Changes(place.path, true, (line) => void told.push(line));
  importSites(changes, [PATHS.caddySite, PATHS.consoleSite], changes.count);
  const times = (text: string) => told.filter((line) => line.includes(text)).length;
  expect([times(`file ${PATHS.caddyfile}`), times('caddy validate'), times('reload-or-restart')]).toEqual([1, 1, 1]);
  expect(told.join('\n')).toMatch(/example\.org\n +\n +import \S+agent3\.caddy\n +\n +import \S+agent3-console\.caddy/);
});

test('Caddy is left alone where it has the sites', () => {
  using place = new TemporaryDirectory();
  mkdirSync(place.join('etc/caddy'), { recursive: true });
  writeFileSync(place.join('etc/caddy/Caddyfile'), `import ${PATHS.caddySite}\nimport ${PATHS.consoleSite}\n`);
  const changes = new Changes(place.path, true, () => {});
  importSites(changes, [PATHS.caddySite, PATHS.consoleSite], changes.count);
  expect(changes.count).toBe(0);
});
