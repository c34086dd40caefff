import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join } from 'node:path';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const TOKEN = 'the-token-of-the-flask-agent';

/** The original as its owner set it up: a Flask program with its `.env`, a unit, logrotate, and a watchdog in cron. */
const ORIGINAL = `mkdir -p /opt/agent3 /var/log/flask
{ echo 'import os'
  echo 'os.environ.update(API_TOKEN=os.environ["AGENT3_API_TOKEN"], PORT=os.environ["AGENT3_PORT"], SESSIONS_DIR="/opt/agent3/sessions")'
  cat /opt/peer/flask_agent.py; } > /opt/agent3/app.py
mkdir -p /opt/agent3/sessions
cat > /opt/agent3/.env <<'END'
AGENT3_API_TOKEN=${TOKEN}
AGENT3_TOKEN=unused
AGENT3_PORT=5050
END
cat > /etc/systemd/system/agent3.service <<'END'
[Unit]
Description=Agent3
[Service]
WorkingDirectory=/opt/agent3
EnvironmentFile=/opt/agent3/.env
ExecStart=/usr/bin/python3 /opt/agent3/app.py
Restart=always
StandardOutput=append:/var/log/flask/agent3.out
StandardError=append:/var/log/flask/agent3.err
[Install]
WantedBy=multi-user.target
END
printf '/var/log/flask/*.out {\\n  daily\\n  copytruncate\\n}\\n' > /etc/logrotate.d/agent3
echo '*/5 * * * * root /opt/agent3/watchdog.sh' > /etc/cron.d/agent3
printf '#!/bin/sh\\nsystemctl is-active -q agent3 || { systemctl enable -q agent3; systemctl restart agent3; }\\n' > /opt/agent3/watchdog.sh
chmod 755 /opt/agent3/watchdog.sh
printf '0 3 * * * /bin/true\\n*/5 * * * * /opt/agent3/watchdog.sh >> /var/log/flask/watchdog.log 2>&1\\n' | crontab -
printf '\\n* * * * * root cd /opt/agent3 && ./watchdog.sh\\n' >> /etc/crontab
cp -p /etc/crontab /opt/crontab.before
crontab -l > /opt/root.before
systemctl daemon-reload
systemctl enable -q --now agent3`;

const CALL = (cmd: string): string =>
  `curl -s http://127.0.0.1:5050/ -H 'X-Auth-Token: ${TOKEN}' -H 'content-type: application/json' -d '{"op":"shell","args":{"cmd":"${cmd}"}}'`;

describeVm('the installer, where the Flask agent runs', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({
      needs: 'container',
      files: {
        ...BUNDLE,
        '/opt/peer/flask_agent.py': join(import.meta.dir, '../bench/peers/flask_agent.py'),
      },
    });
    await vm.sh(ORIGINAL);
    await vm.until(CALL('echo from Flask'), 30);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('replaces it: its clients continue with the same token and port, and can do what they could', async () => {
    expect(await vm.sh(CALL('echo from Flask'))).toContain('from Flask');
    const told = await vm.sh('/opt/bundle/ops/install');
    expect(told).toContain('the agent from before is replaced');
    expect(told).toContain('its token (AGENT3_API_TOKEN) stays valid\n');
    expect(told.match(/taken out of /g)).toHaveLength(2);
    expect(told).toContain('it ran as root, so the new agent does too');
    expect(told).toContain('To go back to it: sh /etc/agent3/original/restore');
    expect(told).toContain('http://127.0.0.1:5050/');
    const { code, stdout } = await vm.run(CALL('echo from Agent3; id -un'));
    const why = code === 0 ? '' : await vm.sh('journalctl --no-pager -n 60; tail -n 20 /var/log/agent3/*.log');
    expect({ code, why }).toEqual({ code: 0, why: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      stdout: 'from Agent3\nroot\n',
      status: 'done',
    });
    expect(await vm.sh('pgrep -c -f app.py || true')).toBe('0\n');
  }, 120_000);

  test('saves what it was set up with', async () => {
    const saved = await vm.sh('cd /etc/agent3/original; ls; cat *');
    expect(saved).toContain('ExecStart=/usr/bin/python3 /opt/agent3/app.py');
    expect(saved).toContain('systemctl is-active -q agent3');
    expect((await vm.run('ls /etc/cron.d/agent3')).code).not.toBe(0);
    expect(await vm.sh('cat /opt/agent3/.env')).toContain(TOKEN);
  });

  test('takes its cron lines away, and no other', async () => {
    expect(await vm.sh('crontab -l')).toBe('0 3 * * * /bin/true\n');
    expect(await vm.sh('grep -c watchdog /etc/crontab || true')).toBe('0\n');
    expect(await vm.sh('grep -c cron.daily /etc/crontab')).toBe('1\n');
    expect(await vm.sh('agent3 doctor || true')).not.toContain('from the agent before');
    await vm.sh('{ crontab -l; echo "*/5 * * * * /opt/agent3/watchdog.sh"; } | crontab -');
    expect((await vm.run('agent3 doctor')).stdout).toContain('✗ cron');
    await vm.sh('echo "0 3 * * * /bin/true" | crontab -');
  }, 60_000);

  test('goes on rotating its logs', async () => {
    expect(await vm.sh('cat /etc/logrotate.d/agent3')).toContain('/var/log/flask/agent3.out /var/log/flask/agent3.err');
    expect((await vm.run('logrotate -d /etc/logrotate.d/agent3')).code).toBe(0);
  });

  test('changes nothing the second time', async () => {
    expect(await vm.sh('/opt/bundle/ops/install')).toStartWith('Nothing to change');
    expect(await shellIn(vm, 'id -un')).toBe('root\n');
  });

  test('can be given less', async () => {
    await vm.sh('agent3 install --user agent3');
    expect(await shellIn(vm, 'id -un')).toBe('agent3\n');
  }, 120_000);

  test('keeps the way back through a purge, and the way back is whole', async () => {
    expect(await vm.sh('agent3 uninstall --purge')).toContain('kept: /etc/agent3/original');
    expect(await vm.sh('ls /etc/agent3')).toBe('original\n');
    await vm.sh('sh /etc/agent3/original/restore');
    await vm.until(CALL('echo from Flask again'), 60);
    expect(await vm.sh(CALL('id -un'))).toContain('root');
    expect(await vm.sh('crontab -l | diff - /opt/root.before && cat /etc/cron.d/agent3')).toContain('watchdog.sh');
    expect(await vm.sh('sort /etc/crontab | diff - <(sort /opt/crontab.before) && echo same')).toBe('same\n');
    expect(await vm.sh('systemctl is-enabled agent3')).toBe('enabled\n');
  }, 180_000);

  test('is not taken for Agent3 when it is back', async () => {
    expect(await vm.sh('/opt/bundle/agent3 uninstall --purge')).toContain('kept: /etc/agent3/original');
    expect(await vm.sh('systemctl is-active agent3; systemctl is-enabled agent3')).toBe('active\nenabled\n');
    // With what was given, and as another user, which is said as well.
    const told = await vm.sh('/opt/bundle/ops/install --user agent3 --token another-token-of-mine');
    expect(told).toContain('its clients need the given token');
    expect(told).toContain('it ran as root, but the new agent runs as agent3');
    expect(told).not.toContain('its token was not found');
    await vm.sh('sh /etc/agent3/original/restore');
    await vm.until(CALL('echo from Flask at last'), 60);
  }, 480_000);
});
