import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { eventually } from '../helpers/waiting.ts';
import { describeVm } from './harness/describe.ts';
import { type Fault, testFault } from './harness/faults.ts';
import { answersWithin, ask, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** What the doctor finds wrong in settings of the kernel; other faults are in doctor.test.ts. */
const FAULTS_OF_KERNEL: readonly Fault[] = [
  [
    'a switch of the kernel',
    'profiles',
    'sysctl -q -w kernel.unprivileged_userns_clone=0',
    'sysctl -q -w kernel.unprivileged_userns_clone=1',
    'sysctl -w kernel.unprivileged_userns_clone=1',
  ],
  [
    'another switch of the kernel',
    'start',
    'sysctl -q -w fs.suid_dumpable=1',
    'sysctl -q -w fs.suid_dumpable=0',
    'sysctl -w fs.suid_dumpable=0',
  ],
];

/** Every figure here is for the emulated machine, which is several times slower than a real one. */
describeVm('the limits of an installed agent', () => {
  let vm: Vm;
  /** A session that has ended before any of the disasters. */
  let session: string;
  const kept = async (): Promise<unknown> => (await ask(vm, 'read_session', { session })).body['stdout'];
  beforeAll(async () => {
    vm = await bootVm({ isInstalled: true });
    await answersWithin(vm, 60);
    session = String((await ask(vm, 'shell', { cmd: 'echo kept' })).body['session']);
    expect(await kept()).toBe('kept\n');
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  const pid = async (): Promise<string> => (await vm.sh('systemctl show -p MainPID --value agent3')).trim();

  test('are well by the word of the doctor', async () => {
    await vm.sh(
      '/opt/bundle/ops/install --domain agent3.localhost; agent3 token create looker --profile readonly',
      280,
    );
    await vm.until('agent3 doctor > /opt/report', 60);
    const report = (await vm.sh('cat /opt/report')).trim().split('\n');
    expect(report.filter((line) => !line.startsWith('✓'))).toEqual([]);
    expect(report.length).toBeGreaterThan(10);
  });

  describe('are well by the word of the doctor, who', () => {
    for (const fault of FAULTS_OF_KERNEL) testFault(() => vm, fault);
    // Its checks come when a test asks for one, not when five minutes are full.
    afterAll(async () => {
      await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service caddy');
    });
  });

  test('a command is told of the CPU limit that slowed it down', async () => {
    await vm.sh(`printf 'extends = "full"\n[limits]\ncpu_percent = 20\n' > /etc/agent3/profiles.d/slow.toml`);
    const token = (await vm.sh('agent3 token create slow --profile slow 2> /dev/null')).trim();
    const answer = await vm.sh(
      `sleep 1; curl -s -m 60 -H 'X-Auth-Token: ${token}' -d '{"cmd":"timeout 3 sh -c \\"while :; do :; done\\""}' http://127.0.0.1:5000/shell`,
    );
    const body = JSON.parse(answer) as Record<string, unknown>;
    expect(body['message']).toMatch(
      /^The CPU limit of 20 % of one CPU for one command delayed its threads by \d+\.\d s/,
    );
  });

  test('a command that has run for a while goes behind those that begin', async () => {
    // In the emulated machine, the first look may come late.
    const cmd = 'w=/sys/fs/cgroup$(sed s/^0:://  /proc/self/cgroup)/cpu.weight; cat $w; sleep 2; cat $w';
    expect(await shellIn(vm, cmd)).toMatch(/^10{1,2}\n10\n$/);
  });

  test('outlives a command that eats all memory, which dies alone, and says why', async () => {
    const before = await pid();
    const { body } = await ask(vm, 'shell', { cmd: 'tail /dev/zero; echo "ended with $?"' });
    expect(body).toMatchObject({ status: 'done', exit_code: 0, stdout: 'ended with 137\n' });
    expect(body['message']).toMatch(/^1 process was killed by the memory limit of \d+ MiB for one command/);
    const { peak_memory_bytes } = body['usage'] as { peak_memory_bytes: number };
    expect(peak_memory_bytes).toBeGreaterThan(500_000_000);
    const killed = await vm.run("agent3 exec 'tail /dev/zero'", 120);
    expect(killed.stderr).toMatch(/agent3: 1 process was killed by the memory limit of \d+ MiB for one command/);
    await answersWithin(vm, 60);
    expect(await pid()).toBe(before);
    expect(await vm.sh('systemctl show -p Result --value agent3')).toBe('success\n');
  });

  test('answers and runs other commands while a fork bomb runs in the background, and ends it', async () => {
    const { body } = await ask(vm, 'shell', { cmd: "perl -e 'fork while 1'", background: true });
    await vm.until('[ "$(systemctl show -p TasksCurrent --value agent3-commands)" -gt 500 ]', 60);
    expect(await shellIn(vm, 'echo another runs')).toBe('another runs\n');
    const status = (await ask(vm, 'list_sessions', {})).status;
    expect(status).toBe(200);
    // The end of so many takes the emulated kernel longer than an answer waits for it, when its host is busy.
    const close = async (): Promise<unknown> =>
      (await ask(vm, 'close_session', { session: body['session'] })).body['status'];
    await eventually('it is closed', async () => (await close()) === 'closed', 120_000);
    expect(await vm.sh('systemctl show -p TasksCurrent --value agent3-commands')).toMatch(/^\d{1,2}\n$/);
    expect(await shellIn(vm, 'echo on')).toBe('on\n');
  }, 300_000);

  test('tells a command that it ran into the limit of its processes, and what it took', async () => {
    const cmd = "perl -e 'for (1..3000) { my $pid = fork; defined $pid or exit 9; $pid or sleep 60, exit }'; echo $?";
    const { body } = await ask(vm, 'shell', { cmd }, 100);
    expect(body).toMatchObject({ status: 'done', stdout: '9\n' });
    expect(body['message']).toMatch(/The limit of \d+ for the processes and threads of one command was reached/);
    const { processes, cpu_ms } = body['usage'] as { processes?: number; cpu_ms: number };
    expect(cpu_ms).toBeGreaterThan(0);
    if (processes !== undefined) expect(processes).toBeGreaterThan(100);
    await ask(vm, 'close_session', { session: body['session'] });
  });

  test('outlives a fork bomb, and answers again after its limit', async () => {
    await ask(vm, 'shell', { cmd: "perl -e 'fork while 1'", timeout: 5 }, 100);
    await answersWithin(vm, 60);
    await vm.until('[ "$(systemctl show -p TasksCurrent --value agent3.slice)" -lt 100 ]', 60);
    expect(await kept()).toBe('kept\n');
  }, 300_000);

  test('on a full disk says so, and answers when there is room again', async () => {
    await vm.sh(`truncate -s 24M /opt/small.img; mkfs.ext4 -q /opt/small.img
      systemctl stop agent3
      mv /var/lib/agent3/sessions /var/lib/agent3/sessions.kept; mkdir /var/lib/agent3/sessions
      mount /opt/small.img /var/lib/agent3/sessions; chown agent3: /var/lib/agent3/sessions
      systemctl start agent3`);
    await answersWithin(vm, 60);
    const { body } = await ask(vm, 'shell', { cmd: 'head -c 100M /dev/zero' });
    expect(body).toMatchObject({ status: 'done', exit_code: 1 });
    expect(body['message']).toContain('The disk that holds the sessions is full');
    const refused = await ask(vm, 'shell', { cmd: 'echo no room' });
    expect([200, 503]).toContain(refused.status);
    if (refused.status === 503) expect(refused.body['message']).toContain('the disk is full');
    expect(await ask(vm, 'close_session', { session: body['session'] })).toMatchObject({ status: 200 });
    // The file system frees blocks with its next commit.
    for (let tries = 0; tries < 10 && (await shellIn(vm, 'echo room')) !== 'room\n'; tries++)
      await vm.sh('sync; sleep 1');
    expect(await shellIn(vm, 'echo room')).toBe('room\n');
    await vm.sh(`systemctl stop agent3; umount /var/lib/agent3/sessions; rmdir /var/lib/agent3/sessions
      mv /var/lib/agent3/sessions.kept /var/lib/agent3/sessions; systemctl start agent3`);
    await answersWithin(vm, 60);
    expect(await kept()).toBe('kept\n');
  });
});
