import { describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Changes } from '../../src/install/changes.ts';
import { type Manifest, sha256 } from '../../src/install/installed.ts';
import { limitsFor } from '../../src/install/machine.ts';
import { fill, type PlanInput, plannedFiles, writeFiles } from '../../src/install/plan.ts';
import { MEMORY_OF_ONE_COMMAND } from '../../src/lib/limits.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const input: PlanInput = {
  user: 'agent3',
  group: 'agent3',
  port: 5000,
  watchdog: 'timer',
  packaged: false,
  staged: false,
  domain: null,
  lookLogs: false,
  logGroups: ['systemd-journal', 'adm'],
  socketGroup: 'caddy',
  limits: { memoryMaxMib: 768, tasksMax: 1024, commandsMemoryMib: 640, commandsTasks: 960 },
  oldLogs: [],
};

const contentOf = (change: Partial<PlanInput>, end: string): string =>
  plannedFiles({ ...input, ...change }).find(({ path }) => path.endsWith(end))?.content ?? '';

describe('the files of an installation', () => {
  test('leave no placeholder open', () => {
    for (const user of ['agent3', 'root', 'www-data']) {
      for (const { path, content } of plannedFiles({ ...input, user, staged: true })) {
        expect(`${path} ${/@[A-Z_]+@/.exec(content)?.[0] ?? ''}`).toBe(`${path} `);
      }
    }
    expect(() => fill('a @NAME@', {})).toThrow('@NAME@ has no value');
  });

  test('give a port below 1024 the capability it takes, and no other port', () => {
    expect(contentOf({ port: 443 }, '10-user.conf')).toContain('AmbientCapabilities=CAP_NET_BIND_SERVICE\n');
    expect(contentOf({}, '10-user.conf')).toContain('AmbientCapabilities=\n');
  });

  test('restrict the user of its own, and root in nothing', () => {
    expect(contentOf({}, '10-user.conf')).toContain('NoNewPrivileges=yes');
    expect(contentOf({ user: 'root' }, '10-user.conf')).not.toContain('NoNewPrivileges');
  });

  const groups: readonly [change: Partial<PlanInput>, lines: string[]][] = [
    [{}, ['u agent3 -']],
    [{ lookLogs: true }, ['u agent3 -', 'm agent3 systemd-journal', 'm agent3 adm']],
    [{ user: 'root' }, ['u agent3-look -', 'm agent3-look systemd-journal', 'm agent3-look adm']],
    [{ user: 'root', logGroups: [] }, ['u agent3-look -']],
    [{ user: 'www-data' }, []],
  ];
  test.each(groups)('have the users of an image made: %j', (change, lines) => {
    const content = contentOf({ ...change, staged: true }, 'sysusers.d/agent3.conf');
    const found = content.split('\n').filter((line) => /^[um] /.test(line));
    expect(found.map((line, index) => line.slice(0, lines[index]?.length))).toEqual(lines);
  });

  test('rotate the logs of the original too, each once', () => {
    const content = contentOf(
      { oldLogs: ['/var/log/flask.out', '/var/log/agent3/watchdog.log'] },
      'logrotate.d/agent3',
    );
    expect(content.match(/\/var\/log\/agent3\/watchdog\.log/g)).toHaveLength(1);
    expect(content).toContain(' /var/log/flask.out {');
  });

  test('leave the agent memory and tasks when its commands have reached their limit', () => {
    expect(contentOf({}, 'agent3.slice.d/20-limits.conf')).toContain(
      'MemoryMax=768M\nMemorySwapMax=0\nTasksMax=1024\n',
    );
    expect(contentOf({}, 'agent3-commands.service.d/20-limits.conf')).toContain('MemoryMax=640M\nTasksMax=960\n');
  });

  test('let the agent obey a console, unless that is left out', () => {
    const console = 'https://agent.example.org:8443';
    expect(contentOf({ console }, '30-console.conf')).toContain('-o agent3 -g agent3-console /run/agent3;');
    expect(contentOf({ console }, 'agent3-console.caddy')).toContain('\nhttps://agent.example.org:8443 {\n');
    expect(contentOf({ console, packaged: true }, 'agent3-console.caddy')).toContain('* /usr/share/agent3/console\n');
    expect(contentOf({ console }, '10-caddy.conf')).toContain('\nSocketGroup=caddy\n');
    expect(contentOf({ console: 'http://localhost:8443' }, 'agent3-console.caddy')).toBe('');
    expect(contentOf({ console: null }, '30-console.conf')).toBe('');
    expect(contentOf({ console, staged: true }, 'sysusers.d/agent3.conf')).toContain('\nu agent3-console - ');
  });

  test('are fewer where a package brings the others', () => {
    const paths = plannedFiles({ ...input, packaged: true }).map(({ path }) => path);
    expect(paths).toEqual([
      '/etc/systemd/system/agent3.service.d/10-user.conf',
      '/etc/systemd/system/agent3-commands.service.d/10-user.conf',
      '/etc/systemd/system/agent3-commands.service.d/20-limits.conf',
      '/etc/systemd/system/agent3.slice.d/20-limits.conf',
    ]);
  });
});

