import { expect, test } from 'bun:test';
import { GroupSync } from '../../src/lib/files.ts';

/** A sync whose rounds end when the test says so. */
function slowSync() {
  const rounds: PromiseWithResolvers<void>[] = [];
  const group = new GroupSync(() => {
    const round = Promise.withResolvers<void>();
    rounds.push(round);
    return round.promise;
  });
  return { rounds, group };
}

const settled = async (promise: Promise<void>): Promise<boolean> =>
  Promise.race([
    promise.then(
      () => true,
      () => true,
    ),
    Bun.sleep(5).then(() => false),
  ]);

test('who asks while a sync runs waits for the next one, all for the same', async () => {
  const { rounds, group } = slowSync();
  const first = group.request();
  const [second, third] = [group.request(), group.request()];
  expect(rounds).toHaveLength(1);
  rounds[0]?.resolve();
  await first;
  // What was written after the first began is not on the disk with it.
  expect(await settled(second)).toBe(false);
  expect(rounds).toHaveLength(2);
  rounds[1]?.resolve();
  await Promise.all([second, third]);
  expect(rounds).toHaveLength(2);
});

test('one that fails is told to those who asked for it, and not to the next', async () => {
  const { rounds, group } = slowSync();
  const [first, second] = [group.request(), group.request()];
  rounds[0]?.reject(new Error('EIO'));
  await expect(first).rejects.toThrow('EIO');
  expect(await settled(second)).toBe(false);
  rounds[1]?.resolve();
  await second;
  const third = group.request();
  rounds[2]?.resolve();
  await third;
});
