import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

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

/** The core path on systemd 257, Linux 6.12 and bubblewrap 0.12; package13.test.ts installs there. Everything else is tried on Debian 12. */
describeVm(
  'on Debian 13',
  () => {
    let vm: Vm;
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
      // The others have one core.
      vm = await bootVm({ suite: 'trixie', cores: 2, files: BUNDLE });
      await vm.sh('umask 022; echo kept > /srv/open; chmod 666 /srv/open; /opt/bundle/ops/install', 300);
      await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
    }, 600_000);
    afterAll(() => vm?.[Symbol.asyncDispose]());

    test('runs systemd 257 and bubblewrap 0.11 or later', async () => {
      expect(await vm.sh('. /etc/os-release; echo $VERSION_CODENAME')).toBe('trixie\n');
      expect(await vm.sh('systemctl --version | head -n 1')).toMatch(/^systemd 25[7-9] /);
      expect(await vm.sh('bwrap --version')).toMatch(/^bubblewrap 0\.1[1-9]/);
    });

    describe.each([['agent3'], ['root']])('an agent that runs as %s', (user) => {
      const tokens: Record<string, string> = {};
      beforeAll(async () => {
        await vm.sh(`[ ${user} = agent3 ] || agent3 install --user ${user}
rm -rf /srv/work; install -d -o ${user} -g ${user} /srv/work
printf 'extends = "workspace"\\ndirectory = "/srv/work"\\n' > /etc/agent3/profiles.d/work.toml`);
        await answersWithin(vm, 60);
        for (const profile of ['readonly', 'work', 'full'])
          tokens[profile] = (await vm.sh(`agent3 token create ${user}-${profile} --profile ${profile}`)).trim();
      }, 320_000);

      test.each(SANDBOXED)('in %s: %s', async (profile, cmd, code, stdout) => {
        const text = await vm.sh(`cat > /opt/body <<'END-OF-BODY'
${JSON.stringify({ op: 'shell', args: { cmd } })}
END-OF-BODY
curl -s -H @<(echo "X-Auth-Token: ${tokens[profile]}") -d @/opt/body http://127.0.0.1:5000/`);
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
      });
    });
  },
  'trixie',
);
