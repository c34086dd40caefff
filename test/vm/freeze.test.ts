import { afterAll, beforeAll, expect, test } from 'bun:test';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, healthyWithin } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** Forks without end, on every core, and counts in a file. */
const BUSY = 'for i in $(seq 8); do (while :; do /bin/true; echo x >> /tmp/count; done) & done; wait';
const UNIT = '/sys/fs/cgroup/agent3.slice/agent3-commands.service';

/** What the agent's user tries from outside of the frozen unit, as a program that cron of this user would start. */
const ATTEMPTS: readonly (readonly [what: string, script: string])[] = [
  ['thaws the unit', `echo 0 > ${UNIT}/cgroup.freeze`],
  ['thaws the cgroups of commands', `for f in ${UNIT}/*/cgroup.freeze; do echo 0 > $f; done`],
  ['sends SIGCONT', `kill -CONT $(cat ${UNIT}/*/cgroup.procs)`],
  ['asks systemd', 'systemctl --no-ask-password thaw agent3-commands.service'],
  ['restarts the unit', 'systemctl --no-ask-password restart agent3-commands.service'],
  [
    'moves the processes out',
    `for pid in $(cat ${UNIT}/*/cgroup.procs); do for to in /sys/fs/cgroup /sys/fs/cgroup/agent3.slice /sys/fs/cgroup/agent3.slice/agent3.service; do echo $pid > $to/cgroup.procs; done; done`,
  ],
  ['takes the freeze back', 'rm -f /etc/agent3/approvals/frozen; echo {} > /etc/agent3/approvals/frozen; agent3 thaw'],
];

describeVm('a frozen server', () => {
  let vm: Vm;
  let session: string;
  beforeAll(async () => {
    vm = await bootVm({ isInstalled: true });
    await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
    await answersWithin(vm, 60);
    session = String((await ask(vm, 'shell', { cmd: BUSY, background: true })).body['session']);
    await vm.until('test -s /tmp/count', 60);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  const count = async (): Promise<number> => Number(await vm.sh('wc -c < /tmp/count'));
  /** Whether the command wrote something between two looks that the machine itself separates by a second. */
  const grows = async (): Promise<boolean> => {
    const before = await count();
    await vm.sh('sleep 1');
    return (await count()) > before;
  };

  test('stops a busy tree of processes, and answers 503 with the reason', async () => {
    expect(await grows()).toBe(true);
    const { stdout } = await vm.run("time agent3 freeze 'I look at it'", 120);
    expect(stdout).toContain('The server is frozen');
    expect(stdout).not.toContain('SIGSTOP');
    expect(await vm.sh(`cat ${UNIT}/cgroup.events`)).toContain('frozen 1');
    expect(await grows()).toBe(false);
    const { status, body } = await ask(vm, 'shell', { cmd: 'true' });
    expect([status, body]).toMatchObject([
      503,
      { error: 'Frozen', message: expect.stringContaining('(I look at it)') },
    ]);
    expect((await ask(vm, 'read_session', { session })).body).toMatchObject({ status: 'running', frozen: true });
  });

  test.each(ATTEMPTS)('stays so when a process of the agent’s user %s', async (_, script) => {
    const run = Buffer.from(script).toString('base64');
    await vm.run(
      `echo ${run} | base64 -d > /opt/attempt; chmod 755 /opt/attempt; runuser -u agent3 -- bash /opt/attempt`,
    );
    expect(await grows()).toBe(false);
    expect(await vm.sh(`cat ${UNIT}/cgroup.events`)).toContain('frozen 1');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
  });

  test('is left alone by the watchdog, and is well for the doctor', async () => {
    const pid = await vm.sh('systemctl show -p MainPID --value agent3');
    await vm.run('systemctl start agent3-watchdog.service');
    expect(await vm.sh('tail -n 1 /var/log/agent3/watchdog.log')).toContain('running OK');
    expect(await vm.sh('systemctl show -p MainPID --value agent3')).toBe(pid);
    await vm.sh('systemctl start agent3-watchdog.timer');
    await healthyWithin(vm, 60);
    expect((await vm.run('agent3 doctor')).stdout).toMatch(/✓ command +frozen by root since \S+ \(I look at it\)/);
    expect(await vm.sh('agent3 status')).toContain('frozen (agent3 thaw)');
    await vm.sh('systemctl stop agent3-watchdog.timer');
  }, 200_000);

  test('stays frozen through a restart of the agent and an upgrade', async () => {
    await vm.sh('systemctl restart agent3', 120);
    await vm.until('curl -s http://127.0.0.1:5000/healthz | grep -q frozen', 60);
    const { stdout, code } = await vm.run('/opt/bundle/ops/install --port 5001', 200);
    expect([code, stdout]).toEqual([0, expect.stringContaining('Agent3 answers')]);
    await vm.until('curl -s http://127.0.0.1:5001/healthz | grep -q frozen', 60);
    expect(await grows()).toBe(false);
    expect((await ask(vm, 'read_session', { session })).body).toMatchObject({ status: 'running', frozen: true });
  }, 300_000);

  test('continues at the thaw, where it was', async () => {
    expect(await vm.sh('agent3 thaw')).toContain('everything continues');
    expect(await grows()).toBe(true);
    expect((await ask(vm, 'shell', { cmd: 'echo back' })).body).toMatchObject({ stdout: 'back\n' });
  });

  test('stands still under a fork bomb, which ends with its session', async () => {
    const { body: bomb } = await ask(vm, 'shell', { cmd: "perl -e 'fork while 1'", background: true });
    await vm.until('[ $(systemctl show -p TasksCurrent --value agent3-commands) -gt 100 ]', 60);
    const { stderr } = await vm.run('TIMEFORMAT=%R; time agent3 freeze > /dev/null', 120);
    console.log(`a fork bomb stands still, and nothing new begins, after ${stderr.trim()} s`);
    expect(await vm.sh(`cat ${UNIT}/cgroup.events`)).toContain('frozen 1');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
    expect((await ask(vm, 'close_session', { session: bomb['session'] })).body).toEqual({ status: 'closed' });
    await vm.sh('agent3 thaw');
  });

  test('ends what is closed while it is frozen', async () => {
    await vm.sh('agent3 freeze');
    expect((await ask(vm, 'close_session', { session })).body).toEqual({ status: 'closed' });
    await vm.sh('agent3 thaw');
    expect(await grows()).toBe(false);
    expect((await ask(vm, 'shell', { cmd: 'echo back' })).body).toMatchObject({ stdout: 'back\n' });
  });

  test('is frozen after a boot, until it is thawed', async () => {
    await ask(vm, 'shell', { cmd: 'sleep 1000', background: true });
    await vm.sh("agent3 freeze 'over night'");
    await vm.reboot();
    await vm.until('curl -s http://127.0.0.1:5001/healthz | grep -q frozen', 120);
    expect((await ask(vm, 'shell', { cmd: 'true' })).body).toMatchObject({
      error: 'Frozen',
      message: expect.stringContaining('(over night)'),
    });
    await vm.sh('agent3 thaw');
    expect((await ask(vm, 'shell', { cmd: 'echo back' })).body).toMatchObject({ stdout: 'back\n' });
  }, 400_000);
});
