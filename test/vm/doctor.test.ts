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
    await vm.sh('/opt/bundle/ops/install --domain agent3.localhost; agent3 token create looker --profile readonly');
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

  const ENV = '/etc/agent3/agent3.env';
  const KEPT = 'cp -p /etc/agent3/agent3.env /opt/env; ';
  const BACK = 'cp -p /opt/env /etc/agent3/agent3.env; systemctl restart agent3';
  /** The check that finds it, and alone, but for `others`, which have causes of their own. */
  const faults: readonly [
    what: string,
    check: string,
    breakIt: string,
    mendIt: string,
    advice: string,
    others?: string[],
  ][] = [
    ['a mode', 'settings', `chmod 644 ${ENV}`, `chmod 600 ${ENV}`, 'chmod 600'],
    ['a line without =', 'settings', `${KEPT}echo 'AGENT3_PORT 5005' >> ${ENV}`, BACK, 'systemctl restart agent3'],
    ['a port', 'settings', `${KEPT}echo AGENT3_PORT=abc >> ${ENV}`, BACK, 'systemctl restart agent3'],
    [
      'an open quote',
      'settings',
      `${KEPT}sed -i 's/^AGENT3_API_TOKEN=/&"/' ${ENV}; systemctl restart agent3 || true`,
      BACK,
      'systemctl restart agent3',
    ],
    ['a mode', 'sessions', 'chmod 755 /var/lib/agent3/sessions', 'chmod 700 /var/lib/agent3/sessions', 'chmod 700'],
    [
      'its timer',
      'watchdog',
      'systemctl stop agent3-watchdog.timer agent3-watchdog.service',
      'systemctl start agent3-watchdog.timer',
      'systemctl enable --now',
    ],
    [
      'a file',
      'logrotate',
      'cp -p /etc/logrotate.d/agent3 /opt/rotate; echo broken > /etc/logrotate.d/agent3; chmod 666 /etc/logrotate.d/agent3',
      'cp -p /opt/rotate /etc/logrotate.d/agent3',
      'logrotate',
    ],
    ['Caddy', 'https', 'systemctl stop caddy', 'systemctl start caddy', 'systemctl status caddy'],
    ['the start at boot', 'service', 'systemctl disable agent3', 'systemctl enable agent3', 'systemctl enable agent3'],
    [
      'room',
      'disk',
      'mount -t tmpfs -o size=10M,uid=agent3,mode=700 small /var/lib/agent3/sessions',
      'umount /var/lib/agent3/sessions',
      'make room',
    ],
    [
      'a read-only disk',
      'disk',
      'cd /var/lib/agent3; mount --bind sessions sessions; mount -o remount,bind,ro sessions',
      'umount /var/lib/agent3/sessions',
      'mount -o remount,rw /var/lib/agent3/sessions',
    ],
    [
      'a stop',
      'service',
      'systemctl stop agent3-watchdog.timer agent3-watchdog.service agent3',
      'systemctl start agent3 agent3-watchdog.timer',
      'journalctl -u agent3',
      ['watchdog'],
    ],
    [
      'a package',
      'profiles',
      'mv /usr/bin/bwrap /opt/bwrap',
      'mv /opt/bwrap /usr/bin/bwrap',
      'apt-get install bubblewrap',
    ],
    [
      'a switch of the kernel',
      'profiles',
      'sysctl -q -w kernel.unprivileged_userns_clone=0',
      'sysctl -q -w kernel.unprivileged_userns_clone=1',
      'sysctl -w kernel.unprivileged_userns_clone=1',
    ],
    [
      'the mode of the executable',
      'start',
      'chmod 755 /usr/local/bin/agent3',
      'chmod 711 /usr/local/bin/agent3',
      'chmod 711 /usr/local/bin/agent3',
    ],
    [
      'another switch of the kernel',
      'start',
      'sysctl -q -w fs.suid_dumpable=1',
      'sysctl -q -w fs.suid_dumpable=0',
      'sysctl -w fs.suid_dumpable=0',
    ],
    [
      'a line of its owner',
      'start',
      `mkdir -p /run/systemd/system/agent3.service.d
printf '[Service]\nExecStartPost=-/bin/true\n' > /run/systemd/system/agent3.service.d/90.conf; systemctl daemon-reload`,
      'rm -r /run/systemd/system/agent3.service.d; systemctl daemon-reload',
      'write + before the program',
    ],
    [
      'a line of the unit',
      'profiles',
      `mkdir -p /run/systemd/system/agent3.service.d
printf '[Service]\nRestrictNamespaces=yes\n' > /run/systemd/system/agent3.service.d/90.conf; systemctl daemon-reload`,
      'rm -r /run/systemd/system/agent3.service.d; systemctl daemon-reload',
      'RestrictNamespaces= and SystemCallFilter= in: systemctl cat agent3',
    ],
  ];
  test.each(faults)(
    'finds %s wrong in %s, once, and says what to do',
    async (_, check, breakIt, mendIt, advice, others = []) => {
      await vm.sh(breakIt);
      const { code, stdout } = await vm.run('agent3 doctor --json');
      await vm.sh(mendIt);
      expect(code).toBe(1);
      const wrong = (JSON.parse(stdout) as Report).findings.filter(({ ok }) => !ok);
      expect(wrong.map((finding) => finding.check)).toEqual([check, ...others]);
      expect(wrong[0]?.advice).toContain(advice);
      expect(stdout).not.toContain('NaN');
    },
    60_000,
  );

  test('after the repair shows what the watchdog saw before as a note', async () => {
    await vm.until('agent3 doctor', 30);
    await vm.sh(
      'echo "$(date -Is -d "3 minutes ago") - Agent3 not running. Restarting... (x)" >> /var/log/agent3/watchdog.log',
    );
    const report = await vm.sh('agent3 doctor');
    expect(report).toMatch(
      /^✓ watchdog .*minutes ago, found: Agent3 not running\. .*the next is due within 5 minutes$/m,
    );
  }, 60_000);
});
