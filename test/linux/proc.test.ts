import { describe, expect, test } from 'bun:test';
import { bootId, hasEnvironmentEntry, lastPid, listPids, parseStat, readStat } from '../../src/linux/proc.ts';

describe('/proc', () => {
  test('a program may have any name, also one that looks like fields', () => {
    const line = '42 (a) S 1 (b)) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7';
    expect(parseStat(42, line)).toEqual({
      pid: 42,
      state: 'S',
      parent: 7,
      group: 8,
      session: 9,
      terminal: undefined,
      foreground: -1,
      cpuTicks: 5 + 6,
      threads: 1,
      startTicks: 12_345,
    });
  });

  test('describes this process', () => {
    const stat = readStat(process.pid);
    expect(stat?.parent).toBe(process.ppid);
    expect(stat?.startTicks).toBeGreaterThan(0);
    expect(listPids()).toContain(process.pid);
    expect(bootId()).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('reads nothing of a process that does not exist', () => {
    expect(readStat(2 ** 22 + 1)).toBeUndefined();
    expect(hasEnvironmentEntry(2 ** 22 + 1, 'A=b')).toBe(false);
  });

  test('finds an entry of the environment only whole', async () => {
    const child = Bun.spawn(['/bin/sh', '-c', 'echo started; read line'], {
      env: { FIRST: '1', AGENT3_SESSION: 'abc' },
      stdin: 'pipe',
      stdout: 'pipe',
    });
    try {
      await child.stdout.getReader().read();
      expect(hasEnvironmentEntry(child.pid, 'AGENT3_SESSION=abc')).toBe(true);
      expect(hasEnvironmentEntry(child.pid, 'FIRST=1')).toBe(true);
      expect(hasEnvironmentEntry(child.pid, 'AGENT3_SESSION=ab')).toBe(false);
      expect(hasEnvironmentEntry(child.pid, 'SESSION=abc')).toBe(false);
    } finally {
      child.kill();
      await child.exited;
    }
  });

  test('knows the pid that was handed out last', async () => {
    const child = Bun.spawn(['/bin/true']);
    await child.exited;
    expect(lastPid()).toBeGreaterThanOrEqual(child.pid);
  });
});
