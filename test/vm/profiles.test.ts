import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { hasEscaped, LEASES, SET_ID, SOCKETS, saidBy, tryAll, WATCHES } from '../helpers/attempts.ts';
import { compiled } from '../helpers/compiled.ts';
import { ensurePrograms } from '../helpers/debian.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { answerIn, answersWithin, requestScript } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** What a command in a sandbox must not get done, and a look from outside that shows whether it did. */
type Attempt = readonly [what: string, cmd: string, done?: string];

/** Prints ESCAPED when a command succeeds. */
const succeeds = (cmd: string): string => `if ( ${cmd} ) > /tmp/out 2>&1; then echo ESCAPED; fi`;
/** Prints ESCAPED when a command prints something that matches. */
const shows = (cmd: string, pattern: string): string =>
  `( ${cmd} ) 2> /dev/null | grep -aq -e '${pattern}' && echo ESCAPED; true`;
const python = (text: string): string => succeeds(`python3 -c '${text}'`);

const ATTEMPTS: readonly Attempt[] = [
  ['write to /etc', 'echo x > /etc/escaped', 'test -e /etc/escaped'],
  ['write to the home', 'echo x > ~/escaped; echo x > /root/escaped', 'test -e /root/escaped'],
  ['write to /tmp of the machine', 'echo x > /tmp/escaped', 'test -e /tmp/escaped'],
  ['write to /var/tmp of the machine', 'echo x > /var/tmp/escaped', 'test -e /var/tmp/escaped'],
  ['write to /run of the machine', 'echo x > /run/escaped', 'test -e /run/escaped'],
  ['write to /dev/shm of the machine', 'echo x > /dev/shm/escaped', 'test -e /dev/shm/escaped'],
  [
    'change the devices of the machine',
    'chmod 600 /dev/null; rm -f /dev/null /dev/zero; mknod /dev/disk b 254 0; touch /dev/escaped',
    'test "$(stat -c %a /dev/null)" != 666 || test -e /dev/escaped || test -b /dev/disk || ! test -e /dev/zero',
  ],
  ['write to a file that all may write to', 'echo escaped >> /srv/open', 'grep -q escaped /srv/open'],
  ['write through an open directory', 'cd /srv/drop && touch escaped', 'test -e /srv/drop/escaped'],
  [
    'write through /proc/1/root',
    'echo x > /proc/1/root/etc/escaped; touch /proc/self/root/etc/escaped',
    'test -e /etc/escaped',
  ],
  ['write through /proc/self/cwd', 'cd /etc; touch /proc/self/cwd/escaped', 'test -e /etc/escaped'],
  [
    'write through its own output',
    'ls -l /proc/self/fd/; echo x > "$(readlink /proc/self/fd/1 | sed s,[^/]*$,escaped,)"',
    'ls /var/lib/agent3/sessions/*/escaped',
  ],
  ['change modes', succeeds('chmod 777 /srv/open')],
  ['change times', succeeds('touch -d 2001-01-01 /srv/open')],
  ['set an extended attribute', python('import os; os.setxattr("/srv/open", "user.x", b"1")')],
  ['remove', succeeds('rm -f /srv/open'), '! test -e /srv/open'],
  ['rename', succeeds('mv /srv/open /srv/moved')],
  ['make a hard link', succeeds('ln /srv/open /srv/link')],
  ['make a device', succeeds('mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk')],
  ['read a disk', succeeds('cat /dev/vda /dev/sda | head -c 512 | grep -q .')],
  ['remount as writable', succeeds('mount -o remount,rw / ')],
  ['mount over', succeeds('mount -t tmpfs none /mnt')],
  ['bind the root elsewhere', succeeds('mount --bind / /mnt')],
  ['unmount what hides', succeeds('umount /etc/agent3 || umount -l /run')],
  ['make a user namespace', succeeds('unshare -U true')],
  ['make a mount namespace', succeeds('unshare -m true')],
  ['make a namespace by clone', python('import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)')],
  ['make a sandbox in the sandbox', succeeds('bwrap --bind / / true')],
  ['enter the namespaces of process 1', succeeds('nsenter -t 1 -m true')],
  ['change root', succeeds('chroot / true')],
  [
    'set the host name of the machine',
    'hostname escaped; echo escaped > /proc/sys/kernel/hostname',
    'test "$(hostname)" = escaped',
  ],
  [
    'change a kernel setting',
    succeeds(
      'echo 1 > /proc/sys/vm/drop_caches || echo 2 > /proc/sys/vm/overcommit_memory || sysctl -w vm.swappiness=1',
    ),
  ],
  ['use sysrq', succeeds('echo h > /proc/sysrq-trigger')],
  [
    'write to /sys',
    succeeds('echo mem > /sys/power/state || touch /sys/fs/cgroup/escaped || mkdir /sys/fs/cgroup/escaped'),
  ],
  [
    'leave its cgroup',
    succeeds('for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo $$ > $f && exit 0; done; exit 1'),
  ],
  ['read the settings of the agent', shows('cat /etc/agent3/agent3.env', 'TOKEN')],
  ['read the tokens', shows('cat /etc/agent3/tokens.json', 'sha256')],
  [
    'read the settings through /proc',
    shows('cat /proc/1/root/etc/agent3/agent3.env /proc/self/root/etc/agent3/agent3.env', 'TOKEN'),
  ],
  ['read the environment of the agent', shows('cat /proc/*/environ', 'AGENT3_API_TOKEN')],
  ['read /etc/shadow', shows('cat /etc/shadow /etc/shadow- /proc/self/root/etc/shadow', '^root:')],
  ['read /etc/gshadow', shows('cat /etc/gshadow', ':')],
  [
    'read the private keys of ssh',
    shows('cat /etc/ssh/ssh_host_test_key /root/.ssh/id_test /home/*/.ssh/id_test', 'PRIVATE'),
  ],
  ['read the private keys of TLS', shows('cat /etc/ssl/private/*', 'PRIVATE')],
  ['read a hidden file by a link', shows('ln -s /home/owner/.ssh/id_test /tmp/l; cat /tmp/l', 'PRIVATE')],
  ['read the sessions of others', shows('cat /var/lib/agent3/sessions/*/stdout', 'SECRET-OF-ANOTHER')],
  ['read the logs of the agent', shows('cat /var/log/agent3/*', 'msg')],
  ['see the processes of the machine', shows('ps ax', '[a]gent3 serve')],
  [
    'trace the agent',
    succeeds(
      'gdb -p 1 || python3 -c "import ctypes,os,sys; sys.exit(ctypes.CDLL(None).ptrace(16, int(os.environ[\\"AGENT\\"]), 0, 0) != 0)"',
    ),
  ],
  ['kill the agent', 'kill -9 -1; kill -9 $AGENT', '! systemctl is-active --quiet agent3'],
  ['ask systemd', succeeds('systemctl is-active agent3')],
  [
    'ask systemd by its private socket',
    python('import socket; socket.socket(socket.AF_UNIX).connect("/run/systemd/private")'),
  ],
  [
    'ask D-Bus',
    succeeds(
      'dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames || busctl list',
    ),
  ],
  [
    'use the socket of a daemon in /run',
    python('import socket; socket.socket(socket.AF_UNIX).connect("/run/docker.sock")'),
  ],
  [
    'use the socket of a daemon elsewhere',
    python('import socket; socket.socket(socket.AF_UNIX).connect("/srv/daemon.sock")'),
  ],
  ['use an abstract socket', python('import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + "daemon")')],
  ['write to the log of the system', 'logger escaped-by-logger', 'journalctl -q --grep escaped-by-logger | grep -q .'],
  ['use the network by IPv4', succeeds('curl -s -m 3 http://127.0.0.1:5000/healthz')],
  [
    'use the network by a name',
    succeeds('curl -s -m 3 http://localhost:5000/healthz || curl -s -m 3 http://deb.debian.org/'),
  ],
  ['use the network by IPv6', python('import socket; socket.create_connection(("::1", 5000), 2)')],
  [
    'send a datagram',
    python('import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("10.0.2.2", 53))'),
  ],
  ['open a raw socket', python('import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)')],
  ['open a packet socket', python('import socket; socket.socket(17, 3, 0)')],
  [
    'open a socket of another family',
    `${python('import socket; socket.socket(40, 1)')}; ${python('import socket; socket.socket(38, 5)')}`,
  ],
  [
    'use io_uring',
    python(
      'import ctypes, sys; b = ctypes.create_string_buffer(120); sys.exit(ctypes.CDLL(None).syscall(425, 1, b) < 0)',
    ),
  ],
  [
    'keep a key in the keyring',
    python('import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(248, b"user", b"a", b"b", 1, -3) < 0)'),
  ],
  ['load a BPF program', python('import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(321, 0, 0, 0) < 0 and True)')],
  [
    'become root by a setuid program',
    shows(`su -c true; sudo -n true; /srv/suid -p -c "grep CapEff /proc/self/status"`, '[1-9a-f]$'),
  ],
  ['get capabilities', shows('grep CapEff /proc/self/status', '[1-9a-f]$')],
  ['get new privileges', shows('grep NoNewPrivs /proc/self/status', '0$')],
  ['load a kernel module', succeeds('modprobe dummy || insmod /tmp/x.ko')],
  ['reboot', succeeds('reboot -f'), 'false'],
  ['set the clock', succeeds('date -s 2001-01-01')],
  ['read the messages of the kernel', succeeds('dmesg | grep -q .')],
];

