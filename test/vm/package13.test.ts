import { afterAll, beforeAll, expect, test } from 'bun:test';
import { buildDeb } from '../../ops/deb.ts';
import { BINARY } from '../helpers/binary.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, fileSystemBesideDpkg, healthyWithin, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** With dpkg and systemd of Debian 13. What its kernel has to do with is in debian13.test.ts. */
describeVm(
  'the package on Debian 13',
  () => {
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
        suite: 'trixie',
        files: { '/opt/agent3.deb': deb('0.0.1'), '/opt/next.deb': deb('0.0.2') },
      });
      await vm.sh(`mkdir /opt/bundle
dpkg-deb --fsys-tarfile /opt/agent3.deb | tar -x -C /opt/bundle --strip-components=3 ./usr/bin/agent3`);
      before = await files();
      users = await vm.sh('cat /etc/passwd /etc/group');
    }, 600_000);
    afterAll(() => vm?.[Symbol.asyncDispose]());

    test('is tried with systemd 257', async () => {
      expect(await vm.sh('. /etc/os-release; echo $VERSION_CODENAME')).toBe('trixie\n');
      expect(await vm.sh('systemctl --version | head -n 1')).toMatch(/^systemd 25[7-9] /);
    });

    test('sets up the service, which is well by the word of the doctor', async () => {
      const told = await vm.sh('dpkg -i /opt/agent3.deb 2>&1', 300);
      expect(told).toMatch(/Token {5}\S{43}/);
      expect(told).not.toContain('warning');
      await answersWithin(vm, 30);
      await healthyWithin(vm, 60);
      await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
    }, 320_000);

    test('background work continues through a restart and an upgrade, and sessions stay', async () => {
      const { body } = await ask(vm, 'shell', { cmd: 'sleep 8; echo went on; exit 3', background: true });
      const pid = async (): Promise<string> => vm.sh('systemctl show -p MainPID --value agent3');
      const first = await pid();
      await vm.sh('systemctl restart agent3');
      await answersWithin(vm, 30);
      const second = await pid();
      expect(await vm.sh('dpkg -i /opt/next.deb 2>&1', 300)).not.toMatch(/warning|Token {5}\S{43}/);
      await answersWithin(vm, 30);
      expect(new Set([first, second, await pid()]).size).toBe(3);
      await ask(vm, 'read_session', { session: body['session'], offset: 1_000_000, wait: 30 });
      const read = await ask(vm, 'read_session', { session: body['session'] });
      expect(read.body).toMatchObject({ status: 'done', exit_code: 3, stdout: 'went on\n' });
    }, 320_000);

    test('purged, leaves nothing', async () => {
      const told = await vm.sh('dpkg -r agent3 2>&1 && dpkg -P agent3 2>&1', 300);
      expect(told).not.toContain('warning');
      expect(await files()).toBe(before);
      expect(await vm.sh('cat /etc/passwd /etc/group')).toBe(users);
    }, 320_000);

    test('the bundle installs it as well, and takes everything away', async () => {
      await vm.sh('/opt/bundle/agent3 install --no-watchdog');
      expect(await shellIn(vm, 'id -un')).toBe('agent3\n');
      await vm.sh('agent3 uninstall --purge');
      expect(await files()).toBe(before);
    }, 320_000);
  },
  'trixie',
);
