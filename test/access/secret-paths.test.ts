import { expect, test } from 'bun:test';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OWN, SECRETS } from '../../src/access/secret-paths.ts';
import { hiddenNow } from '../../src/sandbox/hidden.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

test('each entry is a path, once, without a part that matches several names', () => {
  expect(new Set(SECRETS).size).toBe(SECRETS.length);
  for (const path of SECRETS) expect(path).toMatch(/^(?:\/|~\/)(?:[^/]+\/)*[^/]+$/);
  expect(SECRETS.filter((path) => path.includes('**') || path.includes('..'))).toEqual([]);
  expect(SECRETS.slice(0, OWN.length)).toEqual([...OWN]);
});

test('no entry takes from commands what they need: programs, libraries, the user database', () => {
  const needed = ['/etc/passwd', '/etc/group', '/etc/hosts', '/etc/resolv.conf', '/etc/ssl/certs', '/etc/apt', '/usr'];
  expect(needed.filter((path) => SECRETS.some((secret) => path === secret || path.startsWith(`${secret}/`)))).toEqual(
    [],
  );
});

/** What attacks found shown, and others of the kind. */
const KNOWN = [
  ...['~/.config/git/credentials', '~/.claude.json', '~/.config/pip/pip.conf', '~/.databrickscfg', '~/.config/stripe'],
  ...[
    '~/.snowsql',
    '~/.dbt',
    '~/.config/configstore',
    '/etc/nginx/ssl',
    '/etc/puppetlabs',
    '/etc/salt',
    '/etc/vault.d',
  ],
  ...['/var/lib/tor', '/var/lib/systemd/coredump', '/.snapshots', '/var/lib/mysql', '/var/lib/redis', '/var/lib/etcd'],
  ...[
    '/var/lib/vault',
    '/var/lib/mongodb',
    '/etc/krb5.keytab',
    '/etc/wireguard',
    '~/.erlang.cookie',
    '/etc/pve',
    '~/.config/op',
    '~/.terraform.d',
  ],
];
test.each(KNOWN)('%s is hidden, or what is secret in it', (path) => {
  expect(SECRETS.some((secret) => secret === path || secret.startsWith(`${path}/`))).toBe(true);
});

test('every entry in a home is found there, whatever its form', () => {
  using directory = new TemporaryDirectory('/srv');
  const inHome = SECRETS.filter((path) => path.startsWith('~/')).map((path) => path.slice(2));
  for (const rest of inHome) {
    const path = join(directory.path, rest.replaceAll('*', 'x'));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
    // As a path of its own, because this directory is no home.
    const hidden = [join(directory.path, rest)];
    expect(hiddenNow({ hidden, writable: [] }).outside).toEqual([path]);
    rmSync(path);
  }
});
