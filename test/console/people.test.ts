import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { type Passkey, writePasskeys } from '../../src/console/passkeys.ts';
import { People } from '../../src/console/people.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const ORIGIN = 'https://agent.example.org:8443';
const HOUR = 3_600_000;
const PHONE: Passkey = {
  id: 'phone',
  public_key: 'key',
  name: 'Phone',
  made_at: 1,
  fingerprint: '0000 0000 0000 0000',
};

describe('people', () => {
  let place: TemporaryDirectory;
  let now = 1_000_000;
  const sha256 = (text: string): string => new Bun.CryptoHasher('sha256').update(text).digest('hex');
  const pin = (change: object = {}): void =>
    writePasskeys(place.join('passkeys.json'), {
      ...{ origin: ORIGIN, rp_id: 'agent.example.org', passkeys: [PHONE], sessions: [] },
      ...change,
    });
  const people = (): People => new People(place.join('people.json'), place.join('passkeys.json'), ORIGIN, () => now);

  beforeEach(() => {
    place = new TemporaryDirectory();
    pin();
  });
  afterEach(() => place[Symbol.dispose]());

  test('are signed in for 12 hours, also by a later console, in a file of its own', () => {
    const { bearer, until } = people().signIn(PHONE);
    expect(bearer).toHaveLength(43);
    expect(until).toBe(now + 12 * HOUR);
    expect(people().find(bearer)).toEqual({ name: 'Phone', until, passkey: true });
    expect(people().find(`${bearer}x`)).toBeUndefined();
    expect(people().find(sha256(bearer))).toBeUndefined();
    expect(readFileSync(place.join('people.json'), 'utf8')).not.toContain(bearer);
    expect(statSync(place.join('people.json')).mode & 0o777).toBe(0o600);
    now += 12 * HOUR;
    expect(people().find(bearer)).toBeUndefined();
  });

  test('are nobody once their passkey is gone, belongs to another origin, or its file cannot be trusted', () => {
    const all = people();
    const { bearer } = all.signIn(PHONE);
    for (const change of [
      { passkeys: [] },
      { passkeys: [{ ...PHONE, id: 'other' }] },
      { origin: 'https://x.example' },
    ]) {
      pin(change);
      expect(all.find(bearer)).toBeUndefined();
    }
    writeFileSync(place.join('passkeys.json'), '{');
    expect(all.find(bearer)).toBeUndefined();
    pin();
    expect(all.find(bearer)).toMatchObject({ name: 'Phone' });
  });

  test('without a passkey have what root has written, until they sign out', () => {
    const bearer = 'a-bearer-that-the-page-has-made';
    pin({ sessions: [{ bearer_sha256: sha256(bearer), name: 'Tablet', until: now + HOUR }] });
    expect(people().find(bearer)).toEqual({ name: 'Tablet', until: now + HOUR, passkey: false });
    people().signOut(bearer);
    expect(people().find(bearer)).toBeUndefined();
    pin({ sessions: [{ bearer_sha256: sha256('another'), name: 'Tablet', until: now }] });
    expect(people().find('another')).toBeUndefined();
  });

  test('are 100 at most, the last ones', () => {
    const all = people();
    const bearers = Array.from({ length: 101 }, () => all.signIn(PHONE).bearer);
    expect(bearers.map((bearer) => all.find(bearer) !== undefined)).toEqual([false, ...Array(100).fill(true)]);
  });

  test('sign in again where their file is damaged', () => {
    const { bearer } = people().signIn(PHONE);
    writeFileSync(place.join('people.json'), '{"people":');
    expect(people().find(bearer)).toBeUndefined();
    const all = people();
    expect(all.find(all.signIn(PHONE).bearer)).toMatchObject({ name: 'Phone' });
  });
});
