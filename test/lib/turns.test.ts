import { describe, expect, test } from 'bun:test';
import { Turns } from '../../src/lib/shares.ts';

describe('turns', () => {
  test('go round among owners, however many one waits for', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const piece = async (owner: string) => {
      await turns.take(owner);
      order.push(owner);
    };
    await Promise.all(['a', 'a', 'a', 'a', 'b', 'b', 'c'].map(piece));
    expect(order.join('')).toBe('abcabaa');
  });

  test('come at once where nobody had one', async () => {
    const turns = new Turns();
    const seen: string[] = [];
    setImmediate(() => seen.push('event loop'));
    await turns.take('a');
    seen.push('a');
    await turns.take('a');
    seen.push('a');
    expect(seen).toEqual(['a', 'event loop', 'a']);
  });

  test('let everything else happen between two pieces', async () => {
    const turns = new Turns();
    const seen: string[] = [];
    const pieces = Array.from({ length: 5 }, async () => {
      await turns.take('a');
      seen.push('piece');
      // What comes from outside is a turn of the event loop as well.
      setImmediate(() => seen.push('other'));
    });
    await Promise.all(pieces);
    await Bun.sleep(1);
    // The next piece is announced before this one runs, and never another one.
    expect(seen.join(' ')).not.toContain('piece piece piece');
    expect(seen.filter((one) => one === 'other')).toHaveLength(5);
  });

  test('come again after a pause', async () => {
    const turns = new Turns();
    await turns.take('a');
    await Bun.sleep(5);
    await turns.take('b');
    expect(await Promise.race([turns.take('a').then(() => 'taken'), Bun.sleep(1000)])).toBe('taken');
  });
});
