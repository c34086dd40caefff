import { expect, test } from 'bun:test';
import { afterLastWrites } from '../../src/process/last-writes.ts';

test('what has ended between two looks is not left behind', async () => {
  const ended = Bun.spawn(['true']);
  await ended.exited;
  expect(await afterLastWrites([ended.pid], () => [])).toEqual([]);
});

test('what stays is', async () => {
  await using staying = Bun.spawn(['sleep', '300']);
  expect(await afterLastWrites([staying.pid], () => [staying.pid])).toEqual([staying.pid]);
});
