import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Shares } from '../../src/lib/shares.ts';

/** Takes slots for `owner` until it gets no more; returns how many. */
function fill(shares: Shares, owner: string): number {
  let count = 0;
  for (; shares.hasRoom(owner); count++) shares.acquire(owner);
  return count;
}

describe('the share of an owner that is alone', () => {
  // Everything but a quarter, which is a whole number.
  test.each([
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 3],
    [8, 6],
    [5, 4],
    [10, 8],
    [32, 24],
    [100, 75],
    [600, 450],
  ])('of %d slots is %d', (limit, most) => {
    expect(fill(new Shares(limit), 'a')).toBe(most);
  });

  test('is free for others when it has taken all of it', () => {
    const shares = new Shares(32);
    const taken = ['a', 'b', 'c', 'd', 'e'].map((owner) => fill(shares, owner));
    expect(taken).toEqual([24, 6, 1, 1, 0]);
    expect(shares.used).toBe(32);
  });
});

test('several that take turns get an equal part each', () => {
  for (const count of [2, 3, 5, 8]) {
    const shares = new Shares(100);
    const owners = Array.from({ length: count }, (_, index) => String(index));
    for (let round = 0; round < 100; round++)
      for (const owner of owners) if (shares.hasRoom(owner)) shares.acquire(owner);
    const held = owners.map((owner) => shares.usedBy(owner));
    expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
    // And nearly all of it is in use.
    expect(shares.used).toBeGreaterThanOrEqual(80);
    // The next owner finds a free slot.
    expect(shares.hasRoom('new')).toBe(true);
  }
});

test('what is given back is there again, once', () => {
  const shares = new Shares(4);
  const release = shares.acquire('a', 2);
  shares.acquire('b');
  expect([shares.used, shares.usedBy('a')]).toEqual([3, 2]);
  release();
  release();
  expect([shares.used, shares.usedBy('a')]).toEqual([1, 0]);
});

const owners = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const steps = fc.array(fc.record({ owner: owners, releases: fc.boolean(), amount: fc.integer({ min: 1, max: 9 }) }), {
  maxLength: 300,
});

test('whatever comes and goes: never more than there is, a quarter stays free of one, no first slot refused while one is free', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), steps, (limit, all) => {
      const shares = new Shares(limit);
      const held: { readonly owner: string; readonly amount: number; readonly release: () => void }[] = [];
      for (const { owner, releases, amount } of all) {
        const own = held.findIndex((one) => one.owner === owner);
        if (releases) {
          if (own !== -1) held.splice(own, 1)[0]?.release();
        } else if (shares.hasRoom(owner, amount)) {
          const isFirst = shares.usedBy(owner) === 0;
          held.push({ owner, amount, release: shares.acquire(owner, amount) });
          if (!isFirst) expect(shares.usedBy(owner)).toBeLessThanOrEqual(limit - Math.floor(limit / 4));
        } else if (own === -1) expect(limit - shares.used).toBeLessThan(amount);
        const of = (name: string) => held.reduce((sum, one) => sum + (one.owner === name ? one.amount : 0), 0);
        expect(shares.usedBy(owner)).toBe(of(owner));
        expect(shares.used).toBe(held.reduce((sum, one) => sum + one.amount, 0));
        expect(shares.used).toBeLessThanOrEqual(limit);
      }
    }),
  );
});