describe('a file that had another name in the build before', () => {
  const path = '/etc/systemd/system/agent3.slice.d/20-limits.conf';
  const former = '/etc/systemd/system/agent3.slice.d/20-ceiling.conf';
  const manifest: Manifest = {
    version: '0.1.0',
    files: { [former]: sha256('old\n') },
    user: 'agent3',
    watchdog: 'timer',
    domain: null,
    oldLogs: [],
    packaged: false,
  };

  test.each([
    ['is replaced', 'old\n', 'new\n', sha256('new\n'), []],
    ['is kept where the owner has changed it', 'mine\n', 'mine\n', sha256('old\n'), [path]],
  ] as const)('%s', (_, there, content, sum, kept) => {
    using root = new TemporaryDirectory();
    mkdirSync(root.join(dirname(former)), { recursive: true });
    writeFileSync(root.join(former), there);
    const changes = new Changes(root.path, false, () => {});
    const written = writeFiles([{ path, content: 'new\n' }], manifest, changes);
    expect(written).toEqual({ sums: { [path]: sum }, kept: [...kept] });
    expect(readFileSync(root.join(path), 'utf8')).toBe(content);
  });
});

describe('the limits', () => {
  /** By what Linux has of the memory: a server of 512 MB has 468 MiB. */
  const machines: readonly [mib: number, memoryMaxMib: number, commandsMemoryMib: number, tasksMax: number][] = [
    [220, 196, 140, 512],
    [468, 351, 263, 512],
    [977, 732, 604, 977],
    [2048, 1536, 1408, 2048],
    [8192, 6144, 6016, 8192],
    [65_536, 63_488, 63_360, 8192],
  ];
  test.each(machines)(
    'of a machine with %i MiB are %i MiB, %i of it for commands, and %i tasks',
    (mib, ...expected) => {
      const [memoryMaxMib, commandsMemoryMib, tasksMax] = expected;
      expect(limitsFor(mib * 1024 ** 2)).toEqual({
        memoryMaxMib,
        commandsMemoryMib,
        tasksMax,
        commandsTasks: tasksMax - 64,
      });
    },
  );

  test('leave the agent what it takes, and one command as much as apt-get takes, on every machine', () => {
    for (let mib = 210; mib < 10_000; mib += 10) {
      const { memoryMaxMib, commandsMemoryMib } = limitsFor(mib * 1024 ** 2);
      expect(memoryMaxMib).toBeLessThan(mib);
      expect(memoryMaxMib - commandsMemoryMib).toBeGreaterThanOrEqual(56);
      expect(commandsMemoryMib * MEMORY_OF_ONE_COMMAND).toBeGreaterThanOrEqual(122);
    }
  });
});
