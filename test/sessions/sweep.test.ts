import { describe, expect, test } from 'bun:test';
import { chooseSweep, type SweepCandidate } from '../../src/sessions/sweep.ts';

const ended = (key: string, endedAt: number, bytes: number, principal = 'a'): SweepCandidate<string> => ({
  key,
  principal,
  endedAt,
  bytes,
});
const running = (key: string, bytes: number, principal = 'a'): SweepCandidate<string> => ({
  key,
  principal,
  endedAt: undefined,
  bytes,
});
const limits = { ttlSeconds: 10, totalBytes: 100, totalSessions: 6 };

/** What there is, and what goes at the time 10 with 100 bytes and 6 sessions for all. */
const rows: readonly (readonly [
  what: string,
  candidates: readonly SweepCandidate<string>[],
  remove: string[],
  stop: string[],
])[] = [
  ['nothing where there is nothing', [], [], []],
  ['nothing where all fits exactly', [ended('a', 1, 60), running('b', 40, 'b')], [], []],
  [
    'of one token the oldest until all fit',
    [ended('c', 3, 40), ended('a', 1, 40), ended('b', 2, 40), running('live', 40)],
    ['a', 'b'],
    [],
  ],
  [
    'of one token everything ended, then the largest that runs',
    [ended('a', 1, 10), running('small', 30), running('large', 90)],
    ['a'],
    ['large'],
  ],
  [
    'of the token that takes more than its part, though the other has older ones',
    [ended('theirs', 0, 40, 'other'), ended('mine 1', 5, 30), ended('mine 2', 6, 40)],
    ['mine 1'],
    [],
  ],
  [
    'a running command of the token that is over its part, before an ended session of another',
    [ended('theirs', 0, 40, 'other'), running('mine', 80)],
    [],
    ['mine'],
  ],
  [
    'of the token furthest over, then of the next',
    [ended('a1', 5, 60), ended('a2', 6, 40), ended('b1', 1, 40, 'b'), ended('b2', 2, 40, 'b'), ended('c', 0, 20, 'c')],
    ['a1', 'b1'],
    [],
  ],
  [
    'one large session of a token, not many small ones of others',
    [ended('huge', 9, 1000), ...[1, 2, 3].map((at) => ended(`small ${at}`, at, 20, `t${at}`))],
    ['huge'],
    [],
  ],
  [
    'of the token with the most sessions, where they are too many',
    [ended('b', 0, 1, 'b'), ...[1, 2, 3, 4, 5, 6].map((at) => ended(`a${at}`, at, 1))],
    ['a1'],
    [],
  ],
  [
    'of the next token, where the one with the most has none that ended',
    [ended('b1', 0, 1, 'b'), ended('b2', 1, 1, 'b'), ...[1, 2, 3, 4, 5].map((at) => running(`a${at}`, 1))],
    ['b1'],
    [],
  ],
  ['nothing more, where too many run', [1, 2, 3, 4, 5, 6, 7].map((at) => running(`a${at}`, 1)), [], []],
];

describe('a sweep removes or stops', () => {
  test('what is past its time, and keeps the rest', () => {
    const choice = chooseSweep([ended('old', 0, 1), ended('young', 5001, 1), running('live', 1)], limits, 15_000);
    expect(choice).toEqual({ remove: ['old'], stop: [] });
  });

  test.each(rows)('%s', (_, candidates, remove, stop) => {
    expect(chooseSweep(candidates, limits, 10)).toEqual({ remove, stop });
  });
});

/** Small numbers that are the same in every run. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) yield state >> 8;
}

test('a token within its part loses nothing, and what is kept fits, whatever there is', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = numbers(seed);
    const below = (most: number): number => Number(random.next().value) % most;
    const candidates = Array.from({ length: below(40) }, (_, at) => {
      const make =
        below(4) === 0 ? running : (key: string, bytes: number, of: string) => ended(key, below(9), bytes, of);
      return make(`s${at}`, below(30), `token ${below(4)}`);
    });
    const most = { ...limits, totalSessions: 1 + below(40), totalBytes: 1 + below(300) };
    const { remove, stop } = chooseSweep(candidates, most, 10);
    const gone = new Set([...remove, ...stop]);
    expect(gone.size).toBe(remove.length + stop.length);
    const kept = candidates.filter(({ key }) => !gone.has(key));
    const bytesOf = (some: readonly SweepCandidate<string>[]) => some.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(bytesOf(kept)).toBeLessThanOrEqual(most.totalBytes);
    const endedLeft = kept.some(({ endedAt }) => endedAt !== undefined);
    expect(kept.length <= most.totalSessions || !endedLeft).toBe(true);
    const tokens = new Set(candidates.map(({ principal }) => principal));
    for (const token of tokens) {
      const own = candidates.filter(({ principal }) => principal === token);
      const isWithin = bytesOf(own) <= most.totalBytes / tokens.size && own.length <= most.totalSessions / tokens.size;
      // A running command counts as a session, and is not removed for the number of them.
      if (isWithin && !candidates.some(({ endedAt }) => endedAt === undefined)) {
        expect(own.filter(({ key }) => gone.has(key))).toEqual([]);
      }
    }
    // Of one token, what went is older than what stayed.
    for (const { principal, endedAt = 0 } of candidates.filter(({ key }) => remove.includes(key))) {
      const older = kept.filter((one) => one.principal === principal && one.endedAt !== undefined);
      for (const one of older) expect(one.endedAt).toBeGreaterThanOrEqual(endedAt);
    }
  }
});
