import { describe, expect, test } from 'bun:test';
import { ceilingsFor } from '../../src/install/machine.ts';
import { type PlanInput, plannedFiles } from '../../src/install/plan.ts';
import { fill } from '../../src/install/templates.ts';

const input: PlanInput = {
  user: 'agent3',
  group: 'agent3',
  port: 5000,
  watchdog: 'timer',
  packaged: false,
  staged: false,
  lookLogs: false,
  logGroups: ['systemd-journal', 'adm'],
  ceilings: { memoryMaxMib: 768, tasksMax: 1024 },
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
    const content = contentOf({ oldLogs: ['/var/log/flask.out', '/var/log/agent3/agent3.out'] }, 'logrotate.d/agent3');
    expect(content.match(/\/var\/log\/agent3\/agent3\.out/g)).toHaveLength(1);
    expect(content).toContain(' /var/log/flask.out {');
  });

  test('leave the agent memory and tasks when its commands have reached their ceiling', () => {
    expect(contentOf({}, 'agent3.slice.d/20-ceiling.conf')).toContain(
      'MemoryMax=768M\nMemorySwapMax=0\nTasksMax=1024\n',
    );
    expect(contentOf({}, 'agent3-commands.service.d/20-ceiling.conf')).toContain('MemoryMax=640M\nTasksMax=960\n');
  });

  test('are fewer where a package brings the others', () => {
    const paths = plannedFiles({ ...input, packaged: true }).map(({ path }) => path);
    expect(paths).toEqual([
      '/etc/systemd/system/agent3.service.d/10-user.conf',
      '/etc/systemd/system/agent3-commands.service.d/10-user.conf',
      '/etc/systemd/system/agent3-commands.service.d/20-ceiling.conf',
      '/etc/systemd/system/agent3.slice.d/20-ceiling.conf',
    ]);
  });
});

describe('the ceilings', () => {
  const GIB = 1024 ** 3;
  const machines: readonly [gib: number, memoryMaxMib: number, tasksMax: number][] = [
    [0.25, 192, 512],
    [0.5, 256, 512],
    [1, 768, 1024],
    [2, 1536, 2048],
    [8, 6144, 8192],
    [64, 63_488, 8192],
  ];
  test.each(machines)('of a machine with %f GiB are %i MiB and %i tasks', (gib, memoryMaxMib, tasksMax) => {
    expect(ceilingsFor(gib * GIB)).toEqual({ memoryMaxMib, tasksMax });
  });
});
