import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from '../../ops/build.ts';
import { BINARY } from '../helpers/binary.ts';
import { compiled } from '../helpers/compiled.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const OPS = join(import.meta.dir, '../../ops');

/** The beginning of a script: a command of a client that waits for its answer meanwhile. */
const inBackground = (cmd: string): string => `. /etc/agent3/agent3.env
curl -s -o /opt/answer -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d '{"op":"shell","args":{"cmd":"${cmd}"}}' \\
  "http://127.0.0.1:$AGENT3_PORT/" &
`;

/** Past every output here: a reader from there on waits for the end of the command. */
const WHOLE = 1_000_000;

describeVm('an installed agent', () => {
  let vm: Vm;
  /** A session that has ended before any of the disasters. */
  let session: string;
  beforeAll(async () => {
    vm = await bootVm({
      needs: 'container',
      files: {
        '/opt/bundle/agent3': BINARY,
        '/opt/bundle/ops/install': join(OPS, 'install'),
        '/opt/next/agent3': build('agent3-next', undefined, '9.9.9'),
        '/opt/spy': compiled('spy'),
        '/opt/broken': compiled('broken'),
      },
    });
    await vm.sh('/opt/bundle/ops/install');
    // Its checks come when a test asks for one, not when five minutes are full.
    await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
    session = String((await ask(vm, 'shell', { cmd: 'echo kept' })).body['session']);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  /** Of the agent that runs; 0 would be every process of the script that sends it a signal. */
  const pid = async (): Promise<string> =>
    (await vm.until('pid=$(systemctl show -p MainPID --value agent3); [ $pid != 0 ] && echo $pid', 30)).trim();
  const kept = async (): Promise<unknown> => (await ask(vm, 'read_session', { session })).body['stdout'];
  const watchdog = async (): Promise<string> => {
    await vm.run('systemctl start agent3-watchdog.service');
    return vm.sh('tail -n 2 /var/log/agent3/watchdog.log');
  };

  /** Starts work in the background; returns its session. */
  const begin = async (cmd: string): Promise<string> =>
    String((await ask(vm, 'shell', { cmd, background: true })).body['session']);
  /** Reads a session to the end of its command. */
  const follow = async (session: string): Promise<Awaited<ReturnType<typeof ask>>> => {
    const answer = await ask(vm, 'read_session', { session, offset: WHOLE, wait: 40 });
    return answer.body['status'] === 'running' ? follow(session) : ask(vm, 'read_session', { session });
  };

  test('keeps background work and left-behind processes through systemctl restart', async () => {
    const work = await begin('sleep 8; echo finished; exit 3');
    const left = await ask(vm, 'shell', { cmd: "env -i setsid --wait sh -c 'sleep 500 & echo $!'" });
    const before = await pid();
    await vm.sh('systemctl restart agent3');
    await answersWithin(vm, 15);
    expect(await pid()).not.toBe(before);
    expect((await follow(work)).body).toMatchObject({ status: 'done', exit_code: 3, stdout: 'finished\n' });
    await vm.sh(`kill -0 ${left.body['stdout']}`);
    await ask(vm, 'close_session', { session: left.body['session'] });
    expect((await vm.run(`kill -0 ${left.body['stdout']}`)).code).not.toBe(0);
  }, 90_000);

  /** What a command that is left over gets of the next agents, and how many processes of theirs it has come across. */
  const spyOn = async (script: string): Promise<{ got: string[]; seen: number }> => {
    await vm.sh('. /etc/agent3/agent3.env; echo $AGENT3_API_TOKEN > /opt/token');
    const session = await begin('/opt/spy "$(cat /opt/token)"');
    await vm.sh(script, 200);
    await answersWithin(vm, 30);
    await vm.sh('pkill -x spy');
    const said = String((await follow(session)).body['stdout'])
      .trim()
      .split('\n');
    return { got: [...new Set(said.slice(0, -1))].sort(), seen: Number(said.at(-1)?.split(' ')[1]) };
  };

  test('shows its token to no command while it starts, reloads or stops', async () => {
    const before = await spyOn(
      'chmod 755 /usr/local/bin/agent3; systemctl restart agent3; chmod 711 /usr/local/bin/agent3',
    );
    expect(before.got).toContain('environ');
    const { got, seen } = await spyOn('for i in $(seq 10); do systemctl restart agent3; systemctl reload agent3; done');
    expect(got).toEqual([]);
    expect(seen).toBeGreaterThanOrEqual(10);
  }, 400_000);

  test('keeps background work through its own death', async () => {
    const work = await begin('sleep 6; echo finished');
    await vm.sh(`kill -9 ${await pid()}`);
    await answersWithin(vm, 15);
    expect((await follow(work)).body).toMatchObject({ status: 'done', exit_code: 0, stdout: 'finished\n' });
  }, 60_000);

  test('holds background work to its limit after a restart', async () => {
    const { body } = await ask(vm, 'shell', { cmd: 'sleep 300', background: true, timeout: 8 });
    await vm.sh('systemctl restart agent3');
    await answersWithin(vm, 15);
    expect((await follow(String(body['session']))).body).toMatchObject({ status: 'timeout', exit_code: 124 });
  }, 60_000);

  test('that is stopped for good stops what it runs', async () => {
    const work = await begin('echo $$; sleep 300');
    const { body } = await ask(vm, 'read_session', { session: work, wait: 40, until: 'output' });
    await vm.sh('systemctl stop agent3');
    await vm.until(`! kill -0 ${body['stdout']}`, 15);
    await vm.sh('systemctl start agent3');
    await answersWithin(vm, 15);
    // It was told to end, as by systemctl kill, and its end is known.
    expect((await ask(vm, 'read_session', { session: work })).body).toMatchObject({ status: 'done', exit_code: 143 });
    expect(await shellIn(vm, 'cat /proc/self/cgroup')).toContain('/agent3.slice/agent3-commands.service/');
  }, 60_000);

  test('takes a token that root makes, at once, and its commands can make none', async () => {
    const token = (await vm.sh('agent3 token create reports --profile full 2>/dev/null')).trim();
    const health = `curl -s -o /dev/null -w '%{http_code}' -H 'X-Auth-Token: ${token}' -d '{}' http://127.0.0.1:5000/server_info`;
    await vm.until(`[ "$(${health})" = 200 ]`, 10);
    expect(await vm.sh('stat -c "%a %U %G" /etc/agent3/tokens.json')).toBe('640 root agent3\n');
    const { body } = await ask(vm, 'shell', {
      cmd: 'agent3 token create mine --profile readonly; echo x >> /etc/agent3/tokens.json',
    });
    expect(body).toMatchObject({ exit_code: 1 });
    expect(body['stderr']).toContain('/etc/agent3/tokens.json cannot be written');
    expect(body['stdout']).toBe('');
    await vm.sh('agent3 token revoke reports');
    await vm.until(`[ "$(${health})" = 403 ]`, 10);
  }, 60_000);

  test('tells systemd how many commands run', async () => {
    const status = 'systemctl show -p StatusText --value agent3';
    expect(await vm.sh(`${inBackground('sleep 3')} sleep 1; ${status}; wait`)).toBe('commands=1 outliving=0\n');
    await vm.until(`[ "$(${status})" = 'commands=0 outliving=0' ]`, 10);
  });

  /** Waits until the agent that runs now has told its owner who started it again. */
  const toldOfRestart = (by: string): Promise<string> =>
    vm.until(`tail -n 20 /var/log/agent3/agent3.log | grep '"by":"${by}"' | grep 'the agent was restarted'`, 20);

  test('is back after kill -9', async () => {
    const before = await pid();
    await vm.sh(`kill -9 ${before}`);
    // Some 5 s; on a busy machine without a free core it took over 15 s once.
    await answersWithin(vm, 60);
    expect(await pid()).not.toBe(before);
    expect(await kept()).toBe('kept\n');
    await toldOfRestart('systemd');
  }, 120_000);

  test('that hangs is killed by systemd within 30 s, and is back', async () => {
    const before = await pid();
    await vm.sh(`kill -STOP ${before}`);
    await vm.until(`[ "$(systemctl show -p MainPID --value agent3)" != ${before} ]`, 30);
    await answersWithin(vm, 60);
    expect(await vm.sh('journalctl -u agent3 --no-pager')).toContain('Watchdog timeout');
    expect(await kept()).toBe('kept\n');
  }, 120_000);

  test('is checked by the watchdog, which leaves a line', async () => {
    expect(await watchdog()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 - Agent3 running OK\n/m);
  }, 60_000);

  test('that was stopped by hand is started by the watchdog', async () => {
    await vm.sh('systemctl stop agent3');
    const lines = await watchdog();
    expect(lines).toContain(' - Agent3 not running. Restarting... (the unit is inactive)\n');
    expect(lines).toContain(' - Agent3 running again\n');
    expect(await kept()).toBe('kept\n');
    await toldOfRestart('watchdog');
  }, 60_000);

  test('that hangs is restarted by the watchdog', async () => {
    await vm.sh('systemctl start agent3-watchdog.service');
    await vm.sh(`mkdir -p /run/systemd/system/agent3.service.d
      printf '[Service]\\nWatchdogSec=0\\n' > /run/systemd/system/agent3.service.d/90-test.conf
      systemctl daemon-reload; systemctl restart agent3`);
    await vm.sh(`kill -STOP ${await pid()}`);
    const lines = await watchdog();
    await vm.sh('rm -r /run/systemd/system/agent3.service.d; systemctl daemon-reload; systemctl restart agent3');
    expect(lines).toContain(' - Agent3 not running. Restarting... (healthz did not answer within 5 s)\n');
    expect(lines).toContain(' - Agent3 running again\n');
  }, 120_000);

  test('that its owner has switched off stays off, also through an upgrade', async () => {
    await vm.sh('systemctl disable --now agent3');
    expect(await vm.sh('agent3 install --port 5000')).toContain('the service was disabled and stays disabled');
    expect((await vm.run('systemctl is-active agent3')).stdout).toBe('inactive\n');
    expect(await watchdog()).toContain(' - Agent3 is disabled');
    await vm.sh('systemctl enable --now agent3');
    await answersWithin(vm, 15);
  }, 60_000);

  test('that ends at each start is tried without end, and is back when the fault is mended', async () => {
    await vm.sh("echo 'AGENT3_MAX_RUNNING=none' >> /etc/agent3/agent3.env; systemctl --no-block restart agent3");
    await vm.until('[ "$(systemctl show -p NRestarts --value agent3)" -ge 6 ]', 60);
    expect(await vm.sh('journalctl -u agent3 -o cat -n 20')).toContain('AGENT3_MAX_RUNNING must be an integer');
    await vm.sh("sed -i '$d' /etc/agent3/agent3.env");
    await answersWithin(vm, 15);
    expect(await kept()).toBe('kept\n');
  }, 120_000);

  test('is upgraded without losing a session; a command that runs is waited for, background work goes on', async () => {
    const work = await begin('sleep 60; echo went on');
    const told = await vm.sh(`${inBackground('sleep 32; echo waited for')} sleep 1; /opt/next/agent3 install; wait`);
    expect(told).toContain('wait up to 50 s for running commands (1)');
    expect(told).toMatch(/^Agent3 was upgraded from \d+\.\d+\.\d+ to 9\.9\.9, and answers\.$/m);
    expect(JSON.parse(await vm.sh('cat /opt/answer'))).toMatchObject({ stdout: 'waited for\n', status: 'done' });
    expect(await vm.sh('curl -s http://127.0.0.1:5000/healthz')).toContain('"version":"9.9.9"');
    expect(await vm.sh('agent3 --version')).toStartWith('agent3 9.9.9');
    expect(await kept()).toBe('kept\n');
    expect((await vm.run('ls /usr/local/bin/')).stdout).toBe('agent3\n');
    expect((await follow(work)).body).toMatchObject({ status: 'done', exit_code: 0, stdout: 'went on\n' });
  }, 120_000);

  test('goes back to the old executable when the new one does not come up', async () => {
    const { code, stderr } = await vm.run('agent3 install --binary /opt/broken', 300);
    expect(code).toBe(1);
    expect(stderr).toContain('it is broken');
    expect(await vm.sh('curl -s http://127.0.0.1:5000/healthz')).toContain('"version":"9.9.9"');
    expect(await vm.sh('agent3 install')).toStartWith('Nothing to change');
    expect((await vm.run('ls /usr/local/bin/')).stdout).toBe('agent3\n');
    expect(await kept()).toBe('kept\n');
  }, 400_000);

  test('lets its commands use setuid programs with what the document says, and not before', async () => {
    const document = readFileSync(join(OPS, 'docs/install.md'), 'utf8');
    const override = /```ini\n(\[Service\]\nNoNewPrivileges=no\n[^`]*)```/.exec(document)?.[1] ?? '';
    await vm.sh('cp /usr/bin/id /opt/root-id; chmod 4755 /opt/root-id');
    expect(await shellIn(vm, '/opt/root-id -u')).not.toBe('0\n');
    await vm.sh(`mkdir -p /run/systemd/system/agent3.service.d
cat > /run/systemd/system/agent3.service.d/90-sudo.conf <<'END'
${override}END
systemctl daemon-reload; systemctl restart agent3`);
    await answersWithin(vm, 15);
    expect(await shellIn(vm, '/opt/root-id -u')).toBe('0\n');
    await vm.sh('rm -r /run/systemd/system/agent3.service.d; systemctl daemon-reload; systemctl restart agent3');
    await answersWithin(vm, 15);
  }, 60_000);

  test('has a score of systemd-analyze security for both kinds of user', async () => {
    const score = async (): Promise<number> =>
      Number(
        /level for agent3.service: ([\d.]+)/.exec(
          await vm.sh('systemd-analyze security --no-pager agent3.service'),
        )?.[1],
      );
    const own = await score();
    await vm.sh('agent3 install --user root');
    const root = await score();
    console.error(`systemd-analyze security: ${own} as agent3, ${root} as root`);
    expect(own).toBeLessThan(root);
    expect(own).toBeLessThan(6);
  }, 120_000);
});
