import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** On a host that has no containers, QEMU keeps the same promises. */
describeVm('the container of the tests', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ needs: 'container' });
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  const state = async (): Promise<string> =>
    (await vm.run('systemctl is-system-running; systemctl --failed --no-legend --plain')).stdout;

  test('runs systemd, and no unit has failed', async () => {
    expect(await vm.sh('cat /proc/1/comm')).toBe('systemd\n');
    expect(await state()).toBe('running\n');
  });

  test('gives exit code, output and errors of a script', async () => {
    expect(await vm.run('echo right; echo wrong >&2; exit 7')).toEqual({
      code: 7,
      stdout: 'right\n',
      stderr: 'wrong\n',
    });
  });

  test('takes files, with their mode, as those of root', async () => {
    using directory = new TemporaryDirectory();
    const bytes = crypto.getRandomValues(new Uint8Array(70_001));
    await Bun.write(directory.join('file'), bytes);
    await vm.copyIn(directory.join('file'), '/opt/a new directory/file');
    expect((await vm.runRaw('cat "/opt/a new directory/file"')).stdout).toEqual(Buffer.from(bytes));
    expect(await vm.sh('stat -c "%U:%G %a" "/opt/a new directory/file"')).toBe('root:root 644\n');
  });

  test('has a /proc of its own for a sandbox of root and for one of another user', async () => {
    const sandbox = 'bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all --unshare-user --disable-userns ps ax';
    for (const user of ['root', 'visitor']) {
      const said = await vm.sh(`setpriv --reuid ${user} --regid ${user} --clear-groups ${sandbox}`);
      expect(said).not.toContain('systemd');
      expect(said.trim().split('\n').length).toBeLessThan(5);
    }
  });

  test('touches no clock and no setting of the host', async () => {
    if (vm.hasControllers) return;
    expect((await vm.run('date -s 2001-01-01')).stderr).toContain('Operation not permitted');
    expect((await vm.run('echo 7 > /proc/sys/kernel/panic')).stderr).toContain('Read-only file system');
    expect(await vm.sh('ls /sys/class/net')).toBe('lo\n');
  });

  test('goes on when the runner of the scripts is killed', async () => {
    await expect(vm.run('kill -9 $PPID; sleep 100')).rejects.toThrow('the runner of the tests was killed');
    expect(await vm.sh('echo alive')).toBe('alive\n');
  });

  test('restarts in order, with its files', async () => {
    await vm.sh('echo kept > /root/kept; systemd-run --unit=stopped -p ExecStop="/bin/touch /root/stopped" sleep 1000');
    const boot = await vm.sh('cat /proc/sys/kernel/random/boot_id');
    await vm.reboot();
    expect(await vm.sh('cat /proc/sys/kernel/random/boot_id')).not.toBe(boot);
    expect(await vm.sh('cat /root/kept; ls /root')).toBe('kept\nkept\nstopped\n');
    expect(await state()).toBe('running\n');
  }, 300_000);

  test('leaves nothing on the host when it is off', async () => {
    await vm[Symbol.asyncDispose]();
    const left = readdirSync(tmpdir()).filter((name) => name.startsWith(`agent3-container-${process.pid}-`));
    expect(left).toEqual([]);
  }, 60_000);
});
