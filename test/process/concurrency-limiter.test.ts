import { describe, expect, test } from 'bun:test';
import { TooManyRequests } from '../../src/lib/errors.ts';
import { ConcurrencyLimiter, type WaitForSlot } from '../../src/process/concurrency-limiter.ts';

/** Waits until it is called. */
const stay: WaitForSlot = async (assigned) => {
  await assigned.wait();
  return true;
};
const giveUp: WaitForSlot = async () => false;

describe('a concurrency limiter', () => {
  test('has as many slots as its limit, and a released one is assigned to the next', async () => {
    const limiter = new ConcurrencyLimiter(2);
    const first = await limiter.acquire('a', 9, giveUp);
    await limiter.acquire('a', 9, giveUp);
    expect(limiter.acquire('a', 9, giveUp)).rejects.toBeInstanceOf(TooManyRequests);
    const third = limiter.acquire('a', 9, stay);
    expect(limiter.waiting).toBe(1);
    first();
    first();
    await third;
    expect([limiter.running, limiter.waiting]).toEqual([2, 0]);
  });

  test('holds each owner to its own number', async () => {
    const limiter = new ConcurrencyLimiter(5);
    await limiter.acquire('a', 1, giveUp);
    expect(limiter.acquire('a', 1, giveUp)).rejects.toThrow('1 commands of this token are running');
    await limiter.acquire('b', 1, giveUp);
    expect(limiter.running).toBe(2);
  });

  test('lets owners take turns, however many calls one has', async () => {
    const limiter = new ConcurrencyLimiter(1);
    let release = await limiter.acquire('a', 9, giveUp);
    const order: string[] = [];
    const all = ['a', 'a', 'a', 'a', 'b', 'b', 'c'].map((owner, index) =>
      limiter.acquire(owner, 9, stay).then((released) => {
        order.push(`${owner}${index}`);
        release = released;
      }),
    );
    for (let count = 0; count < 7; count++) {
      release();
      await Bun.sleep(1);
    }
    await Promise.all(all);
    expect(order).toEqual(['a0', 'b4', 'c6', 'a1', 'b5', 'a2', 'a3']);
  });

  test('passes over an owner that is at its limit', async () => {
    const limiter = new ConcurrencyLimiter(2);
    const one = await limiter.acquire('a', 2, giveUp);
    await limiter.acquire('b', 1, giveUp);
    const waiting = limiter.acquire('b', 1, stay);
    const other = limiter.acquire('c', 1, stay);
    one();
    await other;
    expect(limiter.waiting).toBe(1);
    void waiting;
  });

  test('keeps one that is alone to its share, and the rest for others', async () => {
    const limiter = new ConcurrencyLimiter(4);
    const releases = [1, 2, 3].map(() => limiter.acquire('a', 9, giveUp));
    await Promise.all(releases);
    await expect(limiter.acquire('a', 9, giveUp)).rejects.toThrow(
      '3 commands of this token are running already, which is its share of the 4 that run at once',
    );
    await limiter.acquire('b', 9, giveUp);
    await expect(limiter.acquire('b', 9, giveUp)).rejects.toThrow('1 commands of this token');
    await expect(limiter.acquire('c', 9, giveUp)).rejects.toThrow('4 commands of other tokens are running already');
    // A slot that becomes free goes to the one that has none, though another came before it.
    const more = limiter.acquire('a', 9, stay);
    const none = limiter.acquire('c', 9, stay);
    (await releases[0])?.();
    await none;
    expect([limiter.running, limiter.waiting]).toEqual([4, 1]);
    void more;
  });

  test('limits how many calls of an owner wait', async () => {
    const limiter = new ConcurrencyLimiter(1);
    await limiter.acquire('a', 9, giveUp);
    for (let count = 0; count < 4; count++) void limiter.acquire('a', 9, stay);
    expect(limiter.acquire('a', 9, stay)).rejects.toBeInstanceOf(TooManyRequests);
    void limiter.acquire('b', 9, stay);
    expect(limiter.waiting).toBe(5);
  });
});
