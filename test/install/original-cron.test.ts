import { describe, expect, test } from 'bun:test';
import type { Original } from '../../src/install/original.ts';
import { findCronLines } from '../../src/install/takeover.ts';

const original: Original = {
  token: undefined,
  host: undefined,
  port: 5000,
  logs: [],
  user: 'root',
  script: '/opt/agent/app.py',
};

const scripts: Readonly<Record<string, string>> = {
  '/opt/agent/app.py': 'app.run()',
  '/opt/agent/watchdog.sh':
    '#!/bin/sh\ncurl -sf localhost:5000/healthz || { systemctl enable agent3; systemctl restart agent3; }',
  '/opt/agent/named.sh': 'SERVICE="agent3"\nsystemctl is-active "$SERVICE" || systemctl restart "$SERVICE"',
  '/opt/agent/watch.py': 'NAME = "agent3"\nsubprocess.run(["systemctl", "restart", NAME])',
  '/opt/agent/list.py': 'subprocess.run(["systemctl", "start", "agent3"])',
  '/opt/agent/run.sh': 'pgrep -f app.py || nohup python3 /opt/agent/app.py &',
  '/opt/agent/quiet.sh': '# systemctl restart agent3\ncurl -s localhost:5000',
  '/usr/local/bin/nginx.sh': 'systemctl restart nginx; logger agent3',
  '/opt/backup.sh': 'systemctl stop agent3; tar czf /b.tgz /opt/agent; systemctl start agent3',
};
const found = (line: string, of: { user: string } | { file: string } = { user: 'root' }) =>
  findCronLines(original, [{ of, text: `SHELL=/bin/sh\n\n${line}\n` }], (path) => scripts[path]);

describe('the cron lines that would start the original again', () => {
  const lines: readonly [line: string, isFound: boolean][] = [
    ['*/5 * * * * /opt/agent/watchdog.sh', true],
    ['*/5 * * * * /bin/bash /opt/agent/watchdog.sh >> /var/log/w.log 2>&1', true],
    ['*/5 * * * * cd /opt/agent && ./watchdog.sh', true],
    ['* * * * * /opt/agent/named.sh', true],
    ['*/10 * * * * /usr/bin/python3 /opt/agent/watch.py', true],
    ['*/10 * * * * /usr/bin/python3 /opt/agent/list.py', true],
    ['@reboot /opt/agent/run.sh', true],
    ['@reboot cd /opt/agent; python3 app.py', true],
    ['0 3 * * * python3 /opt/agent/app.py', true],
    ['*/5 * * * * systemctl is-active -q agent3 || systemctl start agent3', true],
    ['0 */1 * * * service agent3 restart', true],
    ['@hourly systemctl restart agent3', true],
    // Not again and again, or not it.
    ['0 3 * * * /opt/backup.sh', false],
    ['0 4 * * 0 systemctl restart agent3', false],
    ['*/5 * * * * /usr/local/bin/nginx.sh', false],
    ['*/5 * * * * /opt/agent/quiet.sh', false],
    ['*/5 * * * * systemctl restart nginx', false],
    ['0 * * * * tar czf /backup/agent.tgz /opt/agent', false],
    ['#*/5 * * * * /opt/agent/watchdog.sh', false],
    ['MAILTO=agent3', false],
  ];
  test.each(lines)('%s: %p', (line, isFound) => {
    expect(found(line).map((one) => one.line)).toEqual(isFound ? [line] : []);
  });

  test('name their user in the tables of the system', () => {
    const file = { file: '/etc/crontab' };
    expect(found('*/5 * * * * root /opt/agent/watchdog.sh', file)).toEqual([
      { of: file, line: '*/5 * * * * root /opt/agent/watchdog.sh', scripts: ['/opt/agent/watchdog.sh'] },
    ]);
    expect(found('@reboot root python3 /opt/agent/app.py', file)).toHaveLength(1);
  });
});
