import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BINARY } from '../helpers/binary.ts';
import { describeVm } from './harness/describe.ts';
import { bootVm, type Vm } from './harness/vm.ts';

describeVm('the machine of the tests', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ files: { '/opt/agent3': BINARY } });
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('runs systemd with every controller', async () => {
    expect(await vm.sh('cat /proc/1/comm')).toBe('systemd\n');
    expect((await vm.sh('cat /sys/fs/cgroup/cgroup.controllers')).split(/\s/)).toContainEqual('memory');
    expect(await vm.sh('systemctl is-system-running')).toBe('running\n');
  });

  test('gives exit code, output and errors of a script', async () => {
    const { code, stdout, stderr } = await vm.run('head -c 300000 /dev/zero | tr "\\0" x; echo wrong >&2; exit 7');
    expect({ code, length: stdout.length, stderr }).toEqual({ code: 7, length: 300_000, stderr: 'wrong\n' });
  });

  test('runs the executable', async () => {
    expect(await vm.sh('/opt/agent3 --version')).toStartWith('agent3 ');
  });

  test('knows what time it is', async () => {
    expect(Math.abs(Number(await vm.sh('date +%s')) - Date.now() / 1000)).toBeLessThan(60);
  });
});
