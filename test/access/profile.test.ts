import { describe, expect, test } from 'bun:test';
import { profileOf } from '../../src/access/profile.ts';

/** What is wrong with a workspace in `directory`. */
const faultsOf = (directory: string): readonly string[] => {
  const made = profileOf('app', { extends: 'workspace', directory });
  return 'name' in made ? [] : made;
};

describe('a workspace may be in', () => {
  test.each([
    '/srv/app',
    '/opt/app',
    '/home/anna',
    '/home/anna/.config',
    '/root/work',
    '/data',
    '/mnt/disk/app',
    '/var/www',
    '/var/www/html',
    '/var/lib/app',
    '/var/lib/dpkgs',
    '/var/lib/postgresql/data',
    '/tmp/build',
    '/srv/app.d',
    '/srv/..app',
    '/srv/etc',
    '/etcetera',
    '/srv/sshd',
  ])('%s', (directory) => {
    expect(faultsOf(directory)).toEqual([]);
  });
});

describe('a workspace may not be in', () => {
  const system = [
    ...[
      '/',
      '/bin',
      '/boot',
      '/dev',
      '/etc',
      '/lib',
      '/lib32',
      '/lib64',
      '/lost+found',
      '/proc',
      '/run',
      '/sbin',
      '/sys',
    ],
    ...['/usr', '/var', '/tmp', '/home', '/srv', '/opt', '/root', '/mnt', '/media'],
    ...[
      '/bin/x',
      '/boot/x',
      '/dev/shm',
      '/etc/cron.d',
      '/lib/systemd',
      '/proc/sys',
      '/run/app',
      '/sys/fs',
      '/usr/local/app',
    ],
    ...['/lost+found/x', '/var/lib', '/var/tmp', '/var/run', '/var/run/app', '/var/lock'],
    ...['dpkg', 'apt', 'systemd', 'polkit-1', 'dbus', 'docker', 'containerd', 'agent3'].flatMap((name) => [
      `/var/lib/${name}`,
      `/var/lib/${name}/x`,
    ]),
    ...['spool', 'cache', 'backups', 'mail', 'log'].flatMap((name) => [`/var/${name}`, `/var/${name}/x`]),
    ...['/var/spool/cron', '/var/spool/cron/crontabs', '/var/log/agent3'],
    ...['/root/.ssh', '/home/anna/.ssh', '/srv/app/.ssh', '/home/anna/.ssh/keys'],
  ];
  test.each(system)('%s', (directory) => {
    expect(faultsOf(directory)).toEqual([expect.stringMatching(/belongs to the system/)]);
  });
});

describe('a directory is written in one way alone, not as', () => {
  const spellings: readonly [written: string, plain: string][] = [
    ['/./etc', '/etc'],
    ['/srv/../etc', '/etc'],
    ['/srv/./app', '/srv/app'],
    ['/srv/app/', '/srv/app'],
    ['/srv/app/.', '/srv/app'],
    ['/srv//app', '/srv/app'],
    ['//srv/app', '/srv/app'],
    ['/srv/app/..', '/srv'],
    ['/..', '/'],
    ['//', '/'],
  ];
  test.each(spellings)('%s', (written, plain) => {
    expect(faultsOf(written)).toEqual([expect.stringContaining(`write it as ${plain}`)]);
  });
});

describe('show', () => {
  const shown = (path: string) => profileOf('looker', { show: [path] });

  test.each(['/etc/agent3', '/var/log/agent3'])('does not uncover %s, which is the agent’s own', (path) => {
    expect(shown(path)).toEqual([expect.stringContaining("agent's own")]);
  });

  test('uncovers another entry of the list', () => {
    const made = shown('/etc/letsencrypt');
    expect('name' in made && made.sandbox?.hidden).not.toContain('/etc/letsencrypt');
    expect('name' in made && made.sandbox?.hidden).toContain('/etc/agent3');
  });
});
