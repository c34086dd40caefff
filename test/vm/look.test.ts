import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { hasEscaped, INTERNET, LEASES, SET_ID, SHARED, SOCKETS, saidBy, tryAll, WATCHES } from '../helpers/attempts.ts';
import { compiled } from '../helpers/compiled.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { ensureImage } from './harness/image.ts';
import { answersWithin, ask } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** What `look` must not get done, and a look from outside whose output may not change by it. */
type Attempt = readonly [what: string, cmd: string, state: string];

const LINGER = 'ls -A /var/lib/systemd/linger 2> /dev/null';
const UNITS =
  'systemctl list-units --all --plain --no-legend --type=service,scope,slice,socket,timer | grep -v vm-runner';
/** What begins or ends by itself would look like a change. */
const QUIET =
  'systemctl stop agent3-watchdog.timer agent3-watchdog.service systemd-timedated.service systemd-hostnamed.service systemd-localed.service';
const DATABASE = 'cat /var/lib/database/heard 2> /dev/null';
const SYSTEMD = 'org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager';
const DRIVER = 'org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus';

/** Connects a stream to a path or, with @, to an abstract name, by an address as long as that of the bus. */
const connect = (name: string, padding: string): string =>
  `perl -MSocket -e 'my ($bus) = $ENV{DBUS_SYSTEM_BUS_ADDRESS} =~ /path=(.*)/; my $name = "${name}"; $name =~ s/^\\@/\\0/; ` +
  `for my $more (0, 1) { my $at = $name; my $left = length($bus) + $more - length($at); $at = ${padding}; ` +
  `socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!"; ` +
  `connect($s, pack("S", AF_UNIX) . $at) or (warn("connect: $!"), next); syswrite($s, "ESCAPED"); print "ESCAPED" }'`;

