import { afterAll, beforeAll, expect, test } from 'bun:test';
import { newOrder } from '../../src/console/order.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, healthyWithin } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** Forks without end, on every core, and counts in a file. */
const BUSY = 'for i in $(seq 8); do (while :; do /bin/true; echo x >> /tmp/count; done) & done; wait';
const UNIT = '/sys/fs/cgroup/agent3.slice/agent3-commands.service';

/** 1 to 3 s on a quiet host: one that takes longer than this hangs, also where QEMU gets a tenth of a core. */
const MOST_SECONDS = 90;

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

/**
 * Waits for a fork bomb, leaves an order to freeze as the console does, and prints the seconds until the agent refuses
 * (`file`), the freezer is on (`freeze`), every process is frozen (`frozen`), and the answer is there. One process,
 * started before the bomb: it forks nothing.
 */
const TAP = String.raw`use strict; use Time::HiRes qw(time sleep); $| = 1;
my ($id, $nonce, $dir) = (@ARGV, '/var/lib/agent3-console/root-orders');
sub text { open(my $file, '<', $_[0]) or return ''; local $/; my $text = <$file>; $text // '' }
sleep 0.05 until text('${UNIT}/pids.current') > 100;
sleep 2;
open(my $order, '>', "$dir/$id.json.new") or die $!;
print $order sprintf('{"by":"tap","order":{"id":"%s","at":%d,"nonce":"%s","kind":"freeze","reason":"a tap"}}', $id, time * 1000, $nonce);
close $order; chmod 0640, "$dir/$id.json.new";
chown((getpwnam 'agent3-console')[2], (stat $dir)[5], "$dir/$id.json.new");
my $start = time; my %at; my $pids;
rename "$dir/$id.json.new", "$dir/$id.json" or die $!;
until ($at{answer}) {
  my %is = (
    file => scalar(text('/etc/agent3/approvals/frozen') =~ /"a tap"}]/), freeze => scalar(text('${UNIT}/cgroup.freeze') =~ /1/),
    frozen => scalar(text('${UNIT}/cgroup.events') =~ /frozen 1/), answer => scalar(-e "/run/agent3-orders/order-$id.json"),
  );
  for (keys %is) { $at{$_} //= time - $start if $is{$_} }
  sleep 0.005;
}
printf "%s\n", join ' ', map { sprintf '%s=%.2f', $_, $at{$_} } sort { $at{$a} <=> $at{$b} } keys %at;
`;

describeVm('a frozen server', () => {
  let vm: Vm;
  let session: string;
  beforeAll(async () => {
    vm = await bootVm({ isInstalled: true, cores: 2 });
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
    expect(await vm.sh('agent3 thaw')).toContain('everything resumes');
    expect(await grows()).toBe(true);
    expect((await ask(vm, 'shell', { cmd: 'echo back' })).body).toMatchObject({ stdout: 'back\n' });
  });

  test('stands still under a fork bomb, which ends with its session', async () => {
    const { body: bomb } = await ask(vm, 'shell', { cmd: "perl -e 'fork while 1'", background: true });
    await vm.until('[ $(systemctl show -p TasksCurrent --value agent3-commands) -gt 100 ]', 60);
    const { stderr } = await vm.run('TIMEFORMAT=%R; time agent3 freeze > /dev/null', 120);
    console.log(`a fork bomb is frozen, and nothing new begins, after ${stderr.trim()} s`);
    expect(await vm.sh(`cat ${UNIT}/cgroup.events`)).toContain('frozen 1');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
    expect((await ask(vm, 'close_session', { session: bomb['session'] })).body).toEqual({ status: 'closed' });
    await vm.sh('agent3 thaw');
  });

  test.each([
    [
      'that somebody uses',
      'active',
      "curl -sf --unix-socket /run/agent3-console.sock http://localhost:8443/api/hello -d '{}'",
    ],
    [
      'of which nothing runs any more',
      'inactive',
      'systemctl stop agent3-console-proxy.service agent3-console.service',
    ],
  ])(
    'stands still soon after a tap at a console %s, under a fork bomb',
    async (_, state, prepare) => {
      await vm.sh(prepare);
      await vm.until(`[ "$(systemctl is-active agent3-console-obey.service)" = ${state} ]`, 60);
      const { id, nonce } = newOrder();
      const tap = Buffer.from(TAP).toString('base64');
      await vm.sh(
        `echo ${tap} | base64 -d > /opt/tap; setsid perl /opt/tap ${id} ${nonce} > /opt/tapped 2>&1 < /dev/null &`,
      );
      const { body: bomb } = await ask(vm, 'shell', { cmd: "perl -e 'fork while 1'", background: true });
      const told = (await vm.until('grep answer= /opt/tapped', 200)).trim();
      console.log(`under a fork bomb, seconds after a tap at the console: ${told}`);
      expect(Number(/freeze=(\S+)/.exec(told)?.[1])).toBeLessThan(MOST_SECONDS);
      expect(await vm.sh(`cat /run/agent3-orders/order-${id}.json; cat ${UNIT}/cgroup.events`)).toMatch(
        /"done"[\s\S]*frozen 1/,
      );
      expect((await ask(vm, 'shell', { cmd: 'true' })).body['message']).toContain('(a tap)');
      expect((await ask(vm, 'close_session', { session: bomb['session'] })).body).toEqual({ status: 'closed' });
      await vm.sh('agent3 thaw');
      await answersWithin(vm, 60);
    },
    400_000,
  );

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
