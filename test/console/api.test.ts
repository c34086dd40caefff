import { expect, test } from 'bun:test';
import { Api, type ApiDeps } from '../../src/console/api.ts';
import { newOrder, type OrderFile } from '../../src/console/order.ts';

test('a session that was stolen cannot keep the agent busy alone', async () => {
  const left: OrderFile[] = [];
  const api = new Api({
    people: { find: () => ({ name: 'Tablet', until: Date.now() + 60_000, passkey: false }) },
    postBox: { leaveOrder: (file: OrderFile) => left.push(file), removeOrder: () => {} },
    wire: { request: async (_: string, { id }: { id: string }) => ({ id, state: 'refused' }) },
    rpId: 'localhost',
  } as unknown as ApiDeps);
  const { signal } = new AbortController();
  const call = (name: string, body: object, bearer: string) =>
    api.answer({ name, body, bearer, address: '192.0.2.1', signal }).catch(({ status }: { status: number }) => status);
  const order = (bearer: string) =>
    call('order', { order: { ...newOrder(), kind: 'stop', session: newOrder().id } }, bearer);
  const answers = [];
  for (let count = 0; count < 200; count++) answers.push(await order('stolen'));
  expect(left.length).toBeGreaterThanOrEqual(120);
  expect(left.length).toBeLessThan(130);
  expect(answers.at(-1)).toBe(429);
  for (const [name, most] of [
    ['watch', 7000],
    ['request', 2000],
  ] as const) {
    const some = [];
    for (let count = 0; count < 8000; count++) some.push(await call(name, {}, name));
    expect(some.filter((one) => one !== 429).length).toBeLessThan(most);
    expect(await order(name)).toMatchObject({ state: 'refused' });
  }
  expect(await order('of the owner')).toMatchObject({ state: 'refused' });
});

test('one tap freezes a fleet of hundreds', async () => {
  const left: OrderFile[] = [];
  const api = new Api({
    people: { find: () => ({ name: 'Tablet', until: Date.now() + 60_000, passkey: false }) },
    postBox: {
      leaveOrder: (file: OrderFile) => left.push(file),
      rootResult: ({ id }: { id: string }) => ({ id, state: 'done' }),
      removeOrder: () => {},
    },
    rpId: 'localhost',
  } as unknown as ApiDeps);
  const { signal } = new AbortController();
  for (let count = 0; count < 500; count++) {
    const body = { order: { ...newOrder(), kind: 'freeze', reason: '', server: `U${'A'.repeat(55)}` } };
    const call = { name: 'order', body, bearer: 'owner', address: '192.0.2.1', signal };
    expect(await api.answer(call)).toMatchObject({ state: 'done' });
  }
  expect(left).toBeArrayOfSize(500);
});

test('the contents of files are for a passkey alone', async () => {
  const asked: string[] = [];
  const api = new Api({
    people: { find: (bearer: string) => ({ name: 'Tablet', until: Date.now() + 60_000, passkey: bearer === 'owner' }) },
    wire: {
      request: async (name: string) => {
        asked.push(name);
        return { diff: '-secret' };
      },
    },
  } as unknown as ApiDeps);
  const { signal } = new AbortController();
  const call = (name: string, bearer: string) =>
    api.answer({ name, body: {}, bearer, address: '192.0.2.1', signal }).catch(({ code }: { code: string }) => code);
  expect(await call('change', 'visitor')).toBe('PasskeyNeeded');
  expect(asked).toEqual([]);
  expect(await call('changes', 'visitor')).toEqual({ diff: '-secret' });
  expect(await call('change', 'owner')).toEqual({ diff: '-secret' });
});
