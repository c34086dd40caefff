import { afterAll, beforeAll, expect, test } from 'bun:test';
import { build } from '../../ops/build.ts';
import { type ApprovalRequest, digestOf } from '../../src/access/approval-request.ts';
import { newOrder, type Order } from '../../src/console/order.ts';
import type { ShownServer, WatchedFleet } from '../../src/console/shown-servers.ts';
import { Authenticator } from '../helpers/authenticator.ts';
import { ensurePrograms } from '../helpers/debian.ts';
import { eventually } from '../helpers/waiting.ts';
import { BUNDLE } from './harness/bundle.ts';
import { ConsolePage } from './harness/console.ts';
import { describeVm } from './harness/describe.ts';
import { ask, faultsOf, shellIn } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

ensurePrograms('nats-server');

/** The version of the same source to which server and hub are upgraded. */
const NEXT = '9.9.9';
const NATS = '127.0.0.1:4222';
const ORIGIN = 'http://localhost:8443';
const CAREFUL = 'extends = "full"\\n[[rules]]\\naction = "confirm"\\ncommand = "rm"\\n';
/** Where root of a server moves directories that lie among the hub's orders. */
const MOVED = '/var/lib/agent3/removed-*';
const PID = 'systemctl show -p MainPID --value agent3';
/** A command that runs until the test is there. */
const WAITS = 'until [ -e /opt/go ]; do sleep 0.1; done; echo it is there';

