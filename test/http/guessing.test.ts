import { describe, expect, test } from 'bun:test';
import { GuessingLimiter, slowDownGuessing } from '../../src/http/auth.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { GuessingRefused, Unauthorized } from '../../src/lib/errors.ts';

/** The door with one right token, a clock that is set by hand, and a count of the tokens that were looked at. */
function doorOf() {
  let nowMs = 0;
  let looked = 0;
  const clock: Clock = { now: () => nowMs, elapsed: () => nowMs };
  const inner = {
    authenticate: (headers: Headers): string => {
      looked++;
      if (headers.get('x-auth-token') === 'right') return 'default';
      throw new Unauthorized();
    },
  };
  const door = slowDownGuessing(inner, new GuessingLimiter(clock, () => {}));
  return {
    looked: () => looked,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** 200, 403 or 429 for a request with `token`. */
    knock: (address: string, token?: string): number => {
      try {
        door.authenticate(new Headers(token === undefined ? {} : { 'x-auth-token': token }), address);
        return 200;
      } catch (error) {
        if (error instanceof Unauthorized || error instanceof GuessingRefused) return error.status;
        throw error;
      }
    },
  };
}

const THERE = '203.0.113.9';
const guessTen = (knock: (address: string, token?: string) => number, address = THERE): number[] =>
  Array.from({ length: 10 }, () => knock(address, 'wrong'));

describe('after ten wrong tokens in a minute', () => {
  test('an address is refused before its token is looked at, until the minute is over', () => {
    const { knock, looked, pass } = doorOf();
    expect(guessTen(knock)).toEqual(Array.from({ length: 10 }, () => 403));
    const before = looked();
    expect([knock(THERE, 'wrong'), knock(THERE, 'right')]).toEqual([429, 429]);
    expect(looked()).toBe(before);
    expect(knock('203.0.113.10', 'right')).toBe(200);
    pass(60_000);
    expect(knock(THERE, 'right')).toBe(200);
  });

  test('the right token is taken where one came from in the last ten minutes', () => {
    const { knock, pass } = doorOf();
    expect(knock(THERE, 'right')).toBe(200);
    pass(599_000);
    guessTen(knock);
    expect([knock(THERE, 'wrong'), knock(THERE, 'right')]).toEqual([429, 200]);
  });

  test('and not where it came from longer ago', () => {
    const { knock, pass } = doorOf();
    expect(knock(THERE, 'right')).toBe(200);
    pass(600_000);
    guessTen(knock);
    expect(knock(THERE, 'right')).toBe(429);
  });

  test('a client is the /64 of its IPv6 address', () => {
    const { knock } = doorOf();
    for (let at = 0; at < 10; at++) expect(knock(`2001:db8:1:2::${at}`, 'wrong')).toBe(403);
    expect(knock('2001:db8:1:2:ffff::1', 'right')).toBe(429);
    expect(knock('2001:db8:1:3::1', 'right')).toBe(200);
  });

  test('who sends no token is told so', () => {
    const { knock } = doorOf();
    guessTen(knock);
    expect(knock(THERE)).toBe(403);
  });
});

test('requests without a token are no guesses', () => {
  const { knock } = doorOf();
  for (let count = 0; count < 50; count++) expect(knock(THERE)).toBe(403);
  expect(knock(THERE, 'right')).toBe(200);
});

test('many addresses do not push out one that had the right token', () => {
  const { knock } = doorOf();
  expect(knock(THERE, 'right')).toBe(200);
  for (let at = 0; at < 10_001; at++) knock(`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`, 'wrong');
  guessTen(knock);
  expect(knock(THERE, 'right')).toBe(200);
});

test('who sends a token that was genuine and is over, guesses none', () => {
  const limiter = new GuessingLimiter({ now: () => 0, elapsed: () => 0 }, () => {
    throw new Error('it was noted');
  });
  const known = { principal: 'chat', why: 'over', isSpent: true } as const;
  for (let times = 0; times < 30; times++) {
    const attempt = (): never =>
      limiter.attempt(THERE, () => {
        throw new Unauthorized(undefined, known);
      });
    expect(attempt).toThrow(Unauthorized);
  }
});
