import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { describeVm } from './harness/describe.ts';
import { answersWithin } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** Calls with a key that are answered before each cut, however long that takes. */
const ANSWERED = 6;
/** It took 240 s and more where two emulated machines and the other tests share two processors. */
const LOAD_SECONDS = 600;

/**
 * What clients do when the power fails: calls with a key, each leaves its trace on the disk; calls without; and new
 * tokens. What is sent and what was answered is noted on the disk as well.
 */
const LOAD = `. /etc/agent3/agent3.env
call() { curl -s -m 30 -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d "$1" "http://127.0.0.1:$AGENT3_PORT/"; }
note() { echo "$1" >> "$2"; sync -d "$2"; }
keyed() { for n in $(seq 9999); do
  key=$1-$n; note $key /opt/sent
  call '{"op":"shell","args":{"cmd":"echo '$key' >> /var/lib/agent3/ran; sync -d /var/lib/agent3/ran; echo did '$key'","key":"'$key'"}}' | grep -q "did $key" && note $key /opt/answered
done; }
plain() { while :; do call '{"op":"shell","args":{"cmd":"true"}}' > /dev/null; sleep 0.3; done; }
tokens() { for n in $(seq 9999); do agent3 token create t-$1-$n --profile full > /dev/null 2>&1 && note t-$1-$n /opt/tokens; sleep 2; done; }
keyed $1-a & keyed $1-b & plain & tokens $1 & wait`;

/** Repeats every call that was sent with a key: prints what it was answered. */
const REPEAT = `. /etc/agent3/agent3.env
tr '\\0' '\\n' < /opt/sent | grep . | while read -r key; do
  body='{"op":"shell","args":{"cmd":"echo '$key' >> /var/lib/agent3/ran; echo did '$key'","key":"'$key'"}}'
  echo "$key $(curl -s -m 30 -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d "$body" "http://127.0.0.1:$AGENT3_PORT/" | jq -r '[.status, .stdout] | @json')"
done`;

describeVm('a machine that loses power in the middle of work', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ isInstalled: true });
    for (const [path, script] of [['/opt/load', LOAD] as const, ['/opt/repeat', REPEAT] as const])
      await vm.sh(`echo ${Buffer.from(script).toString('base64')} | base64 -d > ${path}`);
    await vm.sh('touch /opt/sent /opt/answered /opt/tokens; sync');
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  /** `running`, or the state with the units that failed. */
  const state = async (): Promise<string> =>
    (await vm.run('systemctl is-system-running; systemctl --failed --no-legend --plain')).stdout;
  /** Where the file had its new size and not its data, there are NUL bytes. */
  const linesIn = async (path: string): Promise<string[]> =>
    (await vm.sh(`tr '\\0' '\\n' < ${path}`)).split('\n').filter((line) => /^[\w-]+$/.test(line));

  test.each([1, 2, 3])(
    'keeps its record, its keys and its tokens (cut %i)',
    async (cut) => {
      await vm.sh(`echo written ${cut} > /root/synced; sync /root/synced
systemd-run --quiet --unit=load-${cut} bash /opt/load ${cut}`);
      const isLoaded = `[ "$(grep -ac '^${cut}-' /opt/answered)" -ge ${ANSWERED} ] && grep -aq '^t-${cut}-' /opt/tokens`;
      await vm.until(isLoaded, LOAD_SECONDS).catch(async (cause) => {
        const look = `uptime; systemctl status --no-pager load-${cut} agent3; tail /opt/sent /opt/answered /opt/tokens`;
        throw new Error((await vm.run(look)).stdout, { cause });
      });
      await vm.powerCut();
      await answersWithin(vm, 60);

      const verified = await vm.run('agent3 audit verify');
      expect({ code: verified.code, stdout: verified.stdout }).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('the machine lost power before'),
      });
      expect(verified.stdout.match(/the machine lost power/g)).toHaveLength(cut);
      const { stdout: findings } = await vm.run('agent3 doctor --json');
      const audit = JSON.parse(findings).findings.find(({ check }: { check: string }) => check === 'audit');
      expect(audit).toMatchObject({ ok: true, found: expect.stringContaining('the machine lost power before') });

      const [sent, answered] = [await linesIn('/opt/sent'), await linesIn('/opt/answered')];
      expect(answered.length).toBeGreaterThanOrEqual(cut);
      const repeated = new Map(
        (await vm.sh('bash /opt/repeat', 120))
          .trim()
          .split('\n')
          .map((line): [string, string] => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
      );
      // What was answered once is answered the same.
      for (const key of answered) expect([key, repeated.get(key)]).toEqual([key, `["done","did ${key}\\n"]`]);
      const ran = await linesIn('/var/lib/agent3/ran');
      expect(ran).toHaveLength(new Set(ran).size);
      expect(answered.filter((key) => !ran.includes(key))).toEqual([]);
      // What was begun and not answered is lost, or has run now.
      for (const key of sent)
        expect([key, repeated.get(key)]).toEqual([key, expect.stringMatching(/^\["(done|lost)"/)]);

      const tokens = await vm.sh('agent3 token list');
      const made = await linesIn('/opt/tokens');
      expect(made.length).toBeGreaterThan(0);
      expect(made.filter((name) => !tokens.includes(`${name} `))).toEqual([]);
      console.error(
        `cut ${cut}: ${answered.length} of ${sent.length} keys answered; ${verified.stdout.trim().split('\n').at(-2)}`,
      );
    },
    1_200_000,
  );

  test('comes up after a power cut with what had reached the disk, and no unit has failed', async () => {
    expect(await vm.sh('cat /root/synced')).toBe('written 3\n');
    expect(await state()).toBe('running\n');
  });

  describe('a restart in order', () => {
    const notes = async (): Promise<unknown> =>
      (await vm.sh('agent3 audit verify')).match(/the machine lost power/g)?.length;
    let noted: unknown;
    beforeAll(async () => {
      noted = await notes();
      await vm.sh(`echo kept > /root/kept
systemd-run --unit=stopped -p ExecStop="/bin/touch /root/stopped" sleep 1000
cp /proc/sys/kernel/random/boot_id /root/boot`);
      await vm.reboot();
      await answersWithin(vm, 60);
    }, 300_000);

    test('keeps the files and the right time', async () => {
      expect((await vm.run('diff /proc/sys/kernel/random/boot_id /root/boot > /dev/null')).code).toBe(1);
      expect(await vm.sh('cat /root/kept; ls /root')).toBe('kept\nboot\nkept\nstopped\nsynced\n');
      expect(await state()).toBe('running\n');
      expect(Math.abs(Number(await vm.sh('date +%s.%N')) - Date.now() / 1000)).toBeLessThan(60);
    });

    test('adds nothing to the record', async () => {
      expect(await notes()).toBe(noted);
    });
  });
});
