import { afterAll, beforeAll, expect, test } from 'bun:test';
import { buildDeb } from '../../ops/deb.ts';
import { BINARY } from '../helpers/binary.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { ask, fileSystemBesideDpkg, healthyWithin, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

describeVm('the Debian package', () => {
  let vm: Vm;
  let before: string;
  let users: string;
  const files = (): Promise<string> => fileSystemBesideDpkg(vm);
  beforeAll(async () => {
    using directory = new TemporaryDirectory();
    const deb = (version: string): string =>
      buildDeb({ binary: BINARY, architecture: 'amd64', version, directory: directory.path, compression: 'none' });
    vm = await bootVm({
      needs: 'container',
      files: {
        '/opt/agent3.deb': deb('0.0.1'),
        '/opt/agent3-next.deb': deb('0.0.2'),
        ...BUNDLE,
      },
    });
    before = await files();
    users = await vm.sh('cat /etc/passwd /etc/group');
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('sets up the service, and shows the token once', async () => {
    const told = await vm.sh('dpkg -i /opt/agent3.deb 2>&1', 300);
    expect(told).toMatch(/Token {5}\S{43}/);
    expect(await shellIn(vm, 'id -un')).toBe('agent3\n');
    expect(await vm.sh('systemctl is-active agent3 agent3-watchdog.timer')).toBe('active\nactive\n');
    expect((await vm.run('ls /usr/local/bin/agent3')).code).not.toBe(0);
  }, 320_000);

  test('is well by the word of the doctor', async () => {
    await healthyWithin(vm, 30);
    expect(await vm.sh('agent3 install')).toStartWith('Nothing to change');
  }, 60_000);

  test('is upgraded: the new executable runs, sessions and settings stay', async () => {
    const { body } = await ask(vm, 'shell', { cmd: 'echo kept' });
    const pid = await vm.sh('systemctl show -p MainPID --value agent3');
    const told = await vm.sh('dpkg -i /opt/agent3-next.deb 2>&1', 300);
    expect(told).not.toMatch(/Token {5}\S{43}/);
    expect(await vm.sh('systemctl show -p MainPID --value agent3')).not.toBe(pid);
    const read = await ask(vm, 'read_session', { session: body['session'] });
    expect(read.body['stdout']).toBe('kept\n');
  }, 320_000);

  test('when removed leaves settings and sessions', async () => {
    await vm.sh('agent3 install --user root');
    expect(await vm.sh('id -nG agent3-look')).toBe('agent3-look adm systemd-journal\n');
    await vm.sh('dpkg -r agent3 2>&1', 300);
    expect((await vm.run('systemctl is-active agent3')).stdout).toBe('inactive\n');
    expect(await vm.sh('ls /etc/agent3/agent3.env; ls -d /var/lib/agent3/sessions')).toContain('agent3.env');
  }, 320_000);

  test('when purged leaves nothing', async () => {
    expect(await vm.sh('dpkg -P agent3 2>&1', 300)).toContain('still have the number of the removed user agent3: find');
    expect(await files()).toBe(before);
    expect(await vm.sh("ls /run | grep agent3; systemctl list-unit-files --no-legend 'agent3*'; true")).toBe('');
    expect(await vm.sh('cat /etc/passwd /etc/group')).toBe(users);
  }, 320_000);

  test('takes over from the bundle', async () => {
    await vm.sh('/opt/bundle/ops/install --no-watchdog');
    const token = await vm.sh('grep AGENT3_API_TOKEN= /etc/agent3/agent3.env');
    await vm.sh('dpkg --force-confnew -i /opt/agent3.deb 2>&1', 300);
    expect(await vm.sh('grep AGENT3_API_TOKEN= /etc/agent3/agent3.env')).toBe(token);
    expect((await vm.run('ls /usr/local/bin/agent3 /etc/systemd/system/agent3.service')).stdout).toBe('');
    expect(await shellIn(vm, 'readlink /proc/$PPID/exe || echo hidden')).toBe('hidden\n');
    expect(await vm.sh('readlink /proc/$(systemctl show -p MainPID --value agent3)/exe')).toBe('/usr/bin/agent3\n');
  }, 320_000);
});
