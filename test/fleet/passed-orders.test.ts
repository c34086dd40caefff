import { expect, test } from 'bun:test';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PassedLine } from '../../src/console/passed-on.ts';
import { notePassed, PassedOrders } from '../../src/fleet/passed-orders.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { eventually } from '../helpers/waiting.ts';

const logger = { info: () => {}, warn: () => {}, error: () => {} };

function line(order: string): PassedLine {
  return { kind: 'freeze', by: 'Anna (console)', order, server: 'web1@abcdefgh', passed_on: 'done' };
}

/** An agent of a hub: the orders that it has put on record. */
function agent(directory: string, endOfEarlier: number | undefined) {
  const orders: unknown[] = [];
  const trail = { agent: (_: string, fields: Readonly<Record<string, unknown>>) => void orders.push(fields) };
  const passed = new PassedOrders({ directory, trail, endOfEarlier, logger });
  return {
    orders,
    ids: () => orders.map((one) => (one as PassedLine).order),
    [Symbol.dispose]: () => passed[Symbol.dispose](),
  };
}

test('what root passes on is put on record once, also what an agent that was dead has missed', async () => {
  using place = new TemporaryDirectory();
  notePassed(place.path, line('before'));
  {
    using first = agent(place.path, Date.now() + 10_000);
    expect(first.ids()).toEqual([]);
    notePassed(place.path, line('first'));
    notePassed(place.path, { ...line('second'), passed_on: 'refused', why: 'nothing was done' });
    await eventually('both are on record', () => first.ids().length === 2);
    expect(first.orders[1]).toMatchObject({ ...line('second'), passed_on: 'refused', why: 'nothing was done' });
    expect(Date.parse(String((first.orders[1] as { at: string }).at))).toBeGreaterThan(Date.now() - 10_000);
    // At its end it looks once more.
    notePassed(place.path, line('third'));
    first[Symbol.dispose]();
    expect(first.ids()).toEqual(['first', 'second', 'third']);
  }
  const end = Date.now() + 3000;
  const file = join(place.path, 'passed-on.jsonl');
  Bun.spawnSync([
    'sh',
    '-c',
    `echo '${JSON.stringify({ at: end, ...line('missed') })}' >> ${file}; printf '{"at"' >> ${file}`,
  ]);
  using next = agent(place.path, end);
  expect(next.ids()).toEqual(['missed']);
});

test('a file that others may write to is not believed, and one that grows too large keeps its newer half', () => {
  using place = new TemporaryDirectory();
  const file = join(place.path, 'passed-on.jsonl');
  for (let count = 0; count < 100; count++) notePassed(place.path, line(`number ${count}`), 4000);
  expect(statSync(file).size).toBeLessThan(4400);
  const ids = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((one) => (JSON.parse(one) as PassedLine).order);
  expect(ids.at(-1)).toBe('number 99');
  using good = agent(place.path, undefined);
  expect(good.ids()).toEqual(ids);
  Bun.spawnSync(['chmod', 'go+w', file]);
  using bad = agent(place.path, undefined);
  expect(bad.ids()).toEqual([]);
});
