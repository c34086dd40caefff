import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { ensureImage } from './harness/image.ts';
import { answersWithin, ask, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/** Past every output here: a reader from there on waits for the end of the command. */
const WHOLE = 1_000_000;

describeVm('a server of 512 MB', () => {
  let vm: Vm;
  let told: string;
  beforeAll(async () => {
    vm = await bootVm({
      memoryMib: 512,
      files: {
        ...BUNDLE,
        '/opt/packages.tar': ensureImage('bookworm').packages,
      },
    });
    await vm.sh('tar -xf /opt/packages.tar -C /; rm /opt/packages.tar');
    told = await vm.sh('/opt/bundle/ops/install --user root', 300);
    await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
    await answersWithin(vm, 180);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  const pid = async (): Promise<string> => (await vm.sh('systemctl show -p MainPID --value agent3')).trim();

  test('says what one command may use: twice what apt-get takes, less than the machine has', async () => {
    const words = /one may use (\d+) MiB of memory, all together (\d+) MiB/;
    const [, one, all] = (words.exec(told) ?? []).map(Number);
    expect(one).toBeGreaterThan(190);
    expect(all).toBeLessThan(300);
    const cgroup = (await vm.run('agent3 doctor')).stdout.split('\n').find((line) => line.includes('cgroup'));
    expect(cgroup).toStartWith('✓');
    expect(
      words
        .exec(cgroup ?? '')
        ?.slice(1)
        .map(Number),
    ).toEqual([Number(one), Number(all)]);
  });

  test('installs a package through an agent that runs as root, with the settings as they are', async () => {
    const cmd = 'DEBIAN_FRONTEND=noninteractive apt-get install -y git && git --version';
    const { body } = await ask(vm, 'shell', { cmd, background: true });
    const session = body['session'];
    let end = await ask(vm, 'read_session', { session, offset: WHOLE, wait: 40 });
    while (end.body['status'] === 'running') end = await ask(vm, 'read_session', { session, offset: WHOLE, wait: 40 });
    expect(end.body).toMatchObject({ status: 'done', exit_code: 0 });
    console.error(`vm: apt-get install git took ${JSON.stringify(end.body['usage'])}`);
    expect(await shellIn(vm, 'git --version')).toStartWith('git version 2.');
    expect(await vm.sh('dpkg --audit')).toBe('');
  }, 400_000);

  test('a memory bomb is killed alone, and the agent answers meanwhile', async () => {
    const before = await pid();
    const bomb = ask(vm, 'shell', { cmd: 'tail /dev/zero; echo $?' }, 100);
    expect(await shellIn(vm, 'echo still here')).toBe('still here\n');
    const { body } = await bomb;
    expect(body).toMatchObject({ status: 'done', stdout: '137\n', message: expect.stringMatching(/memory/) });
    expect(await pid()).toBe(before);
    const failed = 'systemctl --failed --no-legend --plain | grep . && journalctl -n 40 --no-pager -t systemd; true';
    expect((await vm.sh(failed)).trim()).toBe('');
  });

  test('a check of the watchdog that is stopped has not failed', async () => {
    await vm.sh(`kill -STOP ${await pid()}; systemctl start --no-block agent3-watchdog.service`);
    await vm.until('[ "$(systemctl is-active agent3-watchdog.service)" = activating ]', 30);
    await vm.sh(`systemctl stop agent3-watchdog.service; kill -CONT ${await pid()}`);
    expect((await vm.run('systemctl is-active agent3-watchdog.service')).stdout).toBe('inactive\n');
    await answersWithin(vm, 60);
  });

  test.each([['full'], ['readonly']])('the profile %s runs its commands', async (profile) => {
    const token = (await vm.sh(`agent3 token create small-${profile} --profile ${profile}`)).trim();
    const answer = await vm.sh(
      `curl -s -H @<(echo "X-Auth-Token: ${token}") -d '{"op":"shell","args":{"cmd":"echo runs"}}' http://127.0.0.1:5000/`,
    );
    expect(JSON.parse(answer)).toMatchObject({ status: 'done', exit_code: 0, stdout: 'runs\n' });
  });
});
