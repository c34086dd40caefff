import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { ask, faultsOf, rotateOnceWritten, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

describeVm('the logs of an installed agent', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({
      needs: 'container',
      files: BUNDLE,
    });
    await vm.sh('/opt/bundle/ops/install');
    // Its checks would leave lines of their own, each full five minutes.
    await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service');
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('have a configuration that logrotate understands', async () => {
    const { code, stderr } = await vm.run('logrotate -d /etc/logrotate.d/agent3');
    expect(code).toBe(0);
    expect(stderr).not.toContain('error');
    expect(stderr).toContain('/var/log/agent3/watchdog.log');
  });

  test("are rotated under load: of the agent's own log no line is lost", async () => {
    await vm.sh(`cat > /opt/load <<'END'
. /etc/agent3/agent3.env
until [ -e /opt/enough ]; do
  curl -s -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d '{"op":"shell","args":{"cmd":"true"}}' http://127.0.0.1:$AGENT3_PORT/ | tee -a /opt/answers | jq -r .session
done
END
systemd-run --quiet --unit=load -p StandardOutput=file:/opt/answered bash /opt/load`);
    for (let count = 0; count < 4; count++) await rotateOnceWritten(vm, '/var/log/agent3/agent3.log');
    await vm.until('[ "$(wc -l < /opt/answered)" -ge 60 ]', 100);
    await vm.sh('touch /opt/enough');
    await vm.until('! systemctl is-active --quiet load', 60);
    const answered = (await vm.sh('cat /opt/answered')).trim().split('\n');
    // What is no answer of a command says why.
    expect((await vm.run(`grep -o '{[^{]*"error".*' /opt/answers`)).stdout).toBe('');
    expect(new Set(answered).size).toBe(answered.length);
    const logged = await vm.sh(
      `cd /var/log/agent3; zcat -f agent3.log* | grep '"op":"shell"' | grep -cFf /opt/answered`,
    );
    expect(Number(logged)).toBe(answered.length);
    expect((await vm.sh('ls /var/log/agent3 | grep -c "agent3.log"')).trim()).toBe('5');
  }, 240_000);

  test('go on in the new file, which belongs to the agent', async () => {
    const { body } = await ask(vm, 'shell', { cmd: 'true' });
    await vm.until(`grep -q '${body['session']}' /var/log/agent3/agent3.log`, 10);
    expect(await vm.sh('stat -c "%U:%G %a" /var/log/agent3/agent3.log')).toBe('agent3:agent3 640\n');
  });

  test('are kept for seven rotations', async () => {
    await vm.sh(
      'for n in $(seq 9); do echo line >> /var/log/agent3/watchdog.log; logrotate -f /etc/logrotate.d/agent3; done',
    );
    expect((await vm.sh('ls /var/log/agent3/watchdog.log.*.gz | wc -l')).trim()).toBe('7');
    await shellIn(vm, 'true');
    await vm.sh('for n in $(seq 8); do systemctl reload agent3; logrotate -f /etc/logrotate.d/agent3; done');
    expect(Number(await vm.sh('ls /var/log/agent3/agent3.log.* | wc -l'))).toBeLessThanOrEqual(7);
    expect(await shellIn(vm, 'echo alive')).toBe('alive\n');
  }, 120_000);

  test('are rotated by the watchdog once they have 64 MiB, also a second time on a day', async () => {
    await vm.sh('rm -f /var/log/agent3/*.[0-9]*; logrotate /etc/logrotate.d/agent3; ls /var/log/agent3');
    await vm.sh('truncate -s 70M /var/log/agent3/agent3.log');
    await vm.sh('systemctl start agent3-watchdog.service');
    await vm.until('test -e /var/log/agent3/agent3.log.1', 60);
    // The look of the watchdog is a line more.
    expect(Number(await vm.sh('stat -c %s /var/log/agent3/agent3.log.1'))).toBeGreaterThanOrEqual(70 * 1_048_576);
    expect(Number(await vm.sh('stat -c %s /var/log/agent3/agent3.log'))).toBeLessThan(1_048_576);
    expect(await vm.sh('tail -2 /var/log/agent3/watchdog.log')).toContain('Rotating agent3.log, larger than 64 MiB\n');
    expect(await shellIn(vm, 'echo alive')).toBe('alive\n');
  }, 120_000);

  test('of what systemd captures: lines between the copy and the cut may be lost, as measured here', async () => {
    // A writer as systemd's `append:` has it, into a file that copytruncate rotates: 20,000 numbered lines.
    const lost = await vm.sh(`cat > /opt/capture.conf <<'END'
/opt/captured.out {
  rotate 20
  missingok
  copytruncate
}
END
cat > /opt/writer <<'END'
$| = 1;
print "line $_\\n" for 1 .. 20000;
END
systemd-run --quiet --unit=capture -p StandardOutput=append:/opt/captured.out perl /opt/writer
while systemctl is-active --quiet capture; do logrotate -f -s /opt/capture.state /opt/capture.conf; done
cat /opt/captured.out* | grep -c line`);
    console.error(`copytruncate under load: ${20_000 - Number(lost)} of 20000 lines lost`);
    expect(Number(lost)).toBeGreaterThan(10_000);
    expect(Number(lost)).toBeLessThanOrEqual(20_000);
  }, 120_000);

  test('reload ends no command', async () => {
    const running = ask(vm, 'shell', {
      cmd: 'touch /tmp/begun; until [ -e /tmp/reloaded ]; do sleep 0.1; done; echo ended',
    });
    await vm.until('test -e /tmp/begun', 30);
    const reloads = `$(grep -c '"msg":"reloaded"' /var/log/agent3/agent3.log)`;
    await vm.sh(`echo ${reloads} > /opt/reloads; systemctl reload agent3`);
    await vm.until(`[ ${reloads} -gt "$(cat /opt/reloads)" ]`, 30);
    await vm.sh('touch /tmp/reloaded');
    expect((await running).body['stdout']).toBe('ended\n');
  }, 60_000);

  test('whose directory was deleted: told by one line, and made by a restart', async () => {
    await vm.sh('chattr -a /var/log/agent3/audit.jsonl; rm -rf /var/log/agent3');
    const { body } = await ask(vm, 'shell', { cmd: 'true' });
    expect(body['message']).toContain('/var/log/agent3/audit.jsonl: its directory is missing');
    expect(await faultsOf(vm)).toMatchObject([
      { check: 'logs', advice: expect.stringContaining('systemctl restart agent3') },
    ]);
    await vm.sh('systemctl restart agent3');
    expect(await shellIn(vm, 'echo alive')).toBe('alive\n');
    expect(await vm.sh('stat -c "%U:%G %a" /var/log/agent3')).toBe('root:agent3 750\n');
    expect(await vm.sh('stat -c "%U:%G %a" /var/log/agent3/audit.jsonl')).toBe('agent3:agent3 640\n');
    expect((await vm.run('agent3 audit verify')).code).toBe(0);
    await vm.sh('systemctl start agent3-watchdog.service; grep -q "running OK" /var/log/agent3/watchdog.log');
  }, 120_000);

  test('whose key was lost with the settings: the record is kept, and another one begins', async () => {
    await shellIn(vm, 'echo before');
    await vm.sh('cp /etc/agent3/agent3.env /opt/settings; rm /etc/agent3/agent3.env');
    const told = await vm.sh('agent3 install');
    const place = /kept in (\/var\/log\/agent3\/record-until-\S+)\./.exec(told)?.[1];
    await shellIn(vm, 'echo after');
    expect((await vm.run('agent3 audit verify')).code).toBe(0);
    expect(await vm.sh('agent3 audit grep "echo (before|after)" --event start')).not.toContain('echo before');
    const before = await vm.run(
      `. /opt/settings; export AGENT3_AUDIT_KEY; agent3 audit verify --file ${place}/audit.jsonl`,
    );
    expect({ code: before.code, stdout: before.stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('checked with the key'),
    });
    const { stdout } = await vm.run('agent3 doctor --json');
    expect(JSON.parse(stdout).findings).toContainEqual(expect.objectContaining({ check: 'audit', ok: true }));
    expect(await vm.sh('agent3 install')).not.toContain('record-until');
  }, 120_000);

  test('in memory are there again after a boot', async () => {
    await vm.sh('echo "tmpfs /var/log tmpfs defaults 0 0" >> /etc/fstab');
    await vm.reboot();
    expect(await shellIn(vm, 'echo alive')).toBe('alive\n');
    expect(await vm.sh('stat -f -c %T /var/log; stat -c "%U:%G %a" /var/log/agent3')).toBe('tmpfs\nroot:agent3 750\n');
  }, 240_000);
});
