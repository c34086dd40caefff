import { describe, expect, test } from 'bun:test';
import { chooseSweep, type SweepCandidate } from '../../src/sessions/sweep.ts';

const ended = (key: string, endedAt: number, bytes: number): SweepCandidate<string> => ({ key, endedAt, bytes });
const running = (key: string, bytes: number): SweepCandidate<string> => ({ key, endedAt: undefined, bytes });
const limits = { ttlSeconds: 10, totalBytes: 100 };

describe('a sweep', () => {
  test('removes what is past its time and keeps the rest', () => {
    const choice = chooseSweep([ended('old', 0, 1), ended('young', 5001, 1), running('live', 1)], limits, 15_000);
    expect(choice).toEqual({ remove: ['old'], stop: [] });
  });

  test('removes the oldest ended sessions until all together fit', () => {
    const candidates = [ended('c', 3, 40), ended('a', 1, 40), ended('b', 2, 40), running('live', 40)];
    expect(chooseSweep(candidates, limits, 10)).toEqual({ remove: ['a', 'b'], stop: [] });
  });

  test('stops the largest running sessions when they alone are too large', () => {
    const candidates = [ended('a', 1, 10), running('small', 30), running('large', 90)];
    expect(chooseSweep(candidates, limits, 10)).toEqual({ remove: ['a'], stop: ['large'] });
  });

  test('does nothing where there is nothing', () => {
    expect(chooseSweep([], limits, 10)).toEqual({ remove: [], stop: [] });
  });
});
