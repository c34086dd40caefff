import { describe, expect, test } from 'bun:test';
import { PathTurns } from '../../src/files/open.ts';
import { Deadline, OneShotEvent } from '../../src/lib/clock.ts';
import { TooManyRequests } from '../../src/lib/errors.ts';
import { LOOK_SECONDS } from '../../src/lib/limits.ts';

const caller = (seconds = 60) => ({
  deadline: Deadline.after(seconds + LOOK_SECONDS),
  shutdown: new OneShotEvent(),
});

describe('the turns of a path', () => {
  test('are taken one after the other, in the order in which they were asked for', async () => {
    const turns = new PathTurns();
    const order: number[] = [];
    const first = await turns.take('/a', caller());
    const rest = [1, 2, 3].map(async (number) => {
      using _turn = await turns.take('/a', caller());
      order.push(number);
    });
    await Bun.sleep(0);
    expect(order).toEqual([]);
    first[Symbol.dispose]();
    await Promise.all(rest);
    expect(order).toEqual([1, 2, 3]);
  });

  test('hold nobody up who works on another path', async () => {
    const turns = new PathTurns();
    using _first = await turns.take('/a', caller());
    const waiting = turns.take('/a', caller(0.05)).catch(() => {});
    using _other = await turns.take('/b', caller(0));
    await waiting;
  });

  test('are refused when they do not come in time, and the call may be repeated', async () => {
    const turns = new PathTurns();
    const first = await turns.take('/a', caller());
    const late = turns.take('/a', caller(0.02));
    const next = turns.take('/a', caller());
    const refusal = await late.catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(TooManyRequests);
    expect(refusal).toMatchObject({
      headers: { 'retry-after': '2' },
      message: 'Other calls still work on "/a". Nothing was done. Repeat the call in 2 seconds.',
    });
    first[Symbol.dispose]();
    // A caller that has gone is left out.
    using _next = await next;
  });

  test('are not waited for by a call that its client takes back', async () => {
    const turns = new PathTurns();
    using _first = await turns.take('/a', caller());
    const gone = caller();
    const waiting = turns.take('/a', gone);
    gone.shutdown.fire();
    expect(await waiting.catch((error: unknown) => error)).toBeInstanceOf(TooManyRequests);
  });

  test('leave nothing behind', async () => {
    const turns = new PathTurns();
    for (const path of ['/a', '/b']) (await turns.take(path, caller()))[Symbol.dispose]();
    expect(turns.paths).toBe(0);
  });
});
