import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { type Fault, testFault } from './harness/faults.ts';
import { healthyWithin } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const STOP = 'systemctl stop agent3-watchdog.timer agent3-watchdog.service agent3';
const START = 'systemctl start agent3 agent3-watchdog.timer';
/** On a slow machine, an agent that runs keeps the files of its next sessions open there. */
const FREE_SESSIONS = `${STOP}; umount /var/lib/agent3/sessions; ${START}`;

const ENV = '/etc/agent3/agent3.env';
const KEPT = `cp -p ${ENV} /opt/env; `;
const BACK = `cp -p /opt/env ${ENV}; systemctl restart agent3`;

/** Faults of the kernel's settings are in limits.test.ts. */
const FAULTS: readonly Fault[] = [
  ['a mode', 'settings', `chmod 644 ${ENV}`, `chmod 600 ${ENV}`, 'chmod 600'],
  ['a directory', 'settings', `${KEPT}rm ${ENV}; mkdir ${ENV}`, `rmdir ${ENV}; ${BACK}`, 'move it away'],
  ['an owner', 'settings', `chown agent3 ${ENV}`, `chown root ${ENV}`, 'chown root:root'],
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
  [
    'a limit of bodies in Caddy',
    'transfer',
    "cp -p /etc/caddy/agent3.caddy /opt/caddy; sed -i 's/request_body @calls/request_body/' /etc/caddy/agent3.caddy; systemctl reload caddy",
    'cp -p /opt/caddy /etc/caddy/agent3.caddy; systemctl reload caddy',
    'agent3 install --domain',
  ],
  ['a mode', 'console', 'chmod 2770 /var/lib/agent3-console/orders', 'agent3 install', 'agent3 install'],
  ['the page', 'console', 'echo >> /usr/local/share/agent3/console/index.html', 'agent3 install', 'agent3 install'],
  ['the key', 'console', 'chmod 644 /etc/agent3/console.env', 'chmod 600 /etc/agent3/console.env', 'chmod 600'],
  [
    'a unit',
    'console',
    'systemctl stop agent3-console-obey.path',
    'systemctl start agent3-console-obey.path',
    'systemctl enable --now',
  ],
  [
    'passkeys of another user',
    'console',
    'echo "{}" > /etc/agent3/passkeys.json; chown agent3 /etc/agent3/passkeys.json',
    'rm /etc/agent3/passkeys.json',
    'agent3 console link',
  ],
  [
    'a socket, after somebody used it',
    'console',
    'curl -s -m 10 --unix-socket /run/agent3-console.sock http://localhost/ > /dev/null; systemctl stop agent3-console.socket',
    'systemctl enable --now agent3-console.socket',
    'systemctl enable --now agent3-console.socket',
  ],
  [
    'the manifest',
    'installation',
    'mv /etc/agent3/install.json /opt/',
    'agent3 install --domain agent3.localhost',
    'agent3 install, with the options of before',
  ],
  ['the start at boot', 'service', 'systemctl disable agent3', 'systemctl enable agent3', 'systemctl enable agent3'],
  [
    'room',
    'disk',
    'mount -t tmpfs -o size=10M,uid=agent3,mode=700 small /var/lib/agent3/sessions',
    FREE_SESSIONS,
    'make room',
  ],
  [
    'a read-only disk',
    'disk',
    'cd /var/lib/agent3; mount --bind sessions sessions; mount -o remount,bind,ro sessions',
    FREE_SESSIONS,
    'mount -o remount,rw /var/lib/agent3/sessions',
  ],
  ['a stop', 'service', STOP, START, 'systemctl start agent3; see: journalctl -u agent3', ['watchdog']],
  [
    'a directory that is closed to it',
    'service',
    'chmod 700 /var/log/agent3; systemctl restart agent3 || true',
    'agent3 install',
    'agent3 install restores files, owners and modes',
  ],
  [
    'a mask',
    'service',
    'systemctl stop agent3; mv /etc/systemd/system/agent3.service /opt/; systemctl mask agent3',
    'systemctl unmask agent3; mv /opt/agent3.service /etc/systemd/system/; systemctl daemon-reload; systemctl enable --now agent3',
    'systemctl unmask agent3; systemctl enable --now agent3',
  ],
  [
    'a package',
    'profiles',
    'mv /usr/bin/bwrap /opt/bwrap',
    'mv /opt/bwrap /usr/bin/bwrap',
    'apt-get install bubblewrap',
  ],
  [
    'the mode of the executable',
    'start',
    'chmod 755 /usr/local/bin/agent3',
    'chmod 711 /usr/local/bin/agent3',
    'chmod 711 /usr/local/bin/agent3',
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

describeVm('agent3 doctor', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({
      needs: 'container',
      files: BUNDLE,
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
    await healthyWithin(vm, 30);
    const report = (await vm.run('agent3 doctor')).stdout;
    expect(report).toMatch(/^✓ https {6}agent3.localhost, certificate for \d+ hours more$/m);
    expect(report.split('\n').length).toBeGreaterThan(11);
  }, 180_000);

  for (const fault of FAULTS) testFault(() => vm, fault);

  test('after the repair shows what the watchdog saw before as a note', async () => {
    await healthyWithin(vm, 30);
    const add =
      'echo "$(date -Is -d "3 minutes ago") - Agent3 not running. Restarting... (x)" >> /var/log/agent3/watchdog.log';
    const reportAfter = async (): Promise<string> => {
      await vm.sh(add);
      return (await vm.run('agent3 doctor')).stdout;
    };
    // The timer may come in between, every five minutes.
    const first = await reportAfter();
    const report = first.includes('Agent3 not running') ? first : await reportAfter();
    expect(report).toMatch(
      /^✓ watchdog .*minutes ago, found: Agent3 not running\. .*The next is due within 5 minutes$/m,
    );
  }, 60_000);
});
