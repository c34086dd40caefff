import { describe, expect, test } from 'bun:test';
import type { Access } from '../../src/access/access.ts';
import { type Allowance, Allowances, ruleDigest } from '../../src/access/allowances.ts';
import type { Freeze } from '../../src/access/freeze.ts';
import { type Profile, profileOf } from '../../src/access/profile.ts';
import { AccessLapsed } from '../../src/lib/errors.ts';

const rules = [{ action: 'confirm', command: 'rm' } as const, { action: 'confirm', command: 'mv' } as const];
const CAREFUL = profileOf('careful', { extends: 'full', rules }) as Profile;
const MINUTE = 60_000;

/** Allowances whose clocks, token, freeze and passkey a test sets. */
function open() {
  const now = {
    clock: 1_000_000 * MINUTE,
    elapsed: 0,
    profile: CAREFUL as Profile | undefined,
    freeze: undefined as number | undefined,
    isPinned: true,
  };
  const ends: string[] = [];
  const allowances = new Allowances({
    access: {
      profileFor: () => {
        if (now.profile === undefined) throw new AccessLapsed('token', 'ended', '');
        return now.profile;
      },
    } as unknown as Access,
    freeze: {
      get last() {
        return now.freeze === undefined ? undefined : { since: now.freeze };
      },
    } as unknown as Freeze,
    clock: { now: () => now.clock, elapsed: () => now.elapsed },
    ended: ({ id }, why) => void ends.push(`${id}: ${why}`),
  });
  const allowance = (more: Partial<Allowance> = {}): Allowance => ({
    id: 'a',
    nonce: 'nonce of a',
    principal: 'helper#0123abcd',
    profile: 'careful',
    rule: 1,
    rule_sha256: ruleDigest(CAREFUL, more.rule ?? 1),
    words: 'confirm command rm',
    cwd: '/srv',
    until: now.clock + 15 * MINUTE,
    by: 'Pixel 9',
    isPinned: () => now.isPinned,
    ...more,
  });
  const isHeld = (): boolean => allowances.of('helper#0123abcd', CAREFUL, '/srv').length > 0;
  const pass = (minutes: number): void => {
    now.clock += minutes * MINUTE;
    now.elapsed += minutes * MINUTE;
  };
  return { allowances, allowance, now, ends, isHeld, pass };
}

describe('an allowance', () => {
  test('is of one token and of the rule as it was', () => {
    const { allowances, allowance } = open();
    allowances.add(allowance());
    expect(allowances.of('helper#0123abcd', CAREFUL, '/srv').map(({ rule }) => rule)).toEqual([1]);
    // A later token of the same name, the token of the settings, another profile with the same rules, and another directory.
    expect(allowances.of('helper#99999999', CAREFUL, '/srv')).toEqual([]);
    expect(allowances.of('helper', CAREFUL, '/srv')).toEqual([]);
    expect(allowances.of('helper#0123abcd', { ...CAREFUL, name: 'other' }, '/srv')).toEqual([]);
    expect(allowances.of('helper#0123abcd', CAREFUL, '/tmp')).toEqual([]);
    allowances.end('a', '');
  });

  test('ends at its time, and counts what it let run', () => {
    const { allowances, allowance, ends, isHeld, pass } = open();
    allowances.add(allowance());
    allowances.count(['a']);
    allowances.count(['a']);
    pass(14.9);
    expect(allowances.all()).toMatchObject([{ uses: 2 }]);
    pass(0.1);
    expect(isHeld()).toBe(false);
    expect(ends).toEqual(['a: its time has ended']);
  });

  test('attack: a clock that is moved back does not lengthen it', () => {
    const { allowances, allowance, now, isHeld, pass } = open();
    allowances.add(allowance());
    pass(10);
    now.clock -= 60 * MINUTE;
    expect(isHeld()).toBe(true);
    pass(5);
    expect(isHeld()).toBe(false);
  });

  test('attack: an order that made one makes none again, whatever the clock says', () => {
    const { allowances, allowance, now, pass } = open();
    expect(allowances.faultOf(allowance())).toBeUndefined();
    allowances.add(allowance());
    expect(allowances.end('a', 'ended by Anna')).toBe(true);
    pass(300);
    now.clock -= 300 * MINUTE;
    expect(allowances.faultOf(allowance())).toBe('this order was already used');
    expect(allowances.faultOf(allowance({ id: 'b' }))).toBe('this order was already used');
    expect(allowances.faultOf(allowance({ id: 'b', nonce: 'of b' }))).toBeUndefined();
  });

  test.each<[string, string, (now: ReturnType<typeof open>['now']) => void]>([
    [
      'its rule',
      'the profile of its token was changed',
      (now) => {
        const changed = [{ action: 'confirm', command: 'shred' } as const, ...rules.slice(1)];
        now.profile = profileOf('careful', { extends: 'full', rules: changed }) as Profile;
      },
    ],
    [
      'another rule of its profile',
      'the profile of its token was changed',
      (now) => {
        now.profile = profileOf('careful', { extends: 'full', rules: rules.slice(0, 1) }) as Profile;
      },
    ],
    [
      'the profile of its token',
      'the profile of its token was changed',
      (now) => {
        now.profile = { ...CAREFUL, name: 'other' };
      },
    ],
    [
      'its token',
      'its token or its profile was removed',
      (now) => {
        now.profile = undefined;
      },
    ],
    [
      'its passkey',
      'the passkey that signed it was removed',
      (now) => {
        now.isPinned = false;
      },
    ],
    [
      'a freeze, also one that is over',
      'the server was frozen',
      (now) => {
        now.freeze = 1;
      },
    ],
  ])('ends with a change of %s, and does not come back with it', (_, why, change) => {
    const { allowances, allowance, now, ends, isHeld } = open();
    allowances.add(allowance());
    const before = { ...now };
    change(now);
    expect(allowances.areInForce(['a'])).toBe(false);
    expect(ends).toEqual([`a: ${why}`]);
    Object.assign(now, before);
    expect(isHeld()).toBe(false);
  });

  test('cannot begin for what would end it at once', () => {
    const { allowances, allowance, now } = open();
    expect(allowances.faultOf(allowance({ until: now.clock }))).toBe('its time has already ended');
    expect(allowances.faultOf(allowance({ rule_sha256: 'f'.repeat(64) }))).toBe('the profile of its token was changed');
  });
});