/** Three machines, each with the installed service. They have no network, so the way to NATS leads through the host. */
describeVm('a fleet of an installed hub and two installed servers', () => {
  const machines: Vm[] = [];
  let hub: Vm;
  let web1: Vm;
  let web2: Vm;
  let page: ConsolePage;
  const keys: Record<string, string> = {};
  /** What names a server in an order. */
  const on = (name: string) => ({ server: keys[name] ?? '', server_name: name });

  beforeAll(async () => {
    const next = { '/opt/next/agent3': build('agent3-fleet-next', undefined, NEXT) };
    const boot = async (files: Readonly<Record<string, string>>): Promise<Vm> => {
      const vm = await bootVm({ needs: 'container', files: { ...BUNDLE, ...files } });
      machines.push(vm);
      return vm;
    };
    [hub, web1, web2] = await Promise.all([
      boot({ ...next, '/opt/nats-server': '/usr/sbin/nats-server' }),
      boot(next),
      boot({}),
    ]);
    const nats = await hub.reach(NATS);
    // openssl comes with the image.
    await hub.sh('install -m 755 /opt/nats-server /usr/sbin/nats-server');
    await Promise.all([web1, web2].map((vm) => vm.forward(NATS, nats)));
    await Promise.all(machines.map((vm) => vm.sh('/opt/bundle/ops/install')));
    await web1.sh(`printf '${CAREFUL}' > /etc/agent3/profiles.d/careful.toml`);
    page = new ConsolePage(hub, ORIGIN, `--unix-socket /run/agent3-console.sock ${ORIGIN}`);
  }, 600_000);
  afterAll(async () => {
    await Promise.all(machines.map((vm) => vm[Symbol.asyncDispose]()));
  });

  /** Has a server join; returns what its terminal shows. */
  const join = async (vm: Vm, name: string, profile: string, labels: string): Promise<string> => {
    const told = await hub.sh(`setsid agent3 fleet invite ${name} --label ${labels} --json > /opt/${name} 2>&1 &
until grep code /opt/${name}; do sleep 0.1; done`);
    const { url, code } = JSON.parse(told) as { readonly url: string; readonly code: string };
    const shown = await vm.sh(`echo '${code}' | agent3 join '${url}' --profile ${profile}`);
    await hub.until(`grep joined /opt/${name}`, 30);
    const { key } = await listed(name);
    keys[name] = key;
    return shown;
  };
  /** What `fleet show` says of a server. */
  const listed = async (name: string) =>
    JSON.parse(await hub.sh(`agent3 fleet show ${name} --json`)) as { readonly key: string; readonly version?: string };
  const called = async (server: string, cmd: string) => (await ask(hub, 'shell', { server, cmd })).body;
  /** Waits until commands run on these servers again. */
  const answer = (...names: string[]) =>
    Promise.all(
      names.map((name) =>
        eventually(`${name} answers`, async () => (await called(name, 'echo 1'))['stdout'] === '1\n'),
      ),
    );
  /** The server of this name in the console of the hub, as soon as it is as it should be. */
  const shown = (name: string, what: string, isSo: (server: ShownServer) => boolean): Promise<ShownServer> =>
    eventually(`${name} ${what}`, async () => {
      // An agent that was just started is not there at once.
      const { fleet } = (await page.call('servers', { version: 0, wait_ms: 0 })).body as Partial<WatchedFleet>;
      const found = fleet?.servers.find((one) => one.name === name);
      return found !== undefined && isSo(found) && found;
    });
  /** Thaws a server as it is shown. */
  const thaw = async (name: string) => {
    const { frozen } = await shown(name, 'is frozen', (one) => one.frozen !== null);
    const { since = 0, again } = frozen ?? {};
    return page.order({ kind: 'thaw', since, ...on(name), ...(again !== undefined && { again }) });
  };
  /** Proposes a command on web1 that needs approval; its session in the fleet, and the order that approves it. */
  const propose = async (cmd: string) => {
    const { body } = await ask(hub, 'shell', { server: 'web1', cmd, background: true });
    const tagged = String(body['session']);
    const [session = ''] = tagged.split('@');
    const { key } = await shown('web1', 'waits', ({ waiting }) => waiting.some((one) => one.session === session));
    const read = await page.ask('server-reading', { server: key, op: 'request', args: { session, from: 0 } });
    const digest = digestOf(JSON.parse(String(read['text'])) as ApprovalRequest);
    return { tagged, approve: { kind: 'approve', session, digest, ...on('web1') } as const };
  };
  const read = async (session: string) => (await ask(hub, 'read_session', { session, wait: 20 })).body;
  const statusOf = async (vm: Vm): Promise<number> => (await ask(vm, 'shell', { cmd: 'true' })).status;

  test('is made by one command, whose files and processes nobody but root and NATS changes or reads', async () => {
    // Debian's package makes this user.
    const { code, stderr } = await hub.run('agent3 fleet init --host 127.0.0.1');
    const [useradd = ''] = /useradd .*/.exec(stderr) ?? [];
    expect({ code, useradd }).toEqual({ code: 1, useradd: expect.stringMatching(/ nats$/) });
    const { stdout } = await hub.run(`${useradd} && agent3 fleet init --host 127.0.0.1`);
    expect(stdout).toContain('NATS runs on port 4222');
    expect(stdout).not.toMatch(/SU[A-Z2-7]{50}/);
    expect(
      (await hub.run('systemctl is-active agent3-nats; systemctl is-enabled agent3-nats; ps -o user= -C nats-server'))
        .stdout,
    ).toBe('active\nenabled\nnats\n');
    const files = await hub.run('stat -c "%U %G %a %n" /etc/agent3/fleet/* /etc/agent3/agent3.env');
    expect(
      files.stdout
        .split('\n')
        .filter((line) => line !== '')
        .sort(),
    ).toEqual(
      [
        'root root 600 /etc/agent3/agent3.env',
        'root root 644 /etc/agent3/fleet/cert.pem',
        'root root 600 /etc/agent3/fleet/invites.json',
        'root nats 640 /etc/agent3/fleet/key.pem',
        'root nats 640 /etc/agent3/fleet/nats.conf',
        'root root 644 /etc/agent3/fleet/nats.json',
        'root root 644 /etc/agent3/fleet/servers.json',
      ].sort(),
    );
    await eventually('the hub is there', async () => (await ask(hub, 'list_servers', {})).status === 200);
    // What a command of the agent's user in the profile full tries.
    for (const attack of [
      'echo {} > /etc/agent3/fleet/servers.json',
      'cat /etc/agent3/fleet/key.pem',
      'cat /proc/$(pgrep -x agent3 | head -1)/environ | tr "\\0" "\\n" | grep FLEET_KEY',
    ]) {
      const { body } = await ask(hub, 'shell', { cmd: attack });
      expect(`${attack}: ${body['exit_code']}`).not.toEndWith(': 0');
    }
  }, 120_000);

  test('takes in servers that pin the passkey of its console, calls them, and misses NATS', async () => {
    await page.enrol();
    await page.signIn();
    const { fingerprint } = await page.phone.passkey();
    expect(await join(web1, 'web1', 'careful', 'role=web env=prod')).toContain(fingerprint);
    expect(await join(web2, 'web2', 'full', 'role=web')).toContain(fingerprint);
    await answer('web1', 'web2');
    for (const [name, vm] of Object.entries({ hub, web1, web2 })) {
      await vm.sh(`echo ${name} > /opt/name`);
      expect(await called(name, 'cat /opt/name')).toMatchObject({ server: name, stdout: `${name}\n` });
    }
    expect((await ask(hub, 'run_on', { select: 'role=web', cmd: 'id -un' })).body).toMatchObject({
      groups: [{ servers: ['web[1-2]'], exit_code: 0, stdout: 'agent3\n' }],
    });
    await eventually('the status has them', async () =>
      (await hub.run('agent3 status')).stdout.includes('fleet      hub of 2 servers, 2 connected'),
    );
    const list = await hub.sh('agent3 fleet list');
    expect(list).toMatch(/^web1 +connected +careful +role=web env=prod$/m);
    expect(list).toMatch(/^web2 +connected +full +role=web$/m);
    await hub.sh('systemctl stop agent3-nats');
    await eventually('NATS is missed', async () =>
      (await hub.run('agent3 doctor')).stdout.includes('the hub is not connected to NATS'),
    );
    await hub.sh('systemctl start agent3-nats');
    await answer('web1', 'web2');
    expect((await hub.run('agent3 doctor')).stdout).toContain(
      'hub of 2 servers, 2 connected; agent3 fleet list shows which',
    );
  }, 120_000);

  test('runs on a server what its owner approves at the console of the hub, as that server checks', async () => {
    const { tagged, approve } = await propose('rm -f /opt/none; echo approved by $(id -un)');
    await expect(page.order(approve, false)).rejects.toThrow('PasskeyNeeded');
    const order = { ...newOrder(), ...approve } as Order;
    const forged = { order, assertion: await new Authenticator().sign(order) };
    expect(await page.ask('order', forged)).toMatchObject({
      state: 'refused',
      why: expect.stringContaining('passkey'),
    });
    expect(await page.order({ ...approve, ...on('web2') })).toMatchObject({ state: 'refused' });
    expect(await page.order(approve)).toMatchObject({ state: 'done' });
    expect(await read(tagged)).toMatchObject({ server: 'web1', stdout: 'approved by agent3\n', exit_code: 0 });
    expect(await web1.sh('agent3 audit verify')).toContain('orders signed by passkeys: 1 by Pixel 9');
  }, 120_000);

  test('freezes one server through root of both, without its agent, and thaws it by a passkey alone', async () => {
    await hub.sh('systemctl kill -s KILL --kill-whom=main agent3; systemctl stop agent3');
    expect(await page.order({ kind: 'freeze', reason: 'looking', ...on('web1') })).toMatchObject({ state: 'done' });
    expect(await Promise.all([web1, web2].map(statusOf))).toEqual([503, 200]);
    expect(await web1.sh('systemctl show -P FreezerState agent3-commands')).toBe('frozen\n');
    expect(await web1.sh('journalctl -u agent3-hub-obey -o cat --no-pager')).toContain('freeze of the hub: done');
    expect((await hub.run('agent3 fleet list')).stdout).toMatch(/^web1 +connected .* frozen$/m);
    await hub.sh('systemctl start agent3');
    await hub.until(`grep '"kind":"freeze"' /var/log/agent3/audit.jsonl | grep '"passed_on":"done"'`, 30);
    const { frozen } = await shown('web1', 'is frozen', (one) => one.frozen !== null);
    expect(frozen).toMatchObject({ reason: 'looking' });
    // Of a console that was taken over.
    const order = { ...newOrder(), kind: 'thaw', since: frozen?.since, ...on('web1') };
    const path = `/var/lib/agent3-console/root-orders/${order.id}.json`;
    await hub.sh(`printf '%s' '${JSON.stringify({ order, by: 'Anna' })}' > /opt/order
install -o agent3-console -g agent3 -m 640 /opt/order ${path}.new && mv ${path}.new ${path}`);
    expect(await hub.until(`cat /run/agent3-orders/order-${order.id}.json`, 30)).toContain(
      'it needs the signature of a passkey',
    );
    expect(await statusOf(web1)).toBe(503);
    expect(await thaw('web1')).toMatchObject({ state: 'done' });
    await eventually('web1 is thawed', async () => (await statusOf(web1)) === 200);
  }, 120_000);

  test('freezes all at once, itself too, and thaws them', async () => {
    const all = [{}, on('web1'), on('web2')];
    const freezes = all.map((one) => page.order({ kind: 'freeze', reason: 'all', ...one }));
    expect(await Promise.all(freezes)).toMatchObject([{ state: 'done' }, { state: 'done' }, { state: 'done' }]);
    expect(await Promise.all([hub, web1, web2].map(statusOf))).toEqual([503, 503, 503]);
    const { frozen } = (await page.state()) as { frozen: { since: number } };
    const thaws = [page.order({ kind: 'thaw', since: frozen.since }), thaw('web1'), thaw('web2')];
    expect(await Promise.all(thaws)).toMatchObject([{ state: 'done' }, { state: 'done' }, { state: 'done' }]);
    await answer('hub', 'web1', 'web2');
  }, 120_000);

  test('whose server is upgraded has it again as it was: key, name, profile, labels, sessions; a call waits', async () => {
    const { version: earlier, ...before } = await listed('web1');
    const { session } = await called('web1', 'echo kept');
    const pid = await hub.sh(PID);
    const call = called('web1', WAITS);
    await web1.until('systemctl show -P StatusText agent3 | grep commands=1', 30);
    const told = await web1.sh(`/opt/next/agent3 install > /opt/told 2>&1 &
until grep -q 'wait up to' /opt/told || ! kill -0 $!; do sleep 0.1; done
touch /opt/go; wait $!; code=$?; cat /opt/told; exit $code`);
    expect(told).toContain(`Agent3 was upgraded from ${earlier} to ${NEXT}, and answers.`);
    expect(await call).toMatchObject({ server: 'web1', status: 'done', stdout: 'it is there\n' });
    await answer('web1');
    expect(await listed('web1')).toEqual({ ...before, version: NEXT });
    expect(await read(String(session))).toMatchObject({ server: 'web1', status: 'done', stdout: 'kept\n' });
    await shown('web1', 'has its version', ({ version }) => version === NEXT);
    await shown('web2', 'has its version', ({ version }) => version === earlier);
    expect(await hub.sh(PID)).toBe(pid);
    expect(await faultsOf(web1)).toEqual([]);
  }, 120_000);

  test('whose hub is upgraded, NATS too, has all servers again, which nobody has touched', async () => {
    const { body } = await ask(hub, 'shell', { server: 'web2', cmd: WAITS, background: true });
    const agents = () => Promise.all([web1.sh(PID), web2.sh(PID)]);
    const before = await agents();
    // As another version has written it; NATS is restarted then, and else not.
    const unit = '/etc/systemd/system/agent3-nats.service';
    await hub.sh(`cp ${unit} /opt/unit; sed -i s/^LimitNOFILE=.*/LimitNOFILE=4096/ ${unit}; systemctl daemon-reload`);
    const nats = await hub.sh(`${PID}-nats`);
    expect(await hub.sh('/opt/next/agent3 install')).toContain(` to ${NEXT}, and answers.`);
    await answer('web1', 'web2');
    const after = await hub.sh(`cmp ${unit} /opt/unit; ${PID}-nats`);
    expect(after).not.toBe(nats);
    expect(await hub.sh(`agent3 install; ${PID}-nats`)).toMatch(new RegExp(`^Nothing to change[^]*\n${after}$`));
    expect(await agents()).toEqual(before);
    await web2.sh('touch /opt/go');
    expect(await read(String(body['session']))).toMatchObject({ server: 'web2', stdout: 'it is there\n' });
    expect(await hub.sh('agent3 fleet list | grep -c " connected "')).toBe('2\n');
    // The console takes the same passkey, and root of both obeys it.
    await page.signIn();
    const { tagged, approve } = await propose('rm -f /opt/none; echo approved again');
    expect(await page.order(approve)).toMatchObject({ state: 'done' });
    expect(await read(tagged)).toMatchObject({ stdout: 'approved again\n' });
    for (const [name, vm] of Object.entries({ web1, web2 })) {
      expect(await page.order({ kind: 'freeze', reason: '', ...on(name) })).toMatchObject({
        state: 'done',
      });
      expect(await statusOf(vm)).toBe(503);
      expect(await thaw(name)).toMatchObject({ state: 'done' });
    }
    expect(await faultsOf(hub)).toEqual([]);
    for (const vm of machines) await vm.sh('agent3 audit verify');
  }, 120_000);

  test('has what commands of a server leave for its root taken away, and obeys none of it', async () => {
    await shellIn(
      web2,
      'cd /var/lib/agent3/hub-orders && mkdir -p a/b && echo x > x && echo {} > $(cat /proc/sys/kernel/random/uuid).json',
    );
    await eventually('it is gone', async () => (await web2.sh('ls -A /var/lib/agent3/hub-orders')) === '');
    // The agent removes what root has moved away, with its next order.
    expect(await page.order({ kind: 'freeze', reason: 'again', ...on('web2') })).toMatchObject({ state: 'done' });
    await web2.until(`! ls -d ${MOVED}`, 30);
    expect(await thaw('web2')).toMatchObject({ state: 'done' });
    expect(await statusOf(web2)).toBe(200);
    expect(await faultsOf(web2)).toEqual([]);
  }, 120_000);

  test('loses a server within seconds of its removal, and keeps the other', async () => {
    await hub.sh('agent3 fleet remove web1');
    await eventually('web1 is gone', async () => (await called('web1', 'true'))['error'] === 'Invalid args');
    await web1.until("grep 'the hub does not know this server any more' /var/log/agent3/agent3.log", 30);
    await answer('web2');
    expect(await hub.sh('agent3 fleet list')).toMatch(/^web2 .*\n$/);
    await web1.sh(`mkdir -p ${MOVED.replace('*', crypto.randomUUID())}/a; agent3 leave`);
    const left = `ls -d ${MOVED} /etc/agent3/hub* /var/lib/agent3/hub-orders; systemctl is-active agent3-hub-obey.path`;
    expect((await web1.run(left)).stdout).toBe('inactive\n');
    expect(await statusOf(web1)).toBe(200);
  }, 120_000);

  test('is there again when hub and server were uninstalled and are installed again', async () => {
    await Promise.all([hub, web2].map((vm) => vm.sh('agent3 uninstall; /opt/bundle/ops/install')));
    await answer('web2');
    for (const vm of [hub, web2]) expect(await faultsOf(vm)).toEqual([]);
    expect(await hub.sh('systemctl is-enabled agent3-nats')).toBe('enabled\n');
    expect(await web2.sh('systemctl is-enabled agent3-hub-obey.path')).toBe('enabled\n');
  }, 120_000);

  test('goes with the service', async () => {
    await Promise.all([hub, web2].map((vm) => vm.sh('agent3 uninstall --purge')));
    const units = 'agent3-nats.service agent3-hub-obey.path';
    for (const vm of [hub, web2]) {
      const { stdout } = await vm.run(
        `cd /etc/systemd/system; ls -d /etc/agent3 ${units}; systemctl is-active ${units}`,
      );
      expect(stdout).toBe('inactive\ninactive\n');
    }
  }, 120_000);
});
