import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { type Asked, answersWithin, ask, rotateOnceWritten, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const CAREFUL = `extends = "full"
[[rules]]
action = "confirm"
command = "touch"
`;
const WORKSPACE = `extends = "workspace"
directory = "/srv/app"
`;

describeVm('control of an installed agent', () => {
  let vm: Vm;
  const tokens: Record<string, string> = {};
  beforeAll(async () => {
    vm = await bootVm({
      needs: 'container',
      files: BUNDLE,
    });
    await vm.sh('/opt/bundle/ops/install');
    await vm.sh('systemctl stop agent3-watchdog.timer agent3-watchdog.service; install -d -o agent3 /srv/app');
    await vm.sh(`cat > /etc/agent3/profiles.d/careful.toml <<'END'\n${CAREFUL}END`);
    await vm.sh(`cat > /etc/agent3/profiles.d/app.toml <<'END'\n${WORKSPACE}END`);
    await vm.sh(`cat > /etc/agent3/profiles.d/online.toml <<'END'\n${WORKSPACE}network = true\nEND`);
    for (const profile of ['careful', 'app', 'online']) {
      tokens[profile] = (await vm.sh(`agent3 token create ${profile} --profile ${profile} 2> /dev/null`)).trim();
    }
    await answersWithin(vm, 30);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  /** Calls an operation with the token of a profile. */
  const askAs = async (profile: string, op: string, args: unknown): Promise<Asked['body']> => {
    const body = Buffer.from(JSON.stringify({ op, args })).toString('base64');
    const { stdout } = await vm.run(
      `echo ${body} | base64 -d | curl -s -m 60 -H 'X-Auth-Token: ${tokens[profile]}' --data-binary @- http://127.0.0.1:5000/`,
      90,
    );
    return JSON.parse(stdout || '{}') as Asked['body'];
  };

  test('a command waits until root approves it; the user of the agent cannot', async () => {
    const { session, status } = await askAs('careful', 'shell', { cmd: 'touch /srv/app/approved; echo it ran' });
    expect(status).toBe('waiting');
    const refused = await vm.run(
      `runuser -u agent3 -- agent3 approval approve ${session}; runuser -u agent3 -- touch /etc/agent3/approvals/${session}.json`,
    );
    expect(refused.stderr).toContain('Permission denied');
    expect((await askAs('careful', 'read_session', { session }))['status']).toBe('waiting');
    expect(await vm.sh('agent3 approval list')).toContain('1 │ touch /srv/app/approved; echo it ran');
    const approve = `agent3 approval approve ${String(session).slice(0, 20)}`;
    expect((await vm.run(approve)).stderr).toContain('there is no terminal to ask on');
    expect(await vm.sh(`umask 077; ${approve} --digest $(agent3 approval list | awk '/ digest / { print $2 }')`)).toBe(
      'approved: it runs\n',
    );
    const answer = await askAs('careful', 'read_session', { session, wait: 20 });
    expect({ ...answer, ...(await askAs('careful', 'read_session', { session, wait: 5, offset: 100 })) }).toMatchObject(
      {
        status: 'done',
        exit_code: 0,
      },
    );
    expect(await vm.sh('stat -c %U /srv/app/approved')).toBe('agent3\n');
  });

  test('the record cannot be changed, replaced or removed by commands; what they add is found', async () => {
    const file = '/var/log/agent3/audit.jsonl';
    const attempts = [
      `: > ${file}`,
      `rm -f ${file}`,
      `mv ${file} /tmp/`,
      `truncate -s 10 ${file}`,
      `dd if=/dev/zero of=${file} bs=1 count=9 conv=notrunc`,
      `chattr -a ${file}`,
      `ln -sf /tmp/x ${file}`,
    ];
    for (const attempt of attempts) {
      const { body } = await ask(vm, 'shell', { cmd: attempt });
      expect([attempt, body['exit_code'] === 0]).toEqual([attempt, false]);
    }
    expect((await vm.run('agent3 audit verify')).stdout).toContain('whole');
    await shellIn(vm, `echo '{"seq":1,"time":"","event":"start","prev":""}' >> ${file}`);
    await shellIn(vm, 'true');
    const { stdout, code } = await vm.run('agent3 audit verify');
    expect(code).toBe(1);
    expect(stdout).toContain('the agent found: the file was changed by somebody else');
  });

  test('logrotate breaks no chain and loses no line, under load', async () => {
    // A record of its own: the one before has what a command added.
    await vm.sh(
      'systemctl stop agent3; cd /var/log/agent3; chattr -a audit.jsonl; mkdir old; mv audit.jsonl* old; systemctl start agent3',
    );
    await answersWithin(vm, 30);
    await vm.sh(`cat > /opt/load <<'END'
. /etc/agent3/agent3.env
until [ -e /opt/enough ]; do
  curl -s -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") -d '{"op":"shell","args":{"cmd":"echo load"}}' "http://127.0.0.1:$AGENT3_PORT/" | grep -c '"status":"done"'
done
END
systemd-run --quiet --unit=load -p StandardOutput=file:/opt/answers bash /opt/load`);
    for (let count = 0; count < 4; count++) await rotateOnceWritten(vm, '/var/log/agent3/audit.jsonl');
    await vm.until('[ "$(wc -l < /opt/answers)" -ge 60 ]', 100);
    await vm.sh('touch /opt/enough');
    await vm.until('! systemctl is-active --quiet load', 60);
    expect(await vm.sh('sort -u /opt/answers')).toBe('1\n');
    const answered = Number(await vm.sh('wc -l < /opt/answers'));
    const { stdout, code } = await vm.run('agent3 audit verify');
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('in 5 files') });
    const starts = await vm.sh(`agent3 audit grep '"cmd":"echo load"' --event start | wc -l`);
    expect(Number(starts)).toBe(answered);
    expect(await vm.sh('stat -c "%U %a" /var/log/agent3/audit.jsonl.1; lsattr /var/log/agent3/audit.jsonl')).toMatch(
      /^root 640\n-+a-+/,
    );
  });

  test('a workspace is written to, and nothing else; its network is by choice', async () => {
    const cmd = 'pwd; echo x > inside && cat inside; echo x > /srv/outside || echo kept; echo x > /etc/x || echo kept';
    expect(await askAs('app', 'shell', { cmd })).toMatchObject({ stdout: '/srv/app\nx\nkept\nkept\n' });
    expect(await vm.sh('cat /srv/app/inside; test ! -e /srv/outside')).toBe('x\n');
    const reach = `exec 3<> /dev/tcp/127.0.0.1/5000 && echo reached`;
    expect((await askAs('app', 'shell', { cmd: reach }))['stdout']).toBe('');
    expect((await askAs('online', 'shell', { cmd: reach }))['stdout']).toBe('reached\n');
    const secrets = 'cat /etc/shadow /etc/agent3/agent3.env; ls /var/log/agent3 /var/lib/agent3/sessions';
    expect((await askAs('online', 'shell', { cmd: secrets }))['stdout']).not.toMatch(/root:|TOKEN|audit/);
  });

  test('the watchdog asks nobody for approval, and takes an agent with rules for alive', async () => {
    await vm.sh('echo AGENT3_PROFILE=careful >> /etc/agent3/agent3.env; systemctl restart agent3');
    await vm.sh(`printf 'extends = "full"\notherwise = "confirm"\n' > /etc/agent3/profiles.d/careful.toml; sleep 1`);
    await vm.sh('systemctl start agent3-watchdog.service');
    expect(await vm.sh('tail -n 1 /var/log/agent3/watchdog.log')).toContain('running OK');
    expect((await vm.run('agent3 approval list')).stdout).toBe('');
    await vm.sh(`cat > /etc/agent3/profiles.d/careful.toml <<'END'\n${CAREFUL}END
sed -i /AGENT3_PROFILE=/d /etc/agent3/agent3.env; systemctl restart agent3`);
    await answersWithin(vm, 30);
  }, 120_000);

  test('a file of tokens that root has closed to the agent is opened by the next change', async () => {
    const file = '/etc/agent3/tokens.json';
    const token = (await vm.sh('agent3 token create brief --profile full')).trim();
    const status = `curl -s -o /dev/null -w '%{http_code}' -H 'X-Auth-Token: ${token}' -d '{"op":"server_info","args":{}}' http://127.0.0.1:5000/`;
    expect(await vm.sh(status)).toBe('200');
    await vm.sh(`chown root:root ${file}; chmod 600 ${file}`);
    expect((await vm.run('agent3 doctor')).stdout).toContain(
      `${file}: the agent, which runs as agent3, cannot read it`,
    );
    expect((await vm.run('agent3 token revoke brief')).stderr).toContain('token brief is revoked');
    expect(await vm.sh(`stat -c '%U:%G %a' ${file}; sleep 1; ${status}`)).toBe('root:agent3 640\n403');
    // What another directory keeps from it is said, and not done.
    const mode = (await vm.sh('stat -c %a /etc/agent3')).trim();
    await vm.sh('chmod 700 /etc/agent3');
    const { code, stdout, stderr } = await vm.run('agent3 token create brief --profile full');
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/^[\w-]{43}\n$/) });
    expect(stderr).toContain('it still uses the tokens from before. Let it read the directory: chmod a+rx /etc/agent3');
    await vm.sh(`chmod ${mode} /etc/agent3; chown agent3 ${file}`);
    expect((await vm.run('agent3 token revoke brief')).stderr).toContain("and has to be root's: chown root");
    await vm.sh(`chown root ${file}; agent3 token revoke brief`);
  }, 120_000);

  test('doctor looks at all of it', async () => {
    const { stdout } = await vm.run('agent3 doctor');
    expect(stdout).toMatch(/✓ profiles +in use: app, careful, full, online/);
    expect(stdout).toMatch(/✓ approvals/);
    expect(stdout).toMatch(/✓ audit +\d+ lines, whole/);
    const own = '/etc/agent3/profiles.d/own.toml';
    await vm.sh(`printf 'extends = "full"\nuser = "games"\n' > ${own}; agent3 token create own --profile own`);
    expect((await vm.run('agent3 doctor')).stdout).toContain(
      'own: the installed agent runs as agent3, not as root, so it cannot run commands as games: they are refused',
    );
    await vm.sh(`chown agent3 ${own}`);
    const ofOthers = new RegExp(`${own}: it belongs to the user with the number \\d+, and has to be root's`);
    for (const look of ['doctor', 'profile list', 'profile check'])
      expect((await vm.run(`agent3 ${look}`)).stdout).toMatch(ofOthers);
    await vm.sh(`chown root ${own}; chmod 600 ${own}`);
    const unread = `${own}: the agent, which runs as agent3, cannot read it: chmod a+rX ${own}`;
    for (const look of ['doctor', 'profile list', 'profile check', `profile check ${own}`])
      expect((await vm.run(`agent3 ${look}`)).stdout).toContain(unread);
    expect((await vm.run('agent3 token create other --profile own')).stderr).toContain(unread);
    await vm.sh('chmod 700 /etc/agent3/approvals');
    expect((await vm.run('agent3 doctor')).stdout).toContain(
      '/etc/agent3/approvals: the agent, which runs as agent3, cannot read it, so what needs approval is denied',
    );
    await vm.sh('chgrp --reference=/var/log/agent3 /etc/agent3/approvals; chmod 750 /etc/agent3/approvals');
    await vm.sh(`agent3 token revoke own; rm ${own}; chown root /srv/app`);
    expect((await vm.run('agent3 doctor')).stdout).toContain('app, online: the user agent3 may not write to /srv/app');
    await vm.sh('chown agent3 /srv/app');
    await vm.sh('chmod 777 /etc/agent3/approvals; mv /etc/agent3/profiles.d/app.toml /opt');
    const faulty = (await vm.run('agent3 doctor')).stdout;
    expect(faulty).toContain('the token app has the profile app, which does not exist');
    expect(faulty).toContain('users other than root may write to /etc/agent3/approvals');
  });
});
