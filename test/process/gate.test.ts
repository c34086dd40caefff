import { describe, expect, test } from 'bun:test';
import { TooManyRequests } from '../../src/lib/errors.ts';
import { Gate, type Patience } from '../../src/process/gate.ts';

/** Waits until it is called. */
const patient: Patience = async (place) => {
  await place.wait();
  return true;
};
const impatient: Patience = async () => false;

describe('a gate', () => {
  test('lets as many in as there are places, and the next one when one leaves', async () => {
    const gate = new Gate(2);
    const first = await gate.enter('a', 9, impatient);
    await gate.enter('a', 9, impatient);
    expect(gate.enter('a', 9, impatient)).rejects.toBeInstanceOf(TooManyRequests);
    const third = gate.enter('a', 9, patient);
    expect(gate.waiting).toBe(1);
    first();
    first();
    await third;
    expect([gate.running, gate.waiting]).toEqual([2, 0]);
  });

  test('holds each owner to its own number', async () => {
    const gate = new Gate(5);
    await gate.enter('a', 1, impatient);
    expect(gate.enter('a', 1, impatient)).rejects.toThrow('1 commands of this token are running');
    await gate.enter('b', 1, impatient);
    expect(gate.running).toBe(2);
  });

  test('lets owners take turns, whoever waits with more', async () => {
    const gate = new Gate(1);
    let leave = await gate.enter('a', 9, impatient);
    const order: string[] = [];
    const all = ['a', 'a', 'a', 'a', 'b', 'b', 'c'].map((owner, index) =>
      gate.enter(owner, 9, patient).then((left) => {
        order.push(`${owner}${index}`);
        leave = left;
      }),
    );
    for (let count = 0; count < 7; count++) {
      leave();
      await Bun.sleep(1);
    }
    await Promise.all(all);
    expect(order).toEqual(['a0', 'b4', 'c6', 'a1', 'b5', 'a2', 'a3']);
  });

  test('passes over an owner that has as many as it may', async () => {
    const gate = new Gate(2);
    const one = await gate.enter('a', 2, impatient);
    await gate.enter('b', 1, impatient);
    const waiting = gate.enter('b', 1, patient);
    const other = gate.enter('c', 1, patient);
    one();
    await other;
    expect(gate.waiting).toBe(1);
    void waiting;
  });

  test('keeps one that is alone to its share, and the rest for others', async () => {
    const gate = new Gate(4);
    const leaves = [1, 2, 3].map(() => gate.enter('a', 9, impatient));
    await Promise.all(leaves);
    await expect(gate.enter('a', 9, impatient)).rejects.toThrow(
      '3 commands of this token are running already, which is its share of the 4 that run at once',
    );
    await gate.enter('b', 9, impatient);
    await expect(gate.enter('b', 9, impatient)).rejects.toThrow('1 commands of this token');
    await expect(gate.enter('c', 9, impatient)).rejects.toThrow('4 commands of other tokens are running already');
    // A slot that becomes free goes to the one that has none, though another came before it.
    const more = gate.enter('a', 9, patient);
    const none = gate.enter('c', 9, patient);
    (await leaves[0])?.();
    await none;
    expect([gate.running, gate.waiting]).toEqual([4, 1]);
    void more;
  });

  test('does not let a crowd wait without end', async () => {
    const gate = new Gate(1);
    await gate.enter('a', 9, impatient);
    for (let count = 0; count < 4; count++) void gate.enter('a', 9, patient);
    expect(gate.enter('a', 9, patient)).rejects.toBeInstanceOf(TooManyRequests);
    void gate.enter('b', 9, patient);
    expect(gate.waiting).toBe(5);
  });
});
