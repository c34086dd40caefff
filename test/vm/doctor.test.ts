import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join } from 'node:path';
import { BINARY } from '../helpers/binary.ts';
import { describeVm } from './harness/describe.ts';
import { bootVm, type Vm } from './harness/vm.ts';

interface Report {
  readonly findings: readonly { readonly check: string; readonly ok: boolean; readonly advice?: string }[];
}

describeVm('agent3 doctor', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({
      files: { '/opt/bundle/agent3': BINARY, '/opt/bundle/ops/install': join(import.meta.dir, '../../ops/install') },
    });
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('before the installation says what to do', async () => {
    const { code, stdout } = await vm.run('/opt/bundle/agent3 doctor');
    expect(code).toBe(1);
    expect(stdout).toContain('agent3 install');
    expect(JSON.parse((await vm.run('/opt/bundle/agent3 doctor --json')).stdout)).toMatchObject({ ok: false });
  });

  test('of a new installation finds everything well', async () => {
    await vm.sh('/opt/bundle/ops/install --domain agent3.localhost');
    await vm.until('agent3 doctor > /opt/report', 30);
    const report = await vm.sh('cat /opt/report');
    expect(
      report
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('✓')),
    ).toEqual([]);
    expect(report).toMatch(/^✓ https {6}agent3.localhost, certificate for \d+ hours more$/m);
    expect(report.split('\n').length).toBeGreaterThan(11);
  }, 180_000);

  const faults: readonly [check: string, breakIt: string, mendIt: string, advice: string][] = [
    ['settings', 'chmod 644 /etc/agent3/agent3.env', 'chmod 600 /etc/agent3/agent3.env', 'chmod 600'],
    ['sessions', 'chmod 755 /var/lib/agent3/sessions', 'chmod 700 /var/lib/agent3/sessions', 'chmod 700'],
    [
      'watchdog',
      'systemctl stop agent3-watchdog.timer agent3-watchdog.service',
      'systemctl start agent3-watchdog.timer',
      'systemctl enable --now',
    ],
    ['logrotate', 'echo broken > /etc/logrotate.d/agent3; chmod 666 /etc/logrotate.d/agent3', 'true', 'logrotate'],
    ['https', 'systemctl stop caddy', 'systemctl start caddy', 'systemctl status caddy'],
    ['service', 'systemctl disable agent3', 'systemctl enable agent3', 'systemctl enable agent3'],
    [
      'disk',
      'mount -t tmpfs -o size=10M,uid=agent3,mode=700 small /var/lib/agent3/sessions',
      'umount /var/lib/agent3/sessions',
      'make room',
    ],
    [
      'health',
      'systemctl stop agent3-watchdog.timer agent3-watchdog.service agent3',
      'systemctl start agent3 agent3-watchdog.timer',
      'journalctl -u agent3',
    ],
  ];
  test.each(faults)('finds a fault of %s, and says what to do', async (check, breakIt, mendIt, advice) => {
    await vm.sh(breakIt);
    const { code, stdout } = await vm.run('agent3 doctor --json');
    await vm.sh(mendIt);
    expect(code).toBe(1);
    const { findings } = JSON.parse(stdout) as Report;
    const finding = findings.find((one) => one.check === check);
    expect(finding).toMatchObject({ check, ok: false, advice: expect.stringContaining(advice) });
  });
});
