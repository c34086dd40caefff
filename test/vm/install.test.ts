import { afterAll, beforeAll, expect, test } from 'bun:test';
import { buildBundle } from '../../ops/release.ts';
import { BINARY } from '../helpers/binary.ts';
import { command } from '../helpers/debian.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask, fileSystem, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** What an installation could leave besides files on the disk: in /run, in systemd, and in cron. */
const STATE = `ls /run /run/systemd/system /run/systemd/transient 2>&1 | grep -i agent3
systemctl list-unit-files --no-legend 'agent3*'
systemctl list-units --all --no-legend 'agent3*'
ls /sys/fs/cgroup | grep -i agent3
crontab -l 2>&1
true`;

/** The steps that an installation prints, without the texts of the files. */
const stepsOf = (told: string): string[] =>
  told.split('\n').filter((line) => /^(?:directory|file|group|link|move|remove|run) /.test(line));

const CLOSE = 'cd /etc/agent3; chown root:root tokens.json profiles.d/*; chmod 600 tokens.json profiles.d/*';

describeVm('the installer', () => {
  let vm: Vm;
  let before: string;
  let users: string;
  let state: string;
  let planned: string[];
  beforeAll(async () => {
    using unpacked = new TemporaryDirectory();
    const archive = buildBundle(BINARY, 'linux-x64', unpacked.path);
    command(['gunzip', archive]);
    vm = await bootVm({ needs: 'container', files: { '/opt/bundle.tar': archive.replace(/\.gz$/, '') } });
    await vm.sh('mkdir /opt/bundle; tar -xf /opt/bundle.tar -C /opt/bundle --strip-components=1');
    before = await fileSystem(vm);
    users = await vm.sh('cat /etc/passwd /etc/group');
    state = await vm.sh(STATE);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('with --dry-run shows every file and command, and changes nothing', async () => {
    const told = await vm.sh('/opt/bundle/ops/install --dry-run');
    for (const path of ['/usr/local/bin/agent3', '/etc/agent3/agent3.env', '/etc/systemd/system/agent3.service']) {
      expect(told).toContain(`file ${path} `);
    }
    expect(told).toContain('run useradd');
    expect(await fileSystem(vm)).toBe(before);
    planned = stepsOf(told);
  });

  test('refuses what it cannot do, and leaves nothing behind', async () => {
    const refusals: readonly [script: string, told: string][] = [
      ['setpriv --reuid=65534 --regid=65534 --clear-groups /opt/bundle/ops/install', 'must run as root'],
      ['/opt/bundle/ops/install --user nobody-at-all', 'there is no user nobody-at-all'],
      ['/opt/bundle/ops/install --token short', 'the token given cannot be used'],
      ['/opt/bundle/ops/install --domain "no name"', 'is not a host name'],
      ['/opt/bundle/ops/install --host 203.0.113.1', '203.0.113.1 is not an address of this machine'],
      ['/opt/bundle/ops/install --user 4711', 'there is no user "4711"'],
      ['/opt/bundle/ops/install --binary /bin/ls', '/bin/ls is not an Agent3'],
      [
        'perl -MIO::Socket::INET -e \'$s=IO::Socket::INET->new(Listen=>1,LocalAddr=>"127.0.0.1:5000") or die; sleep 60\' & sleep 1; /opt/bundle/ops/install; code=$?; kill %1; exit $code',
        'another program uses port 5000 on 127.0.0.1',
      ],
      [
        'mkdir -p /etc/logrotate.d; echo "# mine" > /etc/logrotate.d/agent3; /opt/bundle/ops/install; code=$?; rm /etc/logrotate.d/agent3; exit $code',
        'were not written by Agent3: /etc/logrotate.d/agent3',
      ],
      [
        'echo "#!/bin/sh" > /usr/local/bin/agent3; chmod 755 /usr/local/bin/agent3; /opt/bundle/ops/install; code=$?; rm /usr/local/bin/agent3; exit $code',
        '/usr/local/bin/agent3 exists and is not Agent3',
      ],
      [
        'mount -t tmpfs -o size=8M small /usr/local/bin; /opt/bundle/ops/install; code=$?; umount /usr/local/bin; exit $code',
        'MiB free, but',
      ],
    ];
    for (const [script, told] of refusals) {
      const { code, stderr } = await vm.run(script);
      expect({ script, code, stderr }).toMatchObject({ code: 1 });
      expect(stderr).toContain(told);
    }
    expect(await fileSystem(vm)).toBe(before);
    expect(await vm.sh('cat /etc/passwd /etc/group')).toBe(users);
  }, 180_000);

  test('by ops/install from the bundle sets up everything, and the printed token works', async () => {
    const told = await vm.sh('/opt/bundle/ops/install');
    const token = /Token {5}(\S+)/.exec(told)?.[1] ?? '';
    expect(token).toHaveLength(43);
    expect(told).toContain('http://127.0.0.1:5000/');
    expect(stepsOf(told)).toEqual(planned);
    const answer = await vm.sh(
      `curl -s http://127.0.0.1:5000/ -H 'X-Auth-Token: ${token}' -d '{"op":"shell","args":{"cmd":"id -un; pwd"}}'`,
    );
    expect(JSON.parse(answer)).toMatchObject({ stdout: 'agent3\n/var/lib/agent3\n', exit_code: 0 });
    expect(await vm.sh('systemctl is-active agent3 agent3-watchdog.timer')).toBe('active\nactive\n');
    expect(await vm.sh('systemctl is-enabled agent3 agent3-watchdog.timer')).toBe('enabled\nenabled\n');
    expect(await vm.sh('systemctl is-system-running')).toBe('running\n');
  }, 120_000);

  test('with --dry-run shows what the same call then does, also where only the service has to change', async () => {
    expect(await vm.sh('agent3 install --dry-run')).toContain('Nothing to change: Agent3 is installed.');
    const changes: readonly [first: string, options: string, step: string][] = [
      ['systemctl disable --quiet agent3', '', 'run systemctl enable --quiet agent3.service'],
      [
        'systemctl disable --quiet --now agent3-watchdog.timer',
        '',
        'run systemctl enable --quiet --now agent3-watchdog.timer',
      ],
      [
        'cp -p /usr/local/bin/agent3 /tmp/a; mv /tmp/a /usr/local/bin/agent3',
        '',
        'run systemctl restart agent3.service',
      ],
      ['true', '--port 5001', 'run systemctl restart agent3.service'],
      ['true', '--port 5000', 'run systemctl restart agent3.service'],
    ];
    for (const [first, options, step] of changes) {
      await vm.sh(first);
      const told = await vm.sh(`agent3 install --dry-run ${options}`);
      expect(told).toContain('Nothing was changed. The list shows what would be done.');
      expect(stepsOf(told)).toContain(step);
      expect(stepsOf(await vm.sh(`agent3 install ${options}`))).toEqual(stepsOf(told));
    }
  }, 240_000);

  test('gives every file its owner and mode', async () => {
    const paths = [
      '/etc/agent3/agent3.env',
      '/var/lib/agent3/sessions',
      '/var/log/agent3',
      '/var/log/agent3/agent3.log',
    ];
    expect(await vm.sh(`stat -c '%n %a %U:%G' ${paths.join(' ')} /usr/local/bin/agent3`)).toBe(
      `/etc/agent3/agent3.env 600 root:root
/var/lib/agent3/sessions 700 agent3:agent3
/var/log/agent3 750 root:agent3
/var/log/agent3/agent3.log 640 agent3:agent3
/usr/local/bin/agent3 711 root:root
`,
    );
  });

  test('keeps the token from every process list, log and command', async () => {
    const token = (await vm.sh('. /etc/agent3/agent3.env; echo $AGENT3_API_TOKEN')).trim();
    await shellIn(vm, 'env');
    expect(await shellIn(vm, 'env; ps -ef; cat /proc/$PPID/environ 2>&1')).not.toContain(token);
    expect(
      await vm.sh('journalctl --no-pager; cat /var/log/agent3/*; cat /etc/agent3/install.json; systemctl show agent3'),
    ).not.toContain(token);
    expect(await vm.sh('cat /proc/$(systemctl show -p MainPID --value agent3)/environ | tr "\\0" "\\n"')).not.toContain(
      token,
    );
    expect((await ask(vm, 'shell', { cmd: 'cat /etc/agent3/agent3.env' })).body['exit_code']).toBe(1);
  });

  test('run a second time changes nothing and says so', async () => {
    const once = await fileSystem(vm);
    const pid = await vm.sh('systemctl show -p MainPID agent3');
    expect(await vm.sh('/opt/bundle/ops/install')).toStartWith('Nothing to change');
    expect(await fileSystem(vm)).toBe(once);
    expect(await vm.sh('systemctl show -p MainPID agent3')).toBe(pid);
  });

  test('keeps settings and files that the owner has changed', async () => {
    await vm.sh(`sed -i 's/^#AGENT3_MAX_RUNNING=.*/AGENT3_MAX_RUNNING=7/' /etc/agent3/agent3.env
      echo '# my own line' >> /etc/logrotate.d/agent3`);
    const told = await vm.sh('/opt/bundle/ops/install --port 5005');
    expect(told).toContain('kept as you changed it: /etc/logrotate.d/agent3');
    expect(told).toContain('http://127.0.0.1:5005/');
    const settings = await vm.sh('cat /etc/agent3/agent3.env');
    expect(settings).toContain('\nAGENT3_MAX_RUNNING=7\n');
    expect(settings).toContain('\nAGENT3_PORT=5005\n');
    expect(await vm.sh('tail -n 1 /etc/logrotate.d/agent3')).toBe('# my own line\n');
    expect(await shellIn(vm, 'echo on the new port')).toBe('on the new port\n');
  }, 120_000);

  test('tells what is installed', async () => {
    const told = await vm.sh('agent3 status');
    expect(told).toContain('service    active, starts at boot, 0 commands running');
    expect(told).toContain('on http://127.0.0.1:5005/healthz');
  });

  test('has the agent up again after a reboot, with its sessions', async () => {
    const { body } = await ask(vm, 'shell', { cmd: 'echo before the reboot' });
    await vm.reboot();
    await answersWithin(vm, 60);
    const read = await ask(vm, 'read_session', { session: body['session'] });
    expect(read.body).toMatchObject({ stdout: 'before the reboot\n', status: 'done', exit_code: 0 });
  }, 300_000);

  test('as root hands over the whole machine, with a warning, and makes the user for reading', async () => {
    expect(await vm.sh('/opt/bundle/ops/install --user root')).toContain('WARNING: the agent runs as root');
    expect(await shellIn(vm, 'id -un; cat /proc/self/status | grep NoNewPrivs')).toBe('root\nNoNewPrivs:\t0\n');
    expect(await vm.sh('agent3 install')).toStartWith('Nothing to change');
    expect(await vm.sh('id -nG agent3-look; getent passwd agent3-look | cut -d: -f6-')).toBe(
      'agent3-look adm systemd-journal\n/nonexistent:/usr/sbin/nologin\n',
    );
    await vm.sh('gpasswd -d agent3-look adm; agent3 install');
    expect(await vm.sh('id -nG agent3-look')).toContain('adm');
    await vm.sh('agent3 install --user agent3');
    expect(await shellIn(vm, 'id -un; touch ~/mine && rm ~/mine && echo written')).toBe('agent3\nwritten\n');
  }, 180_000);

  test('keeps tokens, profiles, sessions and the record through every change of the user', async () => {
    const call = (secret: string, cmd: string): Promise<string> =>
      vm.sh(`. /etc/agent3/agent3.env
curl -s "http://127.0.0.1:$AGENT3_PORT/" -H 'X-Auth-Token: ${secret}' -d '{"op":"shell","args":{"cmd":"${cmd}"}}'`);
    await vm.sh(`echo 'extends = "full"' > /etc/agent3/profiles.d/mine.toml`);
    const secrets = [(await vm.sh('umask 077; agent3 token create one --profile mine')).trim()];
    const { body } = await ask(vm, 'shell', { cmd: 'echo kept' });
    for (const user of ['root', 'agent3', 'root', 'agent3']) {
      await vm.sh(`agent3 install --user ${user}`);
      // As an owner leaves them whose umask is strict.
      await vm.sh(`${CLOSE}; agent3 install`);
      secrets[0] = (await vm.sh('umask 077; agent3 token rotate one --overlap 0s')).trim();
      expect(await vm.sh("stat -c '%a %U:%G' /etc/agent3/tokens.json")).toBe(`640 root:${user}\n`);
      expect(JSON.parse(await call(secrets[0], 'id -un'))).toMatchObject({ stdout: `${user}\n` });
      expect((await ask(vm, 'read_session', { session: body['session'] })).body).toMatchObject({ stdout: 'kept\n' });
      expect((await vm.run('agent3 audit verify')).code).toBe(0);
      await vm.sh(CLOSE);
    }
    await vm.sh('agent3 token revoke one; rm /etc/agent3/profiles.d/mine.toml');
  }, 400_000);

  test('is called from its own server without a word of where it is, by root alone', async () => {
    expect(await vm.sh("agent3 exec 'echo here; exit 3'; echo $?")).toBe('here\n3\n');
    const { code, stderr } = await vm.run(
      'setpriv --reuid=65534 --regid=65534 --clear-groups /usr/local/bin/agent3 exec true',
    );
    expect({ code, stderr }).toEqual({ code: 255, stderr: expect.stringContaining('run it as root') });
    // Another agent does not get the token of this one.
    expect((await vm.run('agent3 exec --url http://127.0.0.1:5005 true')).stderr).toContain('no token');
  }, 180_000);

  test('lets all commands read the logs with --look-logs only, and takes that away again', async () => {
    const reads = 'journalctl -n 1 -q --no-pager > /dev/null 2>&1 && echo reads || echo closed';
    expect(await shellIn(vm, reads)).toBe('closed\n');
    expect(await vm.sh('agent3 install --look-logs')).toContain('every command of the agent can now read the logs');
    expect(await shellIn(vm, reads)).toBe('reads\n');
    expect(await vm.sh('agent3 install')).toStartWith('Nothing to change');
    expect(await vm.sh('agent3 install --no-look-logs')).toContain('can no longer read the logs of this machine');
    expect(await shellIn(vm, reads)).toBe('closed\n');
    // One that was there before stays.
    await vm.sh('gpasswd -a agent3 adm; agent3 install --look-logs; agent3 uninstall');
    expect(await vm.sh('id -nG agent3')).toBe('agent3 adm\n');
    await vm.sh('gpasswd -d agent3 adm; /opt/bundle/ops/install');
    expect((await vm.run('agent3 install --user root --look-logs')).stderr).toContain('for an agent with its own user');
  }, 240_000);

  test('leaves a user of somebody else alone who has the name of the one for reading', async () => {
    await vm.sh('getent passwd agent3-look && userdel agent3-look; useradd --system --comment mine agent3-look');
    expect(await vm.sh('agent3 install --user root')).toContain('the user agent3-look was not made by Agent3');
    expect(await vm.sh('id -nG agent3-look')).toBe('agent3-look\n');
    await vm.sh('agent3 install --user agent3; userdel agent3-look; agent3 install --user root');
    expect(await vm.sh('id -nG agent3-look')).toBe('agent3-look adm systemd-journal\n');
    await vm.sh('agent3 install --user agent3');
  }, 240_000);

  test('uninstalls, and keeps settings and sessions', async () => {
    expect(await vm.sh('agent3 uninstall')).toContain('Settings, sessions and logs are kept');
    expect((await vm.run('systemctl is-active agent3 agent3-watchdog.timer')).stdout).toBe('inactive\ninactive\n');
    expect(await vm.sh('ls /etc/agent3/agent3.env; ls /var/lib/agent3/sessions | wc -l')).not.toContain(' 0');
    expect((await vm.run('ls /usr/local/bin/agent3 /etc/systemd/system/agent3*')).stdout).toBe('');
  });

  test('takes up again what an uninstalled agent has left', async () => {
    const told = await vm.sh('/opt/bundle/ops/install');
    expect(told).toContain('Token     in /etc/agent3/agent3.env');
    expect(told).toContain(':5005/');
  }, 120_000);

  test('without timers has the watchdog run from cron, and back', async () => {
    await vm.sh('systemctl stop timers.target');
    expect(await vm.sh('agent3 install')).toContain('cron runs the watchdog (/etc/cron.d/agent3-watchdog)');
    const command = (await vm.sh("sed -n 's/.* root //p' /etc/cron.d/agent3-watchdog")).trim();
    expect(await vm.sh(`env -i PATH=/usr/bin:/bin ${command}; tail -n 1 /var/log/agent3/watchdog.log`)).toEndWith(
      ' - Agent3 running OK\n',
    );
    await vm.sh('systemctl start timers.target; agent3 install');
    expect((await vm.run('ls /etc/cron.d/agent3-watchdog')).code).not.toBe(0);
    expect(await vm.sh('systemctl is-active agent3-watchdog.timer')).toBe('active\n');
  }, 120_000);

  test('with --no-start and --no-watchdog starts nothing', async () => {
    await vm.sh('agent3 uninstall');
    expect(await vm.sh('/opt/bundle/ops/install --no-start --no-watchdog')).toContain(
      'start it with: systemctl start agent3',
    );
    expect((await vm.run('systemctl is-active agent3 agent3-watchdog.timer')).stdout).toBe('inactive\ninactive\n');
    await vm.sh('agent3 install --no-start --watchdog');
    expect((await vm.run('systemctl is-active agent3 agent3-watchdog.timer')).stdout).toBe('inactive\ninactive\n');
    await vm.sh('agent3 install');
    expect(await vm.sh('systemctl is-active agent3 agent3-watchdog.timer')).toBe('active\nactive\n');
  }, 120_000);

  test('with --purge leaves nothing behind', async () => {
    await vm.sh(
      'mkdir /var/lib/agent3/mnt /run/kept; touch /run/kept/mine; mount --bind /run/kept /var/lib/agent3/mnt',
    );
    const told = await vm.sh('agent3 uninstall --purge');
    // What was mounted there is somebody else's.
    expect(await vm.sh('ls /run/kept')).toBe('mine\n');
    expect(told).toMatch(
      /still have the number of the removed user: agent3 \(\d+\), agent3-look \(\d+\), agent3-console \(\d+\)/,
    );
    expect(told).toMatch(/find \/ -xdev -uid \d+ -o -uid \d+/);
    expect(await fileSystem(vm)).toBe(before);
    expect(await vm.sh('cat /etc/passwd /etc/group')).toBe(users);
    expect(await vm.sh(STATE)).toBe(state);
    expect((await vm.run('systemctl status agent3')).code).toBe(4);
    expect(await vm.sh('systemctl is-system-running')).toBe('running\n');
  });
});
