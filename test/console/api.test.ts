import { expect, test } from 'bun:test';
import { Api, type ApiDeps } from '../../src/console/api.ts';
import { newOrder, type OrderFile } from '../../src/console/order.ts';

test('a session that was stolen cannot have the agent read its orders alone', async () => {
  const left: OrderFile[] = [];
  const api = new Api({
    people: { find: () => ({ name: 'Tablet', until: Date.now() + 60_000, passkey: false }) },
    postBox: { leaveOrder: (file: OrderFile) => left.push(file), removeOrder: () => {} },
    wire: { request: async (_: string, { id }: { id: string }) => ({ id, state: 'refused' }) },
    rpId: 'localhost',
  } as unknown as ApiDeps);
  const order = (bearer: string) => {
    const body = { order: { ...newOrder(), kind: 'stop', session: newOrder().id } };
    const call = { name: 'order', body, bearer, address: '192.0.2.1', signal: new AbortController().signal };
    return api.answer(call).catch(({ status }: { status: number }) => status);
  };
  const answers = [];
  for (let count = 0; count < 200; count++) answers.push(await order('stolen'));
  expect(left.length).toBeGreaterThanOrEqual(120);
  expect(left.length).toBeLessThan(130);
  expect(answers.at(-1)).toBe(429);
  expect(await order('of the owner')).toMatchObject({ state: 'refused' });
});
