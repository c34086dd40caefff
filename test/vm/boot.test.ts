import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { alarms } from '../helpers/alarms.ts';
import { BINARY, randomToken } from '../helpers/binary.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { describeVm } from './harness/describe.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const TOKEN = randomToken();

/** That it restarts, and comes up after a power cut, is tried in power.test.ts. */
describeVm('the machine of the tests', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ files: { '/opt/agent3': BINARY } });
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  /** `running`, or the state with the units that failed. */
  const state = async (): Promise<string> =>
    (await vm.run('systemctl is-system-running; systemctl --failed --no-legend --plain')).stdout;
  const secondsOff = async (): Promise<number> => Math.abs(Number(await vm.sh('date +%s.%N')) - Date.now() / 1000);

  test('runs Debian 12 with systemd, and no unit has failed', async () => {
    expect(await vm.sh('cat /proc/1/comm; . /etc/os-release; echo $VERSION_CODENAME')).toBe('systemd\nbookworm\n');
    expect(await state()).toBe('running\n');
  });

  test.each(['short', 'cat', 'json', 'verbose'])(
    'has a journal in which masks change no line, as %s',
    async (format) => {
      const journal = await vm.sh(`journalctl --no-pager --output=${format}`);
      expect(journal.split('\n').length).toBeGreaterThan(300);
      expect(alarms(journal)).toEqual([]);
    },
  );

  test('has every controller of cgroup v2', async () => {
    const controllers = (await vm.sh('cat /sys/fs/cgroup/cgroup.controllers')).trim().split(' ');
    expect(controllers).toEqual(expect.arrayContaining(['cpu', 'io', 'memory', 'pids']));
  });

  test('has what a server has, and nothing of it listens', async () => {
    await vm.sh(
      'for program in caddy logrotate cron curl jq perl python3 bwrap useradd ss; do command -v $program; done',
    );
    await vm.sh('test -f /usr/lib/python3/dist-packages/flask/__init__.py');
    expect((await vm.run('systemctl is-enabled caddy cron logrotate.timer')).stdout).toBe(
      'disabled\nenabled\nenabled\n',
    );
    expect(await vm.sh('ss -Hlnt')).toBe('');
  });

  test('has what a hostile command would use: polkit, a second local user, a daemon below /var/lib', async () => {
    expect(
      await vm.sh('systemctl is-active dbus; busctl call org.freedesktop.PolicyKit1 / org.freedesktop.DBus.Peer Ping'),
    ).toBe('active\n');
    expect(await vm.sh('setpriv --reuid visitor --regid visitor --clear-groups id -un')).toBe('visitor\n');
    await vm.sh(
      `setpriv --reuid visitor --regid visitor --clear-groups perl -MSocket -e '
for (["stream", SOCK_STREAM], ["datagram", SOCK_DGRAM], ["packets", SOCK_SEQPACKET]) {
  socket(my $s, PF_UNIX, $_->[1], 0); connect($s, pack_sockaddr_un("/var/lib/database/$_->[0]")) or die $!; send($s, "hello", 0);
}'`,
    );
    const heard = await vm.until(
      '[ "$(grep -c hello /var/lib/database/heard)" = 3 ] && sort /var/lib/database/heard',
      20,
    );
    expect(heard).toBe('datagram: hello\npackets: connected\npackets: hello\nstream: connected\nstream: hello\n');
  });

  test('gives exit code, output and errors of a script', async () => {
    expect(await vm.run('echo right; echo wrong >&2; exit 7')).toEqual({
      code: 7,
      stdout: 'right\n',
      stderr: 'wrong\n',
    });
    expect(await vm.run('true')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await vm.run('kill -TERM $$')).toMatchObject({ code: 143 });
    await expect(vm.sh('echo right; echo wrong >&2; false')).rejects.toThrow(/^exit code 1 of: .*\nright\n\nwrong\n/);
  });

  test('gives every byte of a long output', async () => {
    const { stdout, stderr } = await vm.runRaw(
      'head -c 1048576 /dev/urandom > /tmp/bytes; cat /tmp/bytes; printf "\\0\\377\\n\\n" >&2; sha256sum /tmp/bytes >&2',
    );
    expect(stdout).toHaveLength(1_048_576);
    expect(stderr.subarray(0, 4)).toEqual(Buffer.from([0, 255, 10, 10]));
    expect(stderr.subarray(4).toString()).toBe(`${createHash('sha256').update(stdout).digest('hex')}  /tmp/bytes\n`);
  });

  test('runs scripts at the same time, and does not wait for what they leave running', async () => {
    const fifo = '/tmp/fifo';
    await vm.sh(`mkfifo ${fifo}; sleep 1000 &`);
    expect(await Promise.all([vm.sh(`cat ${fifo}`), vm.sh(`echo through > ${fifo}`)])).toEqual(['through\n', '']);
  });

  test('kills a script that takes too long, and says so with its output', async () => {
    const told = await vm.run('echo begun; sleep 1000; echo never', 5).catch(String);
    expect(told).toContain('no result within 5 s of: echo begun');
    expect(told).toContain('killed when its time was up, after:\nbegun\n');
    expect((await vm.run('pgrep -fa "sleep 1000; echo [n]ever"')).stdout).toBe('');
  });

  test('waits until something holds, or says what it saw last', async () => {
    const late = vm.until('cat /tmp/made-later', 30);
    await vm.sh('echo here > /tmp/made-later');
    expect(await late).toBe('here\n');
    await expect(vm.until('echo not yet; false', 1)).rejects.toThrow(/^not within 1 s: .*\nnot yet\n/);
  });

  test('takes files of any size while it runs', async () => {
    using directory = new TemporaryDirectory();
    await Promise.all(
      [0, 1, 512, 70_001].map(async (size) => {
        const bytes = crypto.getRandomValues(new Uint8Array(size));
        await Bun.write(directory.join(String(size)), bytes);
        await vm.copyIn(directory.join(String(size)), `/opt/a new directory/${size}`);
        expect((await vm.runRaw(`cat "/opt/a new directory/${size}"`)).stdout).toEqual(Buffer.from(bytes));
      }),
    );
    // The disks that they came on go a moment later.
    await vm.until('[ "$(ls /sys/block | grep -v loop)" = vda ]', 30);
  });

  test('runs the executable as a unit, and it answers', async () => {
    const hash = createHash('sha256').update(readFileSync(BINARY)).digest('hex');
    expect(await vm.sh('sha256sum /opt/agent3; stat -c "%a %U" /opt/agent3')).toBe(`${hash}  /opt/agent3\n755 root\n`);
    await vm.sh(
      `systemd-run --unit=by-hand --setenv=AGENT3_API_TOKEN=${TOKEN} --setenv=AGENT3_PORT=5555 /opt/agent3 serve`,
    );
    const answer = await vm.until(
      `curl -sf -m 5 -H 'X-Auth-Token: ${TOKEN}' -d '{"op":"shell","args":{"cmd":"echo $((6*7)); cat /proc/1/comm"}}' http://127.0.0.1:5555/`,
      60,
    );
    expect(JSON.parse(answer)).toMatchObject({ stdout: '42\nsystemd\n', exit_code: 0 });
    await vm.sh('systemctl stop by-hand');
  });

  test('knows what time it is', async () => {
    expect(await secondsOff()).toBeLessThan(60);
  });

  test('goes on when the runner of the scripts is killed', async () => {
    await expect(vm.run('kill -9 $PPID; sleep 100')).rejects.toThrow('the runner of the tests was killed');
    expect(await vm.sh('echo alive')).toBe('alive\n');
  });
});
