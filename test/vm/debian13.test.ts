import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { buildDeb } from '../../ops/deb.ts';
import { BINARY } from '../helpers/binary.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, fileSystem, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** dpkg's own records, and what systemd keeps of units that it has run. */
const NOTED = /^\/var\/lib\/(dpkg|apt|ucf)\b|^\/var\/log\/(dpkg|apt|alternatives)|^\/usr\/share\/lintian/;

/** What a profile may do, tried with its own token: a command, its exit code and its output. */
const SANDBOXED: readonly (readonly [profile: string, cmd: string, code: number, stdout: string])[] = [
  ['readonly', 'echo runs; cat /srv/open', 0, 'runs\nkept\n'],
  ['readonly', 'touch /srv/open', 1, ''],
  ['readonly', 'ls -A /run /tmp | grep -c sock', 1, '0\n'],
  ['readonly', 'chmod 4755 /tmp/x; unshare -U true || echo kept in', 0, 'kept in\n'],
  ['work', 'echo x > /srv/work/made && cat /srv/work/made', 0, 'x\n'],
  ['work', 'touch /srv/open', 1, ''],
  ['full', 'echo free', 0, 'free\n'],
];

/** The core path on systemd 257, Linux 6.12 and bubblewrap 0.12. Everything else is tried on Debian 12. */
describeVm(
  'on Debian 13',
  () => {
    let vm: Vm;
    let before: string;
    let users: string;
    const files = async (): Promise<string> =>
      (await fileSystem(vm))
        .split('\n')
        .filter((line) => !NOTED.test(line))
        .join('\n');
    const doctor = async (): Promise<string[]> => {
      const { stdout } = await vm.run('agent3 doctor');
      return stdout.split('\n').filter((line) => !line.startsWith('✓') && line !== '');
    };
    /** Runs a command that may take longer than one answer waits, here where everything is slow. */
    const toEnd = async (cmd: string): Promise<Record<string, unknown>> => {
      const { session } = (await ask(vm, 'shell', { cmd, background: true })).body;
      for (;;) {
        await ask(vm, 'read_session', { session, offset: 1_000_000, wait: 40 });
        const { body } = await ask(vm, 'read_session', { session });
        if (body['status'] !== 'running') return body;
      }
    };
    beforeAll(async () => {
      using directory = new TemporaryDirectory();
      const deb = (version: string): string =>
        buildDeb({ binary: BINARY, architecture: 'amd64', version, directory: directory.path, compression: 'none' });
      vm = await bootVm({ suite: 'trixie', files: { '/opt/agent3.deb': deb('0.0.1'), '/opt/next.deb': deb('0.0.2') } });
      await vm.sh(`umask 022; echo kept > /srv/open; chmod 666 /srv/open; mkdir /opt/bundle
dpkg-deb --fsys-tarfile /opt/agent3.deb | tar -x -C /opt/bundle --strip-components=3 ./usr/bin/agent3`);
      before = await files();
      users = await vm.sh('cat /etc/passwd /etc/group');
    }, 600_000);
    afterAll(() => vm?.[Symbol.asyncDispose]());

    test('runs systemd 257 and bubblewrap 0.11 or later', async () => {
      expect(await vm.sh('. /etc/os-release; echo $VERSION_CODENAME')).toBe('trixie\n');
      expect(await vm.sh('systemctl --version | head -n 1')).toMatch(/^systemd 25[7-9] /);
      expect(await vm.sh('bwrap --version')).toMatch(/^bubblewrap 0\.1[1-9]/);
    });

    test('the package sets up the service', async () => {
      const told = await vm.sh('dpkg -i /opt/agent3.deb 2>&1', 300);
      expect(told).toMatch(/Token {5}\S{43}/);
      expect(told).not.toContain('warning');
      await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
      await answersWithin(vm, 30);
    }, 320_000);

    describe.each([['agent3'], ['root']])('an agent that runs as %s', (user) => {
      const tokens: Record<string, string> = {};
      beforeAll(async () => {
        await vm.sh(`[ ${user} = agent3 ] || agent3 install --user ${user}
rm -rf /srv/work; install -d -o ${user} -g ${user} /srv/work
printf 'extends = "workspace"\\ndirectory = "/srv/work"\\n' > /etc/agent3/profiles.d/work.toml`);
        await answersWithin(vm, 30);
        for (const profile of ['readonly', 'work', 'full'])
          tokens[profile] = (await vm.sh(`agent3 token create ${user}-${profile} --profile ${profile}`)).trim();
      }, 320_000);

      test.each(SANDBOXED)('in %s: %s', async (profile, cmd, code, stdout) => {
        const text = await vm.sh(`cat > /opt/body <<'END-OF-BODY'
${JSON.stringify({ cmd })}
END-OF-BODY
curl -s -H @<(echo "X-Auth-Token: ${tokens[profile]}") -d @/opt/body http://127.0.0.1:5000/shell`);
        expect(JSON.parse(text)).toMatchObject({ status: 'done', exit_code: code, stdout });
      });

      test('has the mounts of the machine as root alone', async () => {
        const spaces = await vm.sh('readlink /proc/1/ns/mnt /proc/$(systemctl show -p MainPID --value agent3)/ns/mnt');
        expect(new Set(spaces.trim().split('\n')).size).toBe(user === 'root' ? 1 : 2);
      });

      test('holds a command to its limits, and goes on', async () => {
        expect(await toEnd('tail /dev/zero; echo $?')).toMatchObject({
          status: 'done',
          stdout: '137\n',
          message: expect.stringMatching(/memory/),
        });
        const forks = "perl -e 'for (1..3000) { my $p = fork; defined $p or exit 9; $p or sleep 60, exit }'; echo $?";
        const { session, ...end } = await toEnd(forks);
        expect(end).toMatchObject({ status: 'done', stdout: '9\n' });
        await ask(vm, 'close_session', { session });
        expect(await shellIn(vm, 'id -un')).toBe(`${user}\n`);
      }, 300_000);

      test('is well by the word of the doctor', async () => {
        await vm.until('agent3 profile check', 20);
        expect(await doctor()).toEqual([
          expect.stringContaining('watchdog'),
          expect.stringContaining('systemctl enable'),
        ]);
      }, 180_000);
    });

    test('background work goes on through a restart and an upgrade, and sessions stay', async () => {
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

    test('purged, the package leaves nothing', async () => {
      await vm.sh('rm -r /srv/work /opt/body');
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