const ATTEMPTS: readonly Attempt[] = [
  ['loginctl enable-linger', 'loginctl enable-linger; loginctl enable-linger root', LINGER],
  [
    'busctl call for lingering',
    `busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager SetUserLinger ubb $(id -u) true false`,
    LINGER,
  ],
  [
    'systemd-inhibit',
    'timeout 5 systemd-inhibit --mode=delay --what=shutdown:sleep sleep 3; timeout 5 systemd-inhibit --what=idle sleep 3',
    'systemd-inhibit --list --no-legend; ls /run/systemd/inhibit 2> /dev/null',
  ],
  ['hostnamectl', 'hostnamectl set-hostname escaped; hostnamectl', `hostname; cat /etc/hostname; ${UNITS}`],
  ['timedatectl', 'timedatectl set-timezone Asia/Tokyo; timedatectl set-ntp true', `readlink /etc/localtime; ${UNITS}`],
  ['systemctl stop and start', 'systemctl stop cron; systemctl restart vm-database; systemctl start caddy', UNITS],
  ['systemctl kill', 'systemctl kill cron', UNITS],
  [
    'systemctl enable, mask and set-property',
    'systemctl disable cron; systemctl mask cron; systemctl set-property cron CPUWeight=1',
    'ls -R /etc/systemd',
  ],
  [
    'systemctl daemon-reload and reexec',
    'systemctl daemon-reload; systemctl daemon-reexec; systemctl reset-failed',
    UNITS,
  ],
  [
    'systemd-run',
    'systemd-run --collect touch /srv/escaped; systemd-run --user true; systemd-run --scope sleep 20',
    `ls /srv; ${UNITS}`,
  ],
  [
    'busctl call of systemd',
    `busctl call ${SYSTEMD} StopUnit ss cron.service replace; busctl call ${SYSTEMD} Reload; busctl call ${SYSTEMD} Subscribe; busctl call ${SYSTEMD} SetEnvironment as 1 ESCAPED=1`,
    `systemctl show-environment; ${UNITS}`,
  ],
  [
    'busctl set-property',
    'busctl set-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager LogLevel s debug',
    'systemctl log-level',
  ],
  [
    'busctl call of the bus',
    `busctl call ${DRIVER} StartServiceByName su org.freedesktop.hostname1 0; busctl call ${DRIVER} ReloadConfig; busctl call ${DRIVER} RequestName su org.escaped 0`,
    UNITS,
  ],
  ['busctl emit and monitor', 'busctl emit / org.escaped Escaped; timeout 3 busctl monitor | head -c 100', UNITS],
  ['pkexec and polkit', 'pkexec true; pkcheck --action-id org.freedesktop.login1.reboot --process $$', UNITS],
  [
    'journalctl that changes',
    'journalctl --rotate; journalctl --vacuum-size=1; journalctl --flush',
    'ls /var/log/journal/*',
  ],
  [
    'the database, by its path',
    `perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un("/var/lib/database/stream")) and syswrite(S, "ESCAPED") and print "ESCAPED"'`,
    DATABASE,
  ],
  [
    'the database, by a path as long as that of the bus',
    connect('/var/lib/database/stream', '"/" x $left . $at'),
    DATABASE,
  ],
  ['the database, by a path with NUL behind', connect('/var/lib/database/stream', '$at . "\\0" x $left'), DATABASE],
  [
    'the database, by a link',
    `ln -s /var/lib/database/stream /tmp/s; ${connect('/tmp/s', '"/" x $left . $at')}`,
    DATABASE,
  ],
  [
    'a datagram to the database',
    `perl -MSocket -e 'socket(S, PF_UNIX, SOCK_DGRAM, 0) and send(S, "ESCAPED", 0, pack_sockaddr_un("/var/lib/database/datagram"))'`,
    DATABASE,
  ],
  [
    'a packet to the database',
    `perl -MSocket -e 'socket(S, PF_UNIX, SOCK_SEQPACKET, 0) and connect(S, pack_sockaddr_un("/var/lib/database/packets")) and send(S, "ESCAPED", 0)'`,
    DATABASE,
  ],
  [
    'a pair that is led to the database',
    `perl -MSocket -e 'socketpair(S, T, PF_UNIX, SOCK_DGRAM, 0) and send(S, "ESCAPED", 0, pack_sockaddr_un("/var/lib/database/datagram"))'`,
    DATABASE,
  ],
  [
    'an abstract socket',
    `perl -MSocket -e 'for my $n (60 .. 101) { socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; connect($s, pack("S", AF_UNIX) . "\\0" . "x" x ($n - 3)) and print "ESCAPED" }'`,
    'cat /srv/abstract',
  ],
  ['the private socket of systemd', connect('/run/systemd/private', '"/" x $left . $at'), UNITS],
  ['the network', 'curl -sS -m 3 http://127.0.0.1:5000/healthz && echo ESCAPED', UNITS],
  [
    'a socket that listens',
    `perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un("/tmp/l")); listen(S, 1) and print "ESCAPED"; socket(U, PF_UNIX, SOCK_STREAM, 0); bind(U, pack("S", AF_UNIX) . "\\0agent3-look-listens"); listen(U, 1) and print "ESCAPED"'`,
    'grep -c agent3-look-listens /proc/net/unix',
  ],
  [
    'the manager and the bus of its own user',
    `own=run/user/$(id -u); for root in '' /proc/[0-9]*/root/; do [ -e "$root/$own/bus" ] && echo ESCAPED; done; ` +
      `export XDG_RUNTIME_DIR=/$own; systemctl --user set-environment ESCAPED=1; ` +
      `busctl --user --timeout=3 emit / org.escaped Escaped; systemd-run --user touch /srv/heard/escaped`,
    'ls /srv/heard',
  ],
  [
    'a process that stays',
    '(setsid sleep 4711 &) ; (systemd-run --user sleep 4711 &)',
    'pgrep -fc "[s]leep 4711" | grep -v 1',
  ],
];

/** What `look` shows, and what of it must be there. */
const READS: readonly (readonly [cmd: string, shows: RegExp])[] = [
  ['systemctl status vm-database', /Active: active \(running\)[\s\S]*Main PID: \d+/],
  ['systemctl status --no-pager | head -5', /State: /],
  ['systemctl list-units --no-pager', /agent3\.service\s+loaded active running/],
  ['systemctl is-active cron', /^active\n$/],
  ['systemctl is-enabled cron', /^enabled\n$/],
  ['systemctl list-timers --all', /agent3-watchdog\.timer/],
  ['systemctl list-unit-files cron.service', /cron\.service\s+enabled/],
  ['systemctl cat cron', /ExecStart=/],
  ['systemctl show cron -p MainPID', /MainPID=[1-9]/],
  ['systemctl --failed', /loaded units listed|UNIT/],
  ['journalctl -u agent3 -n 20 --no-pager', /Agent3|agent3/],
  ['ps -e', /systemd\n[\s\S]*agent3\n/],
  [
    'for i in 1 2 3; do ps -o pid=,comm= -p 1; done; ps aux | grep -c cron',
    /^ *1 systemd\n *1 systemd\n *1 systemd\n[1-9]/,
  ],
  ['ss -tln', /127\.0\.0\.1:5000/],
  ['ip -br address', /^lo .*127\.0\.0\.1/m],
  ['df -h /', /Mounted on/],
  ['free -m', /Mem:/],
];

