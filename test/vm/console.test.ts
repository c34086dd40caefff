import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type ApprovalRequest, digestOf } from '../../src/access/approval-request.ts';
import { hashToken } from '../../src/access/token-file.ts';
import { newOrder } from '../../src/console/order.ts';
import { newToken } from '../../src/lib/token.ts';
import { eventually } from '../helpers/waiting.ts';
import { BUNDLE } from './harness/bundle.ts';
import { type Answer, CA, ConsolePage } from './harness/console.ts';
import { describeVm } from './harness/describe.ts';
import { ask, healthyWithin, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const ORIGIN = 'https://agent3.localhost:8443';
const PROCESSES = 'systemctl is-active agent3-console.service agent3-console-proxy.service agent3-console-obey.service';

/** What commands of the agent's user try in the profile `full`; none of it may succeed. */
const ATTACKS: readonly (readonly [what: string, script: string])[] = [
  ['reads the key', 'cat /etc/agent3/console.env'],
  [
    'finds the key in an environment',
    "cat /proc/[0-9]*/environ 2> /dev/null | tr '\\0' '\\n' | grep AGENT3_CONSOLE_KEY=",
  ],
  [
    'reads the memory of the agent',
    'head -c 1 /proc/$(pgrep -o -x agent3)/mem || head -c 1 /proc/$(pgrep -o -x agent3)/maps | grep .',
  ],
  ['leaves an order', 'echo {} > /var/lib/agent3-console/orders/x.json'],
  ['leaves an order for root', 'echo {} > /var/lib/agent3-console/root-orders/x.json'],
  ['takes the place of the orders', 'mv /var/lib/agent3-console/orders /var/lib/agent3-console/away'],
  ['pins a passkey', 'echo {} > /etc/agent3/passkeys.json || mv /etc/agent3/passkeys.json /tmp'],
  ['answers for root', 'echo {} > /run/agent3-orders/order-x.json'],
  ['changes the page', 'echo x > /usr/local/share/agent3/console/index.html'],
  [
    'takes the socket of the console',
    'rm -f /run/agent3-console.sock; perl -MIO::Socket::UNIX -e \'IO::Socket::UNIX->new(Local => "/run/agent3-console.sock", Listen => 1) or exit 1\'',
  ],
  ['asks the console itself', 'curl -s --unix-socket /run/agent3-console.sock http://localhost/api/hello -d {}'],
  [
    'takes the port',
    'perl -MIO::Socket::INET -e \'IO::Socket::INET->new(LocalAddr => "127.0.0.1:8443", Listen => 1, ReuseAddr => 1) or exit 1\'',
  ],
  ['thaws', 'agent3 thaw'],
];

/** Takes the place of the agent's socket, again and again, and answers whatever comes. */
const LIAR = `(while :; do
  rm -f /run/agent3/console.sock
  timeout 1 perl -MIO::Socket::UNIX -e '
    my $s = IO::Socket::UNIX->new(Local => "/run/agent3/console.sock", Listen => 5) or die; chmod 0666, "/run/agent3/console.sock";
    while (my $c = $s->accept) { sysread($c, my $b, 65536); syswrite($c, pack("N", 60) . ("x" x 92)); push @open, $c }'
done) > /dev/null 2>&1 < /dev/null`;

/** What somebody who took the console over tries as its user. */
const TAKEN: readonly (readonly [what: string, script: string])[] = [
  ['pins a passkey', 'echo {} > /etc/agent3/passkeys.json'],
  ['changes the page', 'echo x > /usr/local/share/agent3/console/index.html'],
  ['answers for root', 'echo {} > /run/agent3-orders/order-x.json'],
  [
    'reads tokens, logs and decisions',
    'cat /etc/agent3/tokens.json /etc/agent3/agent3.env /var/log/agent3/agent3.log /etc/agent3/approvals/*',
  ],
  ['decides as root', 'echo {} > /etc/agent3/approvals/x.json'],
  ['takes the place of the agent', 'mv /run/agent3/console.sock /run/agent3/away || rm -f /run/agent3/console.sock'],
];

describeVm("the owner's console", () => {
  let vm: Vm;
  let page: ConsolePage;
  let careful: string;
  beforeAll(async () => {
    vm = await bootVm({ needs: 'container', files: BUNDLE });
    await vm.sh(`mkdir -p /etc/systemd/system/agent3-console-proxy.service.d
printf '[Service]\\nExecStart=\\nExecStart=/lib/systemd/systemd-socket-proxyd --exit-idle-time=3s /run/agent3-console/http.sock\\n' \\
  > /etc/systemd/system/agent3-console-proxy.service.d/test.conf
/opt/bundle/ops/install --domain agent3.localhost`);
    await vm.until(`test -s ${CA}`, 60);
    await vm.sh(`printf 'extends = "full"\\notherwise = "confirm"\\n' > /etc/agent3/profiles.d/careful.toml`);
    careful = (await vm.sh('agent3 token create careful --profile careful 2> /dev/null')).trim();
    page = new ConsolePage(vm, ORIGIN);
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  /** Proposes a command as a client whose commands need approval; its session. */
  const propose = async (cmd: string): Promise<string> => {
    const body = Buffer.from(JSON.stringify({ cmd, background: true })).toString('base64');
    const told = await vm.sh(
      `echo ${body} | base64 -d | curl -s -m 60 -H 'X-Auth-Token: ${careful}' -H 'Content-Type: application/json' --data-binary @- http://127.0.0.1:5000/shell`,
    );
    return String(JSON.parse(told).session);
  };
  /** The whole request, as the page shows it, and its digest. */
  const digestShown = async (session: string): Promise<string> => {
    let text = '';
    for (let from: number | null = 0; from !== null; ) {
      const part = await page.ask('request', { session, from });
      text += String(part['text']);
      from = part['next'] as number | null;
    }
    return digestOf(JSON.parse(text) as ApprovalRequest);
  };
  const read = async (session: string): Promise<Record<string, unknown>> =>
    JSON.parse(
      await vm.sh(
        `curl -s -m 60 -H 'X-Auth-Token: ${careful}' -H 'Content-Type: application/json' -d '{"session":"${session}","wait":20}' http://127.0.0.1:5000/read_session`,
      ),
    ) as Record<string, unknown>;

  test('is set up by units that systemd understands whole', async () => {
    const units = ['agent3-console.socket', 'agent3-console-proxy.service', 'agent3-console-obey.path'];
    const { code, stderr } = await vm.run(`systemd-analyze verify ${units.join(' ')} agent3-console.service`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await vm.sh('id -Gn agent3-console')).toBe('agent3-console\n');
  });

  test('is no process until somebody comes, and none when nobody does', async () => {
    expect((await vm.run(PROCESSES)).stdout).toBe('inactive\ninactive\ninactive\n');
    expect((await page.call('hello')).body).toMatchObject({ rp_id: 'agent3.localhost' });
    await vm.until(`[ "$(${PROCESSES} | grep -cx active)" = 3 ]`, 60);
    // Caddy keeps its connection until the console closes that, a minute later.
    await vm.until(`! ${PROCESSES}`, 180);
    await vm.until(`! pgrep -u agent3-console`, 60);
  }, 400_000);

  test('is a page of an origin of its own, with its headers', async () => {
    const { stdout } = await vm.run(`curl -si --cacert ${CA} ${ORIGIN}/`);
    expect(stdout).toContain('<title>');
    expect(stdout).toMatch(/^content-security-policy: default-src 'none'/im);
    expect(stdout).not.toMatch(/unsafe-inline/);
    const other = await vm.run(
      `curl -s --cacert ${CA} https://agent3.localhost/api/hello -d '{}'; curl -s -o /dev/null -w '%{http_code}' --cacert ${CA} https://agent3.localhost/index.html`,
    );
    expect(other.stdout).not.toContain('rp_id');
    expect(other.stdout).toEndWith('}403');
    await healthyWithin(vm, 60);
  }, 120_000);

  test('serves neither a page, a script nor a worker by the API, also when it was taken over', async () => {
    const socket = '/run/agent3-console.sock';
    const units = 'agent3-console.socket agent3-console-proxy.service agent3-console.service';
    const { stdout } = await vm.run(`systemctl stop ${units}; rm -f ${socket}
      perl -MIO::Socket::UNIX -e '
        my $s = IO::Socket::UNIX->new(Local => "${socket}", Listen => 5) or die; chmod 0666, "${socket}"; alarm 60;
        while (my $c = $s->accept) { sysread $c, my $asked, 9999; print $c join("\r\n", "HTTP/1.1 200 OK", "Content-Type: text/javascript",
          "Service-Worker-Allowed: /", "Set-Cookie: a=b", "Content-Security-Policy: script-src *", "Content-Length: 5", "", "hello"); close $c }' &
      for try in $(seq 50); do test -S ${socket} && break; sleep 0.2; done
      curl -si --cacert ${CA} ${ORIGIN}/api/worker.js; kill %1; rm -f ${socket}; systemctl start agent3-console.socket`);
    expect(stdout).toEndWith('hello');
    const headers = stdout.toLowerCase();
    expect(headers).toMatch(/^content-type: application\/json; charset=utf-8\r$/m);
    expect(headers).toMatch(/^x-content-type-options: nosniff\r$/m);
    expect(headers.match(/^content-security-policy: .*$/gm)).toEqual([
      "content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox",
    ]);
    expect(headers).not.toMatch(/^(?:service-worker-allowed|set-cookie):/m);
    expect((await page.call('hello')).body).toMatchObject({ rp_id: 'agent3.localhost' });
  }, 200_000);

  test('takes a passkey that root pins, and lets its person in', async () => {
    expect((await page.call('me')).status).toBe(401);
    await page.enrol();
    await page.signIn();
    expect(await page.ask('me')).toMatchObject({ name: 'Pixel 9', passkey: true });
    expect(await vm.sh('stat -c "%U %a" /etc/agent3/passkeys.json; agent3 console list')).toContain('Pixel 9');
    expect(await vm.sh('agent3 status')).toContain(`console    ${ORIGIN}, passkeys: 1`);
  }, 200_000);

  test('runs what its owner approves with a passkey, and nothing else', async () => {
    const session = await propose('echo approved by $(id -un)');
    expect(await page.state()).toMatchObject({
      waiting: [{ session, token: 'careful' }],
      root_full: false,
      development: false,
    });
    const digest = await digestShown(session);
    await expect(page.order({ kind: 'approve', session, digest }, false)).rejects.toThrow('PasskeyNeeded');
    expect((await page.order({ kind: 'approve', session, digest })).state).toBe('done');
    expect(await read(session)).toMatchObject({ stdout: 'approved by agent3\n' });
    expect((await vm.run('agent3 audit verify')).code).toBe(0);
  }, 200_000);

  test('denies and stops by a tap', async () => {
    const denied = await propose('echo never');
    const digest = await digestShown(denied);
    expect((await page.order({ kind: 'deny', session: denied, digest, why: 'not today' })).state).toBe('done');
    expect(JSON.stringify(await read(denied))).toContain('not today');
    const { body } = await ask(vm, 'shell', { cmd: 'sleep 1000', background: true });
    const session = String(body['session']);
    expect((await page.order({ kind: 'stop', session })).state).toBe('done');
    expect((await ask(vm, 'read_session', { session, wait: 20 })).body).toMatchObject({ status: 'killed' });
  }, 200_000);

  test('keeps a page that waits for news as long as it wants to', async () => {
    let { version } = await page.ask('watch', { version: 0, follow: [], wait_ms: 0 });
    const start = performance.now();
    while (performance.now() - start < 26_000)
      ({ version } = await page.ask('watch', { version, follow: [], wait_ms: 25_000 }));
  }, 120_000);

  test('freezes by a tap and thaws by a passkey, through root', async () => {
    expect(await page.order({ kind: 'freeze', reason: 'I look at it' })).toMatchObject({ state: 'done' });
    const { status, body } = await ask(vm, 'shell', { cmd: 'true' });
    expect([status, String(body['message'])]).toEqual([503, expect.stringContaining('(I look at it)')]);
    const { frozen } = (await page.state()) as { frozen: { since: number } };
    const { since } = frozen;
    await expect(page.order({ kind: 'thaw', since }, false)).rejects.toThrow('PasskeyNeeded');
    expect((await page.order({ kind: 'thaw', since: since - 1 })).state).toBe('refused');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
    expect((await page.order({ kind: 'thaw', since })).state).toBe('done');
    expect(await shellIn(vm, 'echo back')).toBe('back\n');
    expect(await vm.sh('ls /var/lib/agent3-console/root-orders')).toBe('');
  }, 200_000);

  test('ends a token', async () => {
    await vm.sh('agent3 token create thief --profile full > /opt/thief 2> /dev/null');
    const call = `curl -s -o /dev/null -w '%{http_code}' -H "X-Auth-Token: $(cat /opt/thief)" -d '{"op":"server_info","args":{}}' http://127.0.0.1:5000/`;
    await vm.until(`[ "$(${call})" = 200 ]`, 20);
    const { clients } = (await page.ask('clients')) as {
      clients: { name: string; made: string; revocable: boolean }[];
    };
    const made = clients.find(({ name }) => name === 'thief')?.made ?? '';
    expect((await page.order({ kind: 'revoke', token: 'thief', made })).state).toBe('done');
    await vm.until(`[ "$(${call})" = 403 ]`, 20);
  }, 120_000);

  test('makes a token that works, of which root checks the signature, and changes it', async () => {
    const secret = newToken();
    const named = { token: 'phone', made: '0123abcd', expires_at: null } as const;
    const create = { kind: 'create-token', ...named, profile: 'full', sha256: hashToken(secret) } as const;
    await expect(page.order(create, false)).rejects.toThrow('PasskeyNeeded');
    expect(await page.order({ ...create, profile: 'none' })).toMatchObject({ state: 'refused' });
    expect((await page.order(create)).state).toBe('done');
    expect(await vm.sh('stat -c "%U:%G %a" /etc/agent3/tokens.json')).toBe('root:agent3 640\n');
    const call = `curl -s -o /dev/null -w '%{http_code}' -H 'X-Auth-Token: ${secret}' -d '{"op":"server_info","args":{}}' http://127.0.0.1:5000/`;
    const status = () => vm.sh(call);
    expect(await status()).toBe('200');
    const change = await page.order({ kind: 'change-token', ...named, profile: 'careful' });
    expect(change).toMatchObject({ state: 'done' });
    expect(await vm.sh('agent3 token list')).toMatch(/phone +careful .*made by .*passkey/);
    await vm.sh('agent3 token revoke phone');
    await eventually('it works no more', async () => (await status()) === '403');
    expect((await page.order(create)).state).toBe('done');
    await vm.sh('agent3 token revoke phone');
    expect((await vm.run('agent3 audit verify')).code).toBe(0);
  }, 120_000);

  test('loses no order for root, however many come at once', async () => {
    const orders = Array.from({ length: 40 }, () => ({
      order: { ...newOrder(), kind: 'freeze', reason: 'many' },
      by: 'x',
    }));
    const files = orders.map((file) => `put ${file.order.id} '${JSON.stringify(file)}'`).join('\n');
    const run = Buffer.from(
      `umask 027; put() { echo "$2" > /var/lib/agent3-console/root-orders/.$1; mv /var/lib/agent3-console/root-orders/.$1 /var/lib/agent3-console/root-orders/$1.json; }\n${files}`,
    ).toString('base64');
    await vm.sh(
      `echo ${run} | base64 -d > /opt/orders; chmod 755 /opt/orders; runuser -u agent3-console -- bash /opt/orders`,
    );
    await vm.until(`[ -z "$(ls -A /var/lib/agent3-console/root-orders)" ]`, 60);
    for (const { order } of orders) expect(await vm.sh(`cat /run/agent3-orders/order-${order.id}.json`)).toContain('"');
    expect(await vm.sh('systemctl is-active agent3-console-obey.path')).toBe('active\n');
    await vm.sh('agent3 thaw');
  }, 200_000);

  test('is replaced while pages are open, which start it again', async () => {
    await vm.sh(`for page in 1 2 3 4; do
  (until [ -e /opt/closed ]; do curl -s -m 2 -o /dev/null --unix-socket /run/agent3-console.sock http://x/; done) > /dev/null 2>&1 &
done`);
    try {
      for (const change of ['<!-- 1 -->', '<!-- 2 -->'])
        expect(
          await vm.sh(`echo '${change}' >> /usr/local/share/agent3/console/index.html; /opt/bundle/ops/install`),
        ).toContain('run systemctl start agent3-console.socket agent3-console-obey.path');
    } finally {
      await vm.sh('touch /opt/closed');
    }
    expect((await page.call('hello')).status).toBe(200);
  }, 200_000);

  test.each(ATTACKS)(
    'a command of the agent’s user %s: it does not',
    async (_, script) => {
      const { body } = await ask(vm, 'shell', { cmd: script });
      expect(body).toMatchObject({ exit_code: expect.any(Number) });
      expect(body['exit_code']).not.toBe(0);
      expect(await page.ask('me')).toMatchObject({ passkey: true });
    },
    60_000,
  );

  test('a command that takes the place of the agent’s socket is not believed', async () => {
    const { body } = await ask(vm, 'shell', { cmd: LIAR, background: true });
    const answers: Answer[] = [];
    for (let tries = 0; tries < 40 && !answers.some(({ status }) => status === 503); tries++) {
      // A connection of before leads to the agent still.
      await vm.sh('systemctl stop agent3-console.service agent3-console-proxy.service');
      answers.push(await page.call('watch', { version: 0, follow: [], wait_ms: 0 }));
    }
    await ask(vm, 'close_session', { session: body['session'] });
    expect(answers.at(-1)).toMatchObject({ status: 503, body: { error: 'AgentAway' } });
    for (const answer of answers.slice(0, -1)) expect(answer.body).toMatchObject({ state: { user: 'agent3' } });
    // The agent takes its place again.
    const look = { version: 0, follow: [], wait_ms: 0 };
    await eventually('the agent answers', async () => (await page.call('watch', look)).status === 200);
    expect(await page.state()).toMatchObject({ user: 'agent3' });
  }, 200_000);

  test.each(TAKEN)('a console that was taken over %s: it does not', async (_, script) => {
    const run = Buffer.from(script).toString('base64');
    const { code } = await vm.run(
      `echo ${run} | base64 -d > /opt/taken; chmod 755 /opt/taken; runuser -u agent3-console -- bash /opt/taken`,
    );
    expect(code).not.toBe(0);
  });

  test('a console that was taken over approves and thaws nothing without a passkey', async () => {
    const session = await propose('echo never');
    const digest = await digestShown(session);
    const leave = async (place: string, file: unknown, id: string): Promise<void> => {
      const text = Buffer.from(JSON.stringify(file)).toString('base64');
      const at = `/var/lib/agent3-console/${place}`;
      await vm.sh(`echo ${text} | base64 -d > /opt/order; chmod 644 /opt/order
runuser -u agent3-console -- sh -c 'umask 027; cat /opt/order > ${at}/.${id}; mv ${at}/.${id} ${at}/${id}.json'`);
    };
    const approve = { ...newOrder(), kind: 'approve' as const, session, digest };
    await leave('orders', { order: approve, by: 'x' }, approve.id);
    const stolen = { ...newOrder(), kind: 'approve' as const, session, digest };
    const assertion = await page.phone.sign({ ...stolen, digest: '0'.repeat(64) });
    await leave('orders', { order: stolen, by: 'x', assertion }, stolen.id);
    await vm.sh('agent3 freeze held');
    const { frozen } = (await page.state()) as { frozen: { since: number } };
    const thaw = { ...newOrder(), kind: 'thaw' as const, since: frozen.since };
    await leave('root-orders', { order: thaw, by: 'x' }, thaw.id);
    await vm.until(`grep -q refused /run/agent3-orders/order-${thaw.id}.json`, 30);
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
    await vm.sh('agent3 thaw');
    expect(await page.state()).toMatchObject({ waiting: [{ session }] });
    await vm.sh('agent3 approval deny --all --why over || true');
  }, 200_000);

  test('a link lets nobody in who has not its secret', async () => {
    const thief = new ConsolePage(vm, ORIGIN);
    await vm.sh(`rm -f /opt/link; (sleep 20) | setsid script -qfec 'agent3 console link' /opt/link > /dev/null 2>&1 &`);
    const shown = await vm.until("grep -ao 'link=[^ [:cntrl:]]*' /opt/link", 30);
    const [id = ''] = shown.trim().slice('link='.length).split('.');
    const body = { link: id, name: 'thief', registration: thief.phone.register('guessed'), mac: 'x'.repeat(43) };
    for (let tries = 0; tries < 6; tries++) await thief.call('link', body);
    expect(await vm.sh('cat /etc/agent3/passkeys.json')).not.toContain(thief.phone.id);
    expect((await thief.call('sign-in', { assertion: thief.phone.assert('x') })).status).not.toBe(200);
  }, 120_000);

  test('works for an agent that runs as root too, and says what that means', async () => {
    await vm.sh('agent3 install --user root', 200);
    expect(await page.state()).toMatchObject({ user: 'root', root_full: true });
    expect(await vm.sh('stat -c "%U:%G %a" /run/agent3 /var/lib/agent3-console/orders')).toBe(
      'root:agent3-console 2750\nagent3-console:root 2750\n',
    );
    const session = await propose('id -un');
    const digest = await digestShown(session);
    expect((await page.order({ kind: 'approve', session, digest })).state).toBe('done');
    expect(await read(session)).toMatchObject({ stdout: 'root\n' });
    await vm.sh('agent3 install --user agent3', 200);
    expect(await page.state()).toMatchObject({ user: 'agent3', root_full: false });
    expect(await vm.sh('stat -c "%U:%G %a" /run/agent3 /var/lib/agent3-console/orders')).toBe(
      'agent3:agent3-console 2750\nagent3-console:agent3 2750\n',
    );
  }, 500_000);

  test('tells that passkeys end with a new name, and keeps the key', async () => {
    const key = await vm.sh('grep AGENT3_CONSOLE_KEY= /etc/agent3/console.env');
    const told = await vm.sh('agent3 install --console-domain console.localhost', 200);
    expect(told).toContain(`the console moves from ${ORIGIN} to https://console.localhost, where its passkeys (1)`);
    expect(await vm.sh('grep AGENT3_CONSOLE_KEY= /etc/agent3/console.env')).toBe(key);
    expect(await vm.sh('agent3 status')).toContain('console    https://console.localhost, passkeys: 0');
    await vm.sh('agent3 install --no-console', 200);
    expect((await vm.run('ls /etc/caddy/agent3-console.caddy; systemctl is-active agent3-console.socket')).stdout).toBe(
      'inactive\n',
    );
    expect(await vm.sh('agent3 install', 200)).toStartWith('Nothing to change');
    await healthyWithin(vm, 60);
  }, 500_000);
});
