import { describe, expect, test } from 'bun:test';
import { readMessage } from '../../../src/console/push/message.ts';
import { authorization, pushKeyOf, seal } from '../../../src/console/push/seal.ts';
import { claimsOf, PushBrowser } from '../../helpers/push-browser.ts';

const ENDPOINT = 'https://fcm.googleapis.com/fcm/send/x';
const SESSION = '0197aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';

test('the browser of the tests reads the example of RFC 8291', () => {
  const browser = new PushBrowser(
    ENDPOINT,
    'q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94',
    Buffer.from('BTBZMqHH6r4Tts7J_aSIgg', 'base64url'),
  );
  expect(browser.keys.p256dh).toBe(
    'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
  );
  const sealed =
    'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN';
  expect(browser.open(Buffer.from(sealed, 'base64url'))).toBe('When I grow up, I want to be a watermelon');
});

describe('a push', () => {
  const browser = new PushBrowser(ENDPOINT);

  test('is read by the browser that it is for, and by no other', () => {
    const sealed = seal({ kind: 'waits', id: SESSION }, browser.keys);
    expect(readMessage(browser.open(sealed))).toEqual({ kind: 'waits', id: SESSION });
    expect(() => new PushBrowser(ENDPOINT).open(sealed)).toThrow();
  });

  test('is as long whatever it says', () => {
    const lengths = (['waits', 'test', 'restarted'] as const).map(
      (kind) => seal({ kind, id: kind === 'waits' ? SESSION : '' }, browser.keys).length,
    );
    expect(new Set(lengths).size).toBe(1);
  });

  test('is not made for a key that is no point of the curve', () => {
    const p256dh = Buffer.alloc(65, 7).toString('base64url');
    expect(() => seal({ kind: 'test', id: '' }, { ...browser.keys, p256dh })).toThrow();
  });
});

describe('the agent', () => {
  const key = pushKeyOf('s'.repeat(40));

  test('has the same key for the same secret, and another one for another', () => {
    expect(pushKeyOf('s'.repeat(40)).publicKey).toBe(key.publicKey);
    expect(pushKeyOf('t'.repeat(40)).publicKey).not.toBe(key.publicKey);
  });

  test('proves itself to one service, for half a day', () => {
    const now = Date.UTC(2026, 0, 1);
    const header = authorization(key, new URL(ENDPOINT), 'https://a.example:8443', now);
    expect(claimsOf(header, key.publicKey)).toEqual({
      aud: 'https://fcm.googleapis.com',
      exp: now / 1000 + 12 * 3600,
      sub: 'https://a.example:8443',
    });
  });
});