describeVm('look, of an agent that runs as root, with D-Bus, buses of users and polkit', () => {
  let vm: Vm;
  beforeAll(async () => {
    using built = new TemporaryDirectory();
    compiled('attempt', built.join('attempt'));
    const packages = { '/opt/packages.tar': ensureImage('bookworm').packages };
    vm = await bootVm({ needs: 'container', files: { ...BUNDLE, ...packages, '/srv/attempt': built.join('attempt') } });
    await vm.sh(`set -e; tar -xf /opt/packages.tar -C /; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq dbus-user-session > /dev/null
/opt/bundle/ops/install --user root
chmod 755 /srv/attempt; mkdir -m 777 /srv/heard; echo kept > /srv/heard/file
systemd-run --quiet --unit=hears --uid=visitor sh -c 'exec /srv/attempt serve /srv/heard hears > /srv/heard/log'
cat > /srv/abstract.pl <<'END'
use Socket; open(my $heard, '>', '/srv/abstract'); $heard->autoflush(1); my %s; my $all = '';
# As long as every path to the bus may be, but for the longest.
for my $n (60 .. 99) { socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, pack("S", AF_UNIX) . "\\0" . "x" x ($n - 3)) or die; listen($s, 9); $s{fileno $s} = $s; vec($all, fileno($s), 1) = 1 }
while (select(my $r = $all, undef, undef, undef)) { for (keys %s) { vec($r, $_, 1) and accept(my $c, $s{$_}) and print $heard "heard\\n" } }
END
systemd-run --quiet --unit=abstract perl -MIO::Handle /srv/abstract.pl`);
    await answersWithin(vm, 60);
    await vm.sh(QUIET);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  const look = async (cmd: string) => (await ask(vm, 'look', { cmd, timeout: 30 })).body;

  const calls = [...SET_ID, ...SOCKETS, ...LEASES, ...SHARED, ...WATCHES, ...INTERNET];
  /** What of the single calls was done that another program could take harm from. */
  const escaped = async (): Promise<string[]> => {
    const done: string[] = [];
    for (let at = 0; at < calls.length; at += 40) {
      const some = calls.slice(at, at + 40);
      const answer = await look(`export A=/srv/attempt O=/srv/heard N=hears; ${tryAll(some, '/tmp')}`);
      expect(answer).toMatchObject({ status: 'done', truncated: false });
      const said = saidBy(some, String(answer['stdout']));
      done.push(...some.flatMap(([what]) => (hasEscaped(what, said.get(what)) ? [what] : [])));
    }
    return done;
  };

  test('makes no single call that another program could take harm from', async () => {
    expect(await escaped()).toEqual([]);
    expect(await vm.sh('cat /srv/heard/log; find /srv -xdev -perm /6000 -type f')).toBe('serving\n');
  }, 300_000);

  test('lacks nothing', async () => {
    expect((await ask(vm, 'server_info', {})).body['look']).toBeUndefined();
    expect(await vm.sh('agent3 doctor | grep " look "')).toContain('runs as agent3-look, with services');
  });

  test.each([...READS])('shows %s', async (cmd, shows) => {
    const { stdout, stderr } = await look(cmd);
    expect({ stdout, stderr }).toEqual({ stdout: expect.stringMatching(shows), stderr: expect.any(String) });
  });

  describe('gets not done:', () => {
    test.each([...ATTEMPTS])('%s', async (_, cmd, state) => {
      const before = (await vm.run(state)).stdout;
      const answer = await look(cmd);
      expect(answer).toHaveProperty('exit_code');
      expect(answer['stdout']).not.toContain('ESCAPED');
      if (answer['session'] !== undefined) await ask(vm, 'close_session', { session: answer['session'] });
      expect((await vm.run(state)).stdout).toBe(before);
    });
  });

  test('the same can be done by root, so that it says something when it is not', async () => {
    expect(
      await vm.sh('loginctl enable-linger visitor; ls /var/lib/systemd/linger; loginctl disable-linger visitor'),
    ).toBe('visitor\n');
    // Without the policy, polkit allows it to everybody.
    expect(
      await vm.sh(
        'setpriv --reuid=visitor --regid=visitor --init-groups systemd-inhibit --mode=delay --what=shutdown echo held',
      ),
    ).toBe('held\n');
    expect(
      await vm.sh(
        `setpriv --reuid=visitor --regid=visitor --init-groups perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un("/var/lib/database/stream")) and print "reached"'`,
      ),
    ).toBe('reached');
  });

  test('a database that listens at another place is hidden from the next command', async () => {
    await vm.sh(
      `mkdir -p /var/lib/later; chmod 755 /var/lib/later; cd /var/lib/later; systemd-run --quiet --unit=later --working-directory=/var/lib/later perl -MSocket -e 'umask 0; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un("relative")) or die; listen(S, 9); sleep 1000'`,
    );
    await vm.until('test -S /var/lib/later/relative', 30);
    const answer = await look(connect('/var/lib/later/relative', '"/" x $left . $at'));
    expect(answer).toMatchObject({ stdout: '', stderr: expect.stringContaining('connect: ') });
    expect((await look('systemctl is-active cron'))['stdout']).toBe('active\n');
    await vm.sh('systemctl stop later; rm -r /var/lib/later');
  });

  test('without the policy there is no bus, and it says so', async () => {
    await vm.sh('mv /etc/dbus-1/system.d/agent3-look.conf /root/; systemctl reload dbus');
    const answer = await look('systemctl status cron; loginctl enable-linger');
    expect(answer).toMatchObject({ message: expect.stringContaining('does not show services') });
    expect((await ask(vm, 'server_info', {})).body['look']).toContain('agent3-look.conf');
    expect(await vm.sh('agent3 doctor | grep -A1 " look "')).toContain('agent3 install');
    // A file that does not count is no policy.
    await vm.sh('cp /dev/null /etc/dbus-1/system.d/agent3-look.conf');
    expect(await look('systemctl status cron')).toMatchObject({
      message: expect.stringContaining('does not show services'),
    });
    await vm.sh('mv /root/agent3-look.conf /etc/dbus-1/system.d/; systemctl reload dbus');
    await vm.until(
      `. /etc/agent3/agent3.env; curl -s -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d '{"cmd":"systemctl is-active cron"}' 127.0.0.1:5000/look | grep -q '"active'`,
      60,
    );
  });

  test('a command of a profile with another user has no bus', async () => {
    await vm.sh(
      `printf 'extends = "full"\\nuser = "visitor"\\n' > /etc/agent3/profiles.d/visitor.toml; agent3 token create visitor --profile visitor > /root/visitor 2> /dev/null`,
    );
    const said = await vm.sh(
      `curl -s -H "X-Auth-Token: $(cat /root/visitor)" -d '{"cmd":"id -un; loginctl enable-linger; systemctl is-active cron"}' 127.0.0.1:5000/look`,
    );
    expect(said).toContain('visitor\\n');
    expect(said).toContain('does not show services');
    expect((await vm.run(LINGER)).stdout).toBe('');
  });

  test('an agent with a user of its own has it without services', async () => {
    await vm.sh('/opt/bundle/ops/install --user agent3; test ! -e /etc/dbus-1/system.d/agent3-look.conf');
    await vm.sh(QUIET);
    // Outside of the sandbox, the manager of the same user starts what it is told to.
    await vm.sh('loginctl enable-linger agent3');
    await vm.until('test -S /run/user/$(id -u agent3)/bus', 60);
    await vm.sh(
      'XDG_RUNTIME_DIR=/run/user/$(id -u agent3) setpriv --reuid=agent3 --regid=agent3 --init-groups systemd-run --user --wait touch /srv/heard/started; rm /srv/heard/started',
    );
    const answer = await look('id -un; ps -e | grep -c systemd; ss -tln; systemctl status cron');
    expect(answer).toMatchObject({
      stdout: expect.stringMatching(/^agent3\n[1-9][\s\S]*127\.0\.0\.1:5000/),
      message: expect.stringContaining('does not show services'),
    });
    for (const [what, cmd, state] of ATTEMPTS) {
      const before = (await vm.run(state)).stdout;
      const { stdout, session } = await look(cmd);
      if (session !== undefined) await ask(vm, 'close_session', { session });
      const after = (await vm.run(state)).stdout;
      expect({ what, stdout, after }).toEqual({ what, stdout: expect.not.stringContaining('ESCAPED'), after: before });
    }
    expect(await escaped()).toEqual([]);
    expect(await vm.sh('cat /srv/heard/log; find /srv -xdev -perm /6000 -type f')).toBe('serving\n');
    await vm.sh('loginctl disable-linger agent3; /opt/bundle/ops/install --user root');
    expect((await look('systemctl is-active cron'))['stdout']).toBe('active\n');
  }, 300_000);

  test('the removal takes the policy away, and the purge the user', async () => {
    await vm.sh('agent3 uninstall');
    expect((await vm.run('ls /etc/dbus-1/system.d/ | grep agent3')).stdout).toBe('');
    await vm.sh('/opt/bundle/ops/install --user root; agent3 uninstall --purge');
    expect((await vm.run('ls /etc/dbus-1/system.d/ | grep agent3; getent passwd agent3-look')).stdout).toBe('');
  });
});