/** Of those, what takes from the commands behind it in the same sandbox what they need. */
const ALONE = new Set(['change the devices of the machine', 'kill the agent']);

/** Variables that a client sends and that must not reach the programs which make the sandbox. */
const VARIABLES: readonly (readonly [name: string, value: string])[] = [
  ['LD_PRELOAD', '/srv/hostile.so'],
  ['LD_AUDIT', '/srv/hostile.so'],
  ['LD_LIBRARY_PATH', '/srv/hostile'],
  ['PATH', '/srv/hostile:/usr/bin:/bin'],
  ['BASH_ENV', '/srv/hostile/script'],
  ['ENV', '/srv/hostile/script'],
  ['GCONV_PATH', '/srv/hostile'],
  ['IFS', '/'],
];

describeVm('the profile readonly', () => {
  let vm: Vm;
  beforeAll(async () => {
    using built = new TemporaryDirectory();
    ensurePrograms('gcc');
    compiled('attempt', built.join('attempt'));
    vm = await bootVm({ isInstalled: true, files: { '/srv/attempt': built.join('attempt') } });
    await vm.sh(`systemctl stop agent3-watchdog.timer agent3-watchdog.service
useradd -m owner
umask 022
echo kept > /srv/open; chmod 666 /srv/open; mkdir -m 1777 /srv/drop
mkdir -p /home/owner/.ssh /root/.ssh; chmod 755 /home/owner /home/owner/.ssh
for f in /etc/ssh/ssh_host_test_key /root/.ssh/id_test /home/owner/.ssh/id_test /etc/ssl/private/test.key; do echo PRIVATE > $f; chmod 644 $f; done
cp /bin/bash /srv/suid; chmod 4755 /srv/suid
chmod 755 /srv/attempt; mkdir -m 777 /srv/heard; echo kept > /srv/heard/file
systemd-run --quiet --unit=hears --uid=owner sh -c 'exec /srv/attempt serve /srv/heard hears > /srv/heard/log'
mkdir /srv/hostile; echo 'touch /srv/drop/escaped' > /srv/hostile/script
for program in bwrap chroot prlimit sh bash cat; do printf '#!/bin/sh\ntouch /srv/drop/escaped\n' > /srv/hostile/$program; done
chmod 755 /srv/hostile/*
printf 'not a library' > /srv/hostile.so
systemd-run --quiet --unit=daemons python3 -c 'import socket, time, os
for a in ("/srv/daemon.sock", "/run/docker.sock", chr(0) + "daemon"):
  s = socket.socket(socket.AF_UNIX); s.bind(a); s.listen(); globals()[a] = s
os.chmod("/srv/daemon.sock", 0o777); os.chmod("/run/docker.sock", 0o777)
time.sleep(9999)'`);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  describe.each([['agent3'], ['root']])('of an agent that runs as %s', (user) => {
    let token = '';
    let agent = '';
    /** Calls as the token, then runs `after`; the answer, and what `after` ended with. */
    const call = async (cmd: string, after = 'true', more: object = {}): Promise<Record<string, unknown>> => {
      const body = JSON.stringify({ op: 'shell', args: { cmd, env: { AGENT: agent }, timeout: 20, ...more } });
      const text = await vm.sh(`${requestScript(token, body)}
( ${after} ) > /dev/null 2>&1; code=$?; echo; echo $code`);
      const end = text.trimEnd().lastIndexOf('\n');
      return { ...answerIn(text.slice(0, end)).body, after: Number(text.slice(end)) };
    };

    beforeAll(async () => {
      if (user === 'root') await vm.sh('/opt/bundle/ops/install --user root');
      await answersWithin(vm, 60);
      token = (await vm.sh(`agent3 token create looker-${user} --profile readonly`)).trim();
      agent = (await vm.sh('systemctl show -p MainPID --value agent3')).trim();
      await vm.sh(
        `. /etc/agent3/agent3.env; sleep 1; curl -s -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d '{"cmd":"echo SECRET-OF-ANOTHER"}' http://127.0.0.1:5000/shell`,
      );
    });

    test('runs commands that look', async () => {
      const answer = await call(
        'id -un; ls /etc/passwd; cat /srv/open; df / | tail -1; free | head -1; wc -l < /proc/cpuinfo; exit 3',
      );
      expect(answer).toMatchObject({ status: 'done', exit_code: 3, stderr: '' });
      expect(answer['stdout']).toContain(`${user === 'root' ? 'agent3-look' : user}\n/etc/passwd\nkept\n`);
    });

    // Attempts below throw their errors away by /dev/null: without it none of them would be made.
    test('has the devices that every program uses', async () => {
      const cmd = 'set -e; echo gone > /dev/null; echo x | xargs echo; head -c 2 /dev/urandom | wc -c; cat < /dev/null';
      expect(await call(cmd)).toMatchObject({ stdout: 'x\n2\n', stderr: '', exit_code: 0 });
    });

    test('has a /tmp of its own, and a terminal where one is asked for', async () => {
      expect(await call('echo x > /tmp/a; cat /tmp/a')).toMatchObject({ stdout: 'x\n', exit_code: 0 });
    });

    test.each(VARIABLES)('is not got round by %s=%s', async (name, value) => {
      const more = { env: { [name]: value } };
      const answer = await call('id; touch /srv/drop/escaped', 'sleep 0.5; test -e /srv/drop/escaped', more);
      expect(answer).toMatchObject({ session: expect.any(String), after: 1 });
      // The linker reports a library that it cannot load in whatever program it is told to load it into.
      expect(answer['stderr']).not.toContain('bwrap');
    });

    test('takes no function of bash as a variable', async () => {
      const more = { env: { 'BASH_FUNC_exec%%': '() { touch /srv/drop/escaped; }' } };
      const answer = await call('id', 'sleep 0.5; test -e /srv/drop/escaped', more);
      expect(answer).toMatchObject({ error: 'Invalid args', after: 1 });
      expect(answer['message']).toContain('a name has only letters, digits and _');
    });

    const calls = [...SET_ID, ...SOCKETS, ...LEASES, ...WATCHES];
    const said = new Map<string, string>();
    test('makes every single call that another program could take harm from', async () => {
      const env = { A: '/srv/attempt', O: '/srv/heard', N: 'hears' };
      for (let at = 0; at < calls.length; at += 12) {
        const some = calls.slice(at, at + 12);
        const answer = await call(tryAll(some, '/tmp'), 'true', { env, timeout: 30 });
        expect(answer).toMatchObject({ status: 'done', truncated: false });
        for (const [what, text] of saidBy(some, String(answer['stdout']))) said.set(what, text);
      }
      expect(await vm.sh('cat /srv/heard/log; find /var/lib/agent3 /srv -xdev -perm /6000 -type f')).toBe(
        'serving\n/srv/suid\n',
      );
    }, 300_000);

    test.each(calls.map(([what]) => what))('got nothing done by a call: %s', (what) => {
      expect(hasEscaped(what, said.get(what))).toBe(false);
    });

    /** What the attempts wrote, and what the look from outside ended with. */
    const made = new Map<string, { stdout: string; after: number }>();
    const looks = (attempts: readonly Attempt[]): string =>
      attempts
        .map(([, , done = 'false']) => `( kill -0 ${agent} || exit 0; ${done} ) > /dev/null 2>&1; echo $?\n`)
        .join('');
    test('has every attempt made', async () => {
      for (const attempt of ATTEMPTS.filter(([what]) => ALONE.has(what))) {
        const answer = await call(attempt[1]);
        expect(answer).toMatchObject({ status: expect.stringMatching(/^(done|timeout)$/) });
        made.set(attempt[0], { stdout: String(answer['stdout']), after: Number(await vm.sh(looks([attempt]))) });
      }
      const others = ATTEMPTS.filter(([what]) => !ALONE.has(what));
      for (let at = 0; at < others.length; at += 12) {
        const some = others.slice(at, at + 12);
        const mark = crypto.randomUUID();
        const each = [...some.map(([, cmd]) => cmd), succeeds('true'), shows('echo free', 'free')];
        const answer = await call(each.map((cmd) => `(\n${cmd}\n)\necho ${mark}\n`).join(''), 'true', { timeout: 40 });
        expect(answer).toMatchObject({ status: 'done', truncated: false });
        const wrote = String(answer['stdout']).split(`${mark}\n`);
        // After the last one, what reports an escape still does.
        expect(wrote.slice(some.length)).toEqual(['ESCAPED\n', 'ESCAPED\n', '']);
        const seen = (await vm.sh(looks(some))).split('\n');
        for (const [index, [what]] of some.entries())
          made.set(what, { stdout: wrote[index] ?? 'ESCAPED', after: Number(seen[index] || 0) });
      }
    }, 300_000);

    test.each(ATTEMPTS.map(([what]) => what))('lets no command %s', (what) => {
      expect(made.get(what)?.stdout).not.toContain('ESCAPED');
      expect(made.get(what)?.after).toBeGreaterThan(0);
    });
  });

  test('of an agent that has become another user, has cgroups of that user', async () => {
    await vm.sh('/opt/bundle/ops/install --user agent3');
    await answersWithin(vm, 60);
    const token = (await vm.sh('agent3 token create again --profile readonly')).trim();
    const text = await vm.sh(
      `curl -s -H @<(echo "X-Auth-Token: ${token}") -d '{"op":"shell","args":{"cmd":"id -un; cat /proc/self/cgroup; sleep 0.1"}}' http://127.0.0.1:5000/; journalctl -u agent3 | grep -c 'cannot be used'; true`,
    );
    expect(text).toContain('"usage":');
    expect(text).toContain('agent3\\n');
    expect(text).toEndWith('0\n');
  });

  test('does not run anything without bubblewrap, and says why', async () => {
    const token = (await vm.sh('agent3 token create bare --profile readonly')).trim();
    await vm.sh('mv /usr/bin/bwrap /usr/bin/bwrap.away; systemctl restart agent3');
    await answersWithin(vm, 60);
    const text = await vm.sh(
      `curl -s -H @<(echo "X-Auth-Token: ${token}") -d '{"cmd":"touch /srv/drop/ran"}' http://127.0.0.1:5000/shell; mv /usr/bin/bwrap.away /usr/bin/bwrap; ls /srv/drop`,
    );
    expect(text).toContain('bubblewrap is not installed');
    expect(text).not.toContain('ran\n');
  });
});
