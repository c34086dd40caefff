import { afterAll, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { newOrder, type Order } from '../../src/console/order.ts';
import { REQUEST, seal } from '../../src/fleet/envelope.ts';
import { obeyOne } from '../../src/fleet/hub-root.ts';
import { SigningKey } from '../../src/fleet/keys.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const directory = new TemporaryDirectory();
const hubFile = directory.join('hub.json');
const [hub, server] = [SigningKey.create(), SigningKey.create()];
afterAll(() => directory[Symbol.dispose]());

function pinHub(key: SigningKey): void {
  const name = { hub: 'hub', name: 'web1', profile: 'full', joined_at: 0 };
  const keys = { hub_key: key.publicKey, key: server.publicKey, certificate: '', url: 'tls://127.0.0.1:4222' };
  writeFileSync(hubFile, JSON.stringify({ version: 1, ...name, ...keys }), { mode: 0o644 });
}

/** What root says to an order, in a message that `key` has signed. */
async function said(order: Order, key = hub) {
  const request = {
    ...{ server: server.publicKey, instance: order.id, id: order.id, not_after: 0, op: 'order', name: 'web1' },
    ...({ principal: 'console', request: order.id, reach: 'readonly', address: '', lean: true } as const),
    ...{ reply_ms: 1000, max_chars: 1000, args: { order, by: 'Anna' } },
  };
  const actions = { freeze: async () => {}, lastFreeze: () => undefined, thaw: () => {} };
  return obeyOne({ hubFile, own: process.geteuid?.(), actions }, order.id, seal(REQUEST, request, key));
}

async function freezeAt(at: number, key = hub) {
  const order = { ...newOrder(at), server: server.publicKey, kind: 'freeze', reason: '' } as const;
  return (await said(order, key)).state;
}

test('an order counts once and in order, and a wrong clock of the hub bars it for a day at most', async () => {
  const now = Date.now();
  pinHub(hub);
  expect(await freezeAt(now, SigningKey.create())).toBe('refused');
  expect(await freezeAt(now)).toBe('done');
  for (const at of [now, now - 1]) expect(await freezeAt(at)).toBe('refused');
  // Its clock was set ten days ahead for once.
  expect(await freezeAt(now + 864_000_000)).toBe('done');
  const { at } = JSON.parse(readFileSync(directory.join('hub-ordered.json'), 'utf8')) as { readonly at: number };
  expect(at).toBeLessThan(Date.now() + 86_400_001);
  expect(await freezeAt(now + 1000)).toBe('refused');
  // Another hub has another clock.
  const next = SigningKey.create();
  pinHub(next);
  expect(await freezeAt(now + 1000, hub)).toBe('refused');
  expect(await freezeAt(now + 1000, next)).toBe('done');
});

test('what is signed for a server with another name is refused: that is what the person was shown', async () => {
  pinHub(hub);
  const thaw = { ...newOrder(), server: server.publicKey, kind: 'thaw', since: 1 } as const;
  const why = async (order: Order): Promise<string | undefined> => (await said(order)).why;
  expect(await why({ ...thaw, server_name: 'web2' })).toBe(
    'it was signed for web2, and this server is web1: the hub has shown a wrong name',
  );
  expect(await why(thaw)).toContain('it was signed without the name of a server');
  expect(await why({ ...thaw, server_name: 'web1' })).toContain('no passkey of the hub is pinned');
  expect(await why({ ...thaw, server: hub.publicKey, server_name: 'web1' })).toBe('it is for another server');
});
