import { afterAll, beforeAll, expect, test } from 'bun:test';
import { newOrder, type Order } from '../../src/console/order.ts';
import { Authenticator } from '../helpers/authenticator.ts';
import type { Without } from '../helpers/console.ts';
import { ensurePrograms } from '../helpers/debian.ts';
import { eventually } from '../helpers/waiting.ts';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { ask, faultsOf } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

ensurePrograms('nats-server');

/** The hub is the installed service; the server of it an agent that root has started by hand, on the same machine. */
describeVm('a fleet on an installed hub', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ needs: 'container', files: { ...BUNDLE, '/opt/nats-server': '/usr/sbin/nats-server' } });
    // As Debian's package does it; openssl comes with the image.
    await vm.sh(`install -m 755 /opt/nats-server /usr/sbin/nats-server
useradd --system --user-group --no-create-home --shell /usr/sbin/nologin nats
/opt/bundle/ops/install`);
  }, 300_000);
  afterAll(async () => {
    await vm?.[Symbol.asyncDispose]();
  });

  const keyOf = async (name: string): Promise<string> =>
    (JSON.parse((await vm.run(`agent3 fleet show ${name} --json`)).stdout) as { readonly key: string }).key;
  const called = async (args: object) => (await ask(vm, 'shell', { server: 'web1', ...args })).body;

  test('is made by one command, whose files and processes nobody but root and NATS changes or reads', async () => {
    const { stdout } = await vm.run('agent3 fleet init --host 127.0.0.1');
    expect(stdout).toContain('NATS runs on port 4222');
    expect(stdout).not.toMatch(/SU[A-Z2-7]{50}/);
    expect(
      (await vm.run('systemctl is-active agent3-nats; systemctl is-enabled agent3-nats; ps -o user= -C nats-server'))
        .stdout,
    ).toBe('active\nenabled\nnats\n');
    const shown = await vm.run('stat -c "%U %G %a %n" /etc/agent3/fleet/* /etc/agent3/agent3.env');
    expect(
      shown.stdout
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
    await eventually('the hub is there', async () => (await ask(vm, 'list_servers', {})).status === 200);
    // What a command of the agent's user in the profile full tries.
    for (const attack of [
      'echo {} > /etc/agent3/fleet/servers.json',
      'cat /etc/agent3/fleet/key.pem',
      'cat /proc/$(pgrep -x agent3 | head -1)/environ | tr "\\0" "\\n" | grep FLEET_KEY',
    ]) {
      const { body } = await ask(vm, 'shell', { cmd: attack });
      expect(`${attack}: ${body['exit_code']}`).not.toEndWith(': 0');
    }
  }, 120_000);

  test('takes a server in, calls it, and removes it within seconds', async () => {
    await vm.sh(`agent3 fleet invite web1 --label role=web --json > /opt/invite 2>&1 &
until grep -q code /opt/invite; do sleep 0.1; done
url=$(sed -n 's/.*"url":"\\([^"]*\\)".*/\\1/p' /opt/invite) code=$(sed -n 's/.*"code":"\\([^"]*\\)".*/\\1/p' /opt/invite)
mkdir -p /opt/web1/approvals
echo "$code" | agent3 join "$url" --profile full --file /opt/web1/hub.json
until grep -q joined /opt/invite; do sleep 0.1; done
set -a; . /opt/web1/server.env; set +a
AGENT3_API_TOKEN=0123456789abcdef0123 AGENT3_PORT=5999 AGENT3_SESSIONS_DIR=/opt/web1/sessions AGENT3_APPROVALS_DIR=/opt/web1/approvals setsid agent3 serve > /opt/web1/log 2>&1 < /dev/null &`);
    await eventually('web1 answers', async () => (await called({ cmd: 'id -un' }))['stdout'] === 'root\n');
    expect((await ask(vm, 'shell', { cmd: 'id -un' })).body['stdout']).toBe('agent3\n');
    await eventually('the status has it', async () =>
      (await vm.run('agent3 status')).stdout.includes('fleet      hub of 1 server, 1 connected'),
    );
    expect((await vm.run('agent3 doctor')).stdout).toContain(
      'hub of 1 server, 1 connected; agent3 fleet list shows which',
    );
    expect((await vm.run('agent3 fleet list')).stdout).toMatch(/^web1 +connected +full +role=web/);
    await vm.sh('systemctl stop agent3-nats');
    await eventually('NATS is missed', async () =>
      (await vm.run('agent3 doctor')).stdout.includes('the hub is not connected to NATS'),
    );
    await vm.sh('systemctl start agent3-nats');
    await eventually('web1 is back', async () => (await called({ cmd: 'id -un' }))['stdout'] === 'root\n');
    // Root passes a freeze of the console on by itself, whatever the agent does.
    const order = { ...newOrder(), kind: 'freeze', reason: 'looking', server: await keyOf('web1') };
    const path = `/var/lib/agent3-console/root-orders/${order.id}.json`;
    await vm.sh(`systemctl kill -s KILL --kill-whom=main agent3; systemctl stop agent3
printf '%s' '${JSON.stringify({ order, by: 'Anna' })}' > /opt/order
install -o agent3-console -g agent3 -m 640 /opt/order ${path}.new && mv ${path}.new ${path}`);
    await eventually('root has answered', async () =>
      (await vm.run(`cat /run/agent3-orders/order-${order.id}.json`)).stdout.includes('"state":"done"'),
    );
    expect((await vm.run('cat /opt/web1/approvals/frozen')).stdout).toContain('"reason":"looking"');
    await vm.sh('systemctl start agent3');
    await eventually('the agent puts that on record', async () =>
      (await vm.run(`grep ${order.id} /var/log/agent3/audit.jsonl`)).stdout.includes('"passed_on":"done"'),
    );
    await vm.sh('agent3 fleet remove web1');
    await eventually('web1 is gone', async () => (await called({ cmd: 'true' }))['error'] === 'Invalid args');
    await eventually('the hub is connected again, and nothing is wrong', async () => (await faultsOf(vm)).length === 0);
  }, 120_000);

  test('of another hub, on which this server is one: its root freezes and thaws by orders of that console', async () => {
    const phone = new Authenticator();
    const passkeys = [await phone.passkey()];
    const pinned = JSON.stringify({ origin: phone.origin, rp_id: phone.rpId, passkeys, sessions: [] });
    await vm.sh(`mkdir -p /opt/console/root-orders && echo '${pinned}' > /opt/passkeys.json
export AGENT3_PASSKEYS_FILE=/opt/passkeys.json
agent3 fleet init --dir /opt/hub --host 127.0.0.1 --port 4333 --name other
(cd /opt/hub && setsid nats-server -c nats.conf > /opt/nats.log 2>&1 < /dev/null &)
until test -s /opt/hub/nats.pid; do sleep 0.1; done
agent3 fleet invite web2 --dir /opt/hub --json > /opt/invite2 2>&1 &
until grep -q code /opt/invite2; do sleep 0.1; done
url=$(sed -n 's/.*"url":"\\([^"]*\\)".*/\\1/p' /opt/invite2) code=$(sed -n 's/.*"code":"\\([^"]*\\)".*/\\1/p' /opt/invite2)
echo "$code" | agent3 join "$url" --profile full > /opt/joined`);
    expect(await vm.sh('cat /opt/joined; systemctl is-active agent3-hub-obey.path')).toMatch(
      new RegExp(`${passkeys[0]?.fingerprint}[^]*\nactive\n$`),
    );
    await eventually('the agent is back', async () => (await ask(vm, 'shell', { cmd: 'true' })).status === 200);
    const { key: server } = JSON.parse(await vm.sh('cat /etc/agent3/hub.json')) as { readonly key: string };
    /** What root of the hub says of an order: no agent runs there. */
    const order = async (what: Without<Order>, sign = false): Promise<string> => {
      const whole = { ...newOrder(await now()), server, server_name: 'web2', ...what } as Order;
      const file = { order: whole, by: 'Anna', ...(sign && { assertion: await phone.sign(whole) }) };
      return vm.sh(`echo '${JSON.stringify(file)}' > /opt/console/root-orders/${whole.id}.json
set -a; . /opt/hub/hub.env; AGENT3_CONSOLE_DIR=/opt/console AGENT3_CONSOLE_ANSWERS=/opt/answers
AGENT3_PASSKEYS_FILE=/opt/passkeys.json AGENT3_APPROVALS_DIR=/opt/console agent3 console obey`);
    };
    const now = async (): Promise<number> => Number(await vm.sh('date +%s%3N'));
    expect(await order({ kind: 'freeze', reason: 'from afar' })).toContain('done');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
    expect(await vm.sh('systemctl show -P FreezerState agent3-commands')).toBe('frozen\n');
    const { freezes } = JSON.parse(await vm.sh('cat /etc/agent3/approvals/frozen')) as { freezes: { since: number }[] };
    const since = freezes[0]?.since ?? 0;
    expect(await order({ kind: 'thaw', since })).toContain('it needs the signature of a passkey');
    expect(await order({ kind: 'thaw', since }, true)).toContain('done');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(200);

    // What commands of the agent's user leave for root is taken away, and is no order.
    await ask(vm, 'shell', {
      cmd: 'cd /var/lib/agent3/hub-orders && mkdir -p a/b && echo x > x && echo {} > $(cat /proc/sys/kernel/random/uuid).json',
    });
    await eventually('it is gone', async () => (await vm.sh('ls -A /var/lib/agent3/hub-orders')) === '');
    expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(200);
    expect(await vm.sh('agent3 audit verify')).toContain('orders signed by passkeys: 1 by Pixel 9');
    expect(await faultsOf(vm)).toEqual([]);
    // The agent removes what root has moved away, with its next order.
    expect(await order({ kind: 'freeze', reason: 'again' })).toContain('done');
    const moved = 'ls -d /var/lib/agent3/removed-*';
    await eventually('that is gone too', async () => (await vm.run(moved)).stdout === '');
    await vm.sh('agent3 thaw; mkdir -p /var/lib/agent3/removed-$(cat /proc/sys/kernel/random/uuid)/a; agent3 leave');
    const left = `${moved} /etc/agent3/hub* /var/lib/agent3/hub-orders; systemctl is-active agent3-hub-obey.path`;
    expect((await vm.run(left)).stdout).toBe('inactive\n');
  }, 120_000);

  test('goes with the service', async () => {
    await vm.sh('agent3 uninstall --purge');
    const left = await vm.run(
      'ls -d /etc/agent3 /etc/systemd/system/agent3-nats.service; systemctl is-active agent3-nats',
    );
    expect(left.stdout).toBe('inactive\n');
  }, 120_000);
});
