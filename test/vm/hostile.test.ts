import { afterAll, beforeAll, expect, test } from 'bun:test';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** What a hostile command does, and how long it may run, in seconds. */
const ATTACKS: readonly (readonly [what: string, cmd: string, seconds: number])[] = [
  ['a fork bomb', "perl -e 'fork while 1'", 5],
  ['a memory bomb', `perl -e 'my @x; push @x, "x" x 1e7 while 1'; sleep 100`, 4],
  ['many memory bombs', `for i in 1 2 3 4 5 6; do perl -e 'my @x; push @x, "x" x 1e7 while 1' & done; sleep 100`, 4],
  ['dd to a full disk', 'dd if=/dev/zero of=/var/tmp/agent3-fill bs=1M; rm -f /var/tmp/agent3-fill; sleep 100', 6],
  [
    '10,000 daemons',
    'for i in $(seq 10000); do (setsid sleep 1000 < /dev/null > /dev/null 2>&1 &); done; sleep 100',
    6,
  ],
  ['CPU burners on every core', 'for i in $(seq 8); do (while :; do :; done) & done; wait', 4],
  ['output without end', 'yes | cat', 4],
];

/** Sends `true` again and again; prints how many milliseconds the longest answer took, and its statuses. */
const CLIENT = String.raw`. /etc/agent3/agent3.env
end=$(($(date +%s) + $1)); worst=0; codes=""
while [ $(date +%s) -lt $end ]; do
  read -r code time < <(curl -s -m 20 -o /tmp/answer -w '%{http_code} %{time_total}\n' \
    -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d '{"op":"shell","args":{"cmd":"true"}}' "http://127.0.0.1:$AGENT3_PORT/")
  ms=$(awk "BEGIN { print int($time * 1000) }"); [ $ms -gt $worst ] && worst=$ms
  codes="$codes $code"
  [ "$code" = 200 ] || cat /tmp/answer >&2
  sleep 0.2
done
echo "$worst $(echo $codes | tr ' ' '\n' | sort -u | tr '\n' ' ')"`;

/** In VM time: the machine is emulated, several times slower than a real one. */
const LONGEST_MS = 2000;

for (const user of ['agent3', 'root']) {
  describeVm(`beside a hostile command of ${user}`, () => {
    let vm: Vm;
    beforeAll(async () => {
      vm = await bootVm({ isInstalled: true, cores: 2 });
      if (user === 'root') await vm.sh('/opt/bundle/ops/install --user root');
      await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
      await vm.sh(`cat > /opt/client <<'END'\n${CLIENT}\nEND`);
      await answersWithin(vm, 60);
    }, 600_000);
    afterAll(() => vm?.[Symbol.asyncDispose]());

    const agent = async (): Promise<{ pid: string; rssMib: number }> => {
      const pid = (await vm.sh('systemctl show -p MainPID --value agent3')).trim();
      return { pid, rssMib: Number(await vm.sh(`awk '/VmRSS/ { print $2 }' /proc/${pid}/status`)) / 1024 };
    };

    test.each(ATTACKS)('%s: others are answered, and it is gone when it is stopped', async (what, cmd, seconds) => {
      const before = await agent();
      const { body } = await ask(vm, 'shell', { cmd, background: true });
      const { stdout, stderr } = await vm.run(`bash /opt/client ${seconds}`, 120);
      const [worst = '', ...codes] = stdout.trim().split(' ');
      console.log(`${user}, ${what}: the longest answer took ${worst} ms`);
      // A full disk takes no session and no line of the record: nothing is run then, and the answer says so.
      const mayRefuse = what.includes('full disk') && stderr.includes('disk is full');
      expect(codes.filter((code) => code !== '200' && !(mayRefuse && code === '500'))).toEqual([]);
      expect(Number(worst)).toBeLessThan(LONGEST_MS);
      expect((await ask(vm, 'close_session', { session: body['session'] })).body).toEqual({ status: 'closed' });
      await vm.sh('rm -f /var/tmp/agent3-fill');
      expect(await vm.sh('systemctl show -p TasksCurrent --value agent3-commands')).toMatch(/^\d{1,2}\n$/);
      const after = await agent();
      expect(after.pid).toBe(before.pid);
      expect(after.rssMib - before.rssMib).toBeLessThan(30);
    });

    test('and all of it is on record', async () => {
      const { stdout, code } = await vm.run('agent3 audit verify', 60);
      expect({ code, stdout }).toMatchObject({ code: 0 });
    });
  });
}
