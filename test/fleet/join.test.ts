import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { InviteHost, InviteSecret, joinFleet } from '../../src/fleet/join.ts';
import { SigningKey } from '../../src/fleet/keys.ts';
import { connectOnce } from '../../src/fleet/nats.ts';
import { TestNats } from '../helpers/nats.ts';
import { eventually } from '../helpers/waiting.ts';

/**
 * A way to NATS that ends every second attempt to connect, the first one too, as NATS does when it reads its configuration.
 * An attempt is passed on after `ready`, with its number from 0.
 */
function unsteadyWay(port: number, ready: (attempt: number) => Promise<unknown>) {
  const sockets: Socket[] = [];
  let attempts = 0;
  const server = createServer(async (client) => {
    const attempt = attempts++;
    if (attempt % 2 === 0) return void client.destroy();
    await ready(attempt);
    const nats = connect(port, '127.0.0.1');
    for (const socket of [client, nats]) sockets.push(socket.on('error', () => {}));
    client.pipe(nats).pipe(client);
  }).listen(0, '127.0.0.1');
  const { port: own } = server.address() as { readonly port: number };
  const end = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `tls://127.0.0.1:${own}`, attempts: () => attempts, [Symbol.dispose]: end };
}

test('a server joins although NATS ends and refuses attempts to connect, before the hub has taken it in and after', async () => {
  await using nats = await TestNats.start();
  const { secret, code } = InviteSecret.create();
  const [host, own] = [SigningKey.create(), SigningKey.create()];
  const refused = Promise.withResolvers<void>();
  const invited = Promise.withResolvers<void>();
  using way = unsteadyWay(Number(new URL(nats.url).port), async (attempt) => {
    if (attempt === 1) return;
    refused.resolve();
    await invited.promise;
  });
  const pinned: string[] = [];
  const joining = joinFleet(way.url, new InviteSecret(secret.id, code), { key: own, profile: 'full' }, ({ name }) =>
    pinned.push(name),
  );
  await Promise.race([refused.promise, joining]);
  nats.invite({ id: secret.id, guestKey: secret.guest.publicKey, hostKey: host.publicKey });
  nats.reload();
  const connection = await eventually('the invitation counts', () =>
    connectOnce(nats.address(host)).catch(() => undefined),
  );
  await using inviting = await InviteHost.open(connection, secret, ({ key, profile }) => {
    const server = { name: 'web1', key, labels: {}, profile, joined_at: Date.now() };
    nats.inventory = { ...nats.inventory, servers: [server] };
    nats.reload();
    const certificate = readFileSync(nats.certificate, 'utf8');
    return { hub: 'hub', hub_key: nats.hub.publicKey, url: way.url, certificate, name: 'web1' };
  });
  invited.resolve();
  await Promise.all([joining, inviting.confirmed]);
  expect(pinned).toEqual(['web1']);
  expect(way.attempts()).toBeGreaterThanOrEqual(6);
});
