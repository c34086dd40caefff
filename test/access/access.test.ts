import { describe, expect, test } from 'bun:test';
import pino from 'pino';
import { Access, ProfileBook } from '../../src/access/access.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { AccessLapsed, NotKeptYet } from '../../src/lib/errors.ts';

const profiles: Readonly<Record<string, string>> = { waiting: 'readonly', kept: 'readonly', lost: 'gone' };
const access = new Access(
  new ProfileBook(undefined, systemClock, pino({ level: 'silent' })),
  'full',
  {
    profileOf: (principal) => profiles[principal],
    isAwaiting: (principal) => principal === 'waiting',
    isToken: () => false,
  },
  'default',
);

describe('a principal that the owner has not said yes to', () => {
  test('may do nothing, and is told what it may do then', () => {
    expect(() => access.profileFor('waiting')).toThrow(NotKeptYet);
    expect(access.promisedProfile('waiting').name).toBe('readonly');
    expect(access.profileFor('kept')).toBe(access.promisedProfile('kept'));
  });
});

describe('a principal without a token or a profile', () => {
  test.each(['ended', 'lost'])('is promised nothing: %s', (principal) => {
    expect(() => access.profileFor(principal)).toThrow(AccessLapsed);
    expect(() => access.promisedProfile(principal)).toThrow(AccessLapsed);
  });
});
