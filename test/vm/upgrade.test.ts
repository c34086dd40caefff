import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join } from 'node:path';
import { buildDeb } from '../../ops/deb.ts';
import { BINARY } from '../helpers/binary.ts';
import { compiled } from '../helpers/compiled.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { EARLIER_VERSION, earlierBuild } from './harness/earlier.ts';
import { answersWithin, ask, fileSystem, healthyWithin, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** What an owner has set up with the earlier build; the secrets of its tokens are kept in /opt. */
const SET_UP = `sed -i 's/^#AGENT3_MAX_RUNNING=.*/AGENT3_MAX_RUNNING=7/' /etc/agent3/agent3.env
echo '# my own line' >> /etc/logrotate.d/agent3
sed -i 's/^TasksMax=.*/TasksMax=700/' /etc/systemd/system/agent3.slice.d/20-ceiling.conf
mkdir -p /etc/systemd/system/agent3.service.d
printf '[Service]\\nNice=1\\n' > /etc/systemd/system/agent3.service.d/override.conf
printf 'extends = "full"\\n[limits]\\nrunning = 3\\n' > /etc/agent3/profiles.d/mine.toml
agent3 token create mine --profile mine > /opt/mine 2> /dev/null
agent3 token create look --profile readonly --expires 30d > /opt/look 2> /dev/null
agent3 token rotate look --overlap 1h > /opt/look2 2> /dev/null
systemctl daemon-reload; systemctl restart agent3`;

/** What of it an upgrade may not touch. */
const KEPT =
  'cd /etc/agent3; grep -v -e ^AGENT3_GRANT_KEY= -e ^AGENT3_PUSH_KEY= agent3.env | sha256sum; sha256sum tokens.json profiles.d/* approvals ../systemd/system/agent3.service.d/override.conf 2> /dev/null; tail -n 1 /etc/logrotate.d/agent3; grep -o \'"user": "[a-z0-9]*"\' install.json';

/** Without what the running agent itself writes. */
const system = async (vm: Vm): Promise<string> =>
  (await fileSystem(vm))
    .split('\n')
    .filter((line) => !/^\/var\/(lib\/agent3\/sessions|log\/agent3)\//.test(line))
    // How large a directory is says how many files came and went.
    .map((line) => line.replace(/^(\S+ d \d+ \S+ \S+) \d+/, '$1'))
    .join('\n');

const callAs = async (vm: Vm, secret: string, cmd: string): Promise<Record<string, unknown>> =>
  JSON.parse(
    await vm.sh(`. /etc/agent3/agent3.env
curl -s -m 60 "http://127.0.0.1:$AGENT3_PORT/" -H "X-Auth-Token: $(cat ${secret})" -d '{"op":"shell","args":{"cmd":"${cmd}"}}'`),
  );

describeVm('an upgrade from the build that is installed somewhere', () => {
  let vm: Vm;
  beforeAll(async () => {
    using directory = new TemporaryDirectory();
    const { binary, deb } = earlierBuild();
    const options = {
      architecture: 'amd64',
      version: '9.0.0',
      directory: directory.path,
      compression: 'none',
    } as const;
    vm = await bootVm({
      needs: 'container',
      files: {
        '/opt/old/agent3': binary,
        '/opt/old.deb': deb,
        '/opt/new/agent3': BINARY,
        '/opt/broken': compiled('broken'),
        '/opt/new/ops/install': join(import.meta.dir, '../../ops/install'),
        '/opt/new.deb': buildDeb({ binary: BINARY, ...options }),
      },
    });
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  for (const user of ['agent3', 'root']) {
    test(`as ${user}: one that does not come up puts everything back`, async () => {
      await vm.sh('/opt/new/agent3 uninstall --purge', 200);
      await vm.sh(`/opt/old/agent3 install --port 5007 --user ${user}`, 200);
      await vm.sh(SET_UP);
      await answersWithin(vm, 60);
      const before = [await system(vm), await vm.sh(KEPT), await vm.sh('cat /etc/passwd /etc/group')];
      const { code, stderr } = await vm.run('/opt/new/agent3 install --binary /opt/broken', 300);
      expect(code).toBe(1);
      expect(stderr).toContain('it is broken');
      await answersWithin(vm, 60);
      expect([await system(vm), await vm.sh(KEPT), await vm.sh('cat /etc/passwd /etc/group')]).toEqual(before);
      expect(await shellIn(vm, 'id -un')).toBe(`${user}\n`);
    }, 500_000);

    test(`as ${user}: keeps token, tokens, profiles, sessions, record, user and settings`, async () => {
      const kept = await vm.sh(KEPT);
      const { body } = await ask(vm, 'shell', { cmd: 'echo from before' });
      const lines = Number(await vm.sh('wc -l < /var/log/agent3/audit.jsonl'));
      const told = await vm.sh('/opt/new/ops/install', 300);
      expect(told).toContain(`Agent3 was upgraded from ${EARLIER_VERSION} to `);
      expect(told).toContain('kept as you changed it: /etc/logrotate.d/agent3');
      expect(told).toContain('kept as you changed it: /etc/systemd/system/agent3.slice.d/20-limits.conf');
      expect(await vm.sh('systemctl show -p TasksMax --value agent3.slice')).toBe('700\n');
      expect(await vm.sh('ls /etc/systemd/system/agent3*.d')).not.toContain('20-ceiling.conf');
      expect(told).not.toMatch(/Token {5}\S{43}/);
      expect(await vm.sh(KEPT)).toBe(kept);
      // Which the earlier build had not.
      expect(await vm.sh("grep -cE '^AGENT3_(GRANT|PUSH)_KEY=[A-Za-z0-9_-]{43}$' /etc/agent3/agent3.env")).toBe('2\n');
      expect(await shellIn(vm, 'id -un')).toBe(`${user}\n`);
      expect(await callAs(vm, '/opt/mine', 'id -un')).toMatchObject({ stdout: `${user}\n` });
      const looker = user === 'root' ? 'agent3-look' : user;
      for (const secret of ['/opt/look', '/opt/look2']) {
        expect(await callAs(vm, secret, 'id -un')).toMatchObject({ stdout: `${looker}\n`, status: 'done' });
      }
      const read = await ask(vm, 'read_session', { session: body['session'] });
      expect(read.body).toMatchObject({ stdout: 'from before\n', status: 'done', exit_code: 0 });
      expect(Number(await vm.sh('wc -l < /var/log/agent3/audit.jsonl'))).toBeGreaterThan(lines);
      expect((await vm.run('agent3 audit verify')).code).toBe(0);
      expect((await vm.run('id agent3-look')).code).toBe(user === 'root' ? 0 : 1);
      expect((await vm.run('test -e /etc/dbus-1/system.d/agent3-look.conf')).code).toBe(user === 'root' ? 0 : 1);
      expect((await ask(vm, 'look', { cmd: 'id -un' })).body).toMatchObject({ stdout: `${looker}\n` });
      expect(told.includes('readonly commands now run as the user agent3-look')).toBe(user === 'root');
      expect(await vm.sh('agent3 install', 200)).toStartWith('Nothing to change');
      await healthyWithin(vm, 60);
      await vm.sh('agent3 uninstall --purge');
    }, 500_000);
  }

  test('of the package keeps all of it too, and a purge leaves nothing', async () => {
    await vm.sh('/opt/new/agent3 uninstall --purge', 200);
    const before = await vm.sh('ls /etc/systemd/system /run; cat /etc/passwd /etc/group');
    await vm.sh('dpkg -i /opt/old.deb 2>&1', 300);
    await vm.sh(
      'echo AGENT3_MAX_RUNNING=7 >> /etc/agent3/agent3.env; agent3 token create mine --profile full > /opt/mine',
    );
    const look =
      'grep -v -e ^AGENT3_GRANT_KEY= -e ^AGENT3_PUSH_KEY= /etc/agent3/agent3.env | sha256sum; sha256sum /etc/agent3/tokens.json';
    const kept = await vm.sh(look);
    await vm.sh('dpkg -i /opt/new.deb 2>&1', 300);
    expect(await vm.sh(look)).toBe(kept);
    expect(await callAs(vm, '/opt/mine', 'id -un')).toMatchObject({ stdout: 'agent3\n' });
    expect(await vm.sh('systemctl is-active agent3; systemctl is-enabled agent3')).toBe('active\nenabled\n');
    expect(await vm.sh('systemctl show -p FragmentPath --value agent3')).toContain(
      '/lib/systemd/system/agent3.service',
    );
    await vm.sh('dpkg -P agent3 2>&1', 300);
    expect(await vm.sh('ls /etc/systemd/system /run; cat /etc/passwd /etc/group')).toBe(before);
  }, 900_000);
});
