import { describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { ConsoleFault } from '../../src/console/fault.ts';
import { challengeOf, linkChallenge, newOrder, type Order, signInChallenge } from '../../src/console/order.ts';
import {
  challengeFor,
  type PasskeysFile,
  readPasskeys,
  signatureOf,
  verifyAssertion,
  verifyOrder,
  verifyRegistration,
  verifySignIn,
  writePasskeys,
} from '../../src/console/passkeys.ts';
import { Authenticator } from '../helpers/authenticator.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const SESSION = '01234567-89ab-4cde-8f01-23456789abcd';
const ORIGIN = 'https://agent.example.org:8443';
const RP_ID = 'agent.example.org';
const approve: Order = { ...newOrder(), kind: 'approve', session: SESSION, digest: 'a'.repeat(64) };
const phone = new Authenticator(ORIGIN);
const isRoot = process.geteuid?.() === 0;

async function pinned(...authenticators: Authenticator[]): Promise<PasskeysFile> {
  const passkeys = await Promise.all(authenticators.map((one) => one.passkey()));
  return { origin: ORIGIN, rp_id: RP_ID, passkeys, sessions: [] };
}

/** Why an order is refused. */
async function refusal(verified: Promise<unknown>): Promise<string> {
  const fault = await verified.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(fault).toBeInstanceOf(ConsoleFault);
  return fault instanceof Error ? fault.message : '';
}

describe('a signed order', () => {
  test('counts with the signature of a pinned passkey, which is told', async () => {
    const other = new Authenticator(ORIGIN);
    const file = await pinned(other, phone);
    expect(await verifyOrder(approve, await phone.sign(approve), file)).toMatchObject({
      id: phone.id,
      name: 'Pixel 9',
    });
  });

  test('does not count without one, nor without pinned passkeys', async () => {
    expect(await refusal(signatureOf(approve, undefined, await pinned(phone)))).toContain('needs the signature');
    expect(await refusal(signatureOf(approve, await phone.sign(approve), undefined))).toContain('no passkey is linked');
  });

  test('is kept with all that its signature is checked by', async () => {
    const file = await pinned(phone);
    const kept = JSON.parse(JSON.stringify(await signatureOf(approve, await phone.sign(approve), file)));
    const { order, assertion, passkey, origin, rp_id } = kept;
    await verifyAssertion(assertion, passkey, { challenge: await challengeOf(order), origin, rp_id });
  });

  test('does not count with a passkey that root has not pinned', async () => {
    const thief = new Authenticator(ORIGIN);
    const assertion = await thief.sign(approve);
    expect(await refusal(verifyOrder(approve, assertion, await pinned(phone)))).toContain('is not linked');
  });

  test('does not count with another key under the id of a pinned passkey', async () => {
    const thief = new Authenticator(ORIGIN, RP_ID, phone.id);
    const assertion = await thief.sign(approve);
    expect(await refusal(verifyOrder(approve, assertion, await pinned(phone)))).toContain('signature does not fit');
  });

  test.each([
    ['of another page', { origin: 'https://evil.example.org:8443' }, 'origin'],
    ['of another port', { origin: 'https://agent.example.org' }, 'origin'],
    ['of another RP id', { rpId: 'example.org' }, 'RP ID'],
    ['without a verified user', { isVerified: false }, 'User verification'],
    ['in a frame of another page', { crossOrigin: true }, 'frame of another page'],
    ['of a registration', { type: 'webauthn.create' }, 'type'],
  ])('does not count with an assertion %s', async (_, use, why) => {
    expect(await refusal(verifyOrder(approve, await phone.sign(approve, use), await pinned(phone)))).toContain(why);
  });

  test.each([
    { session: SESSION.replace('0', '1') },
    { digest: 'b'.repeat(64) },
    { id: SESSION },
    { at: approve.at + 1 },
    { nonce: newOrder().nonce },
  ])('does not count with the assertion of another order: %p', async (change) => {
    const other = { ...approve, ...change } as Order;
    expect(await refusal(verifyOrder(other, await phone.sign(approve), await pinned(phone)))).toContain('challenge');
  });

  test('does not count with an approval in place of a thaw', async () => {
    const { id, at, nonce } = approve;
    const thaw: Order = { id, at, nonce, kind: 'thaw', since: 1 };
    expect(await refusal(verifyOrder(thaw, await phone.sign(approve), await pinned(phone)))).toContain('challenge');
  });

  test.each(['clientDataJSON', 'authenticatorData', 'signature'] as const)(
    'does not count with a damaged %s',
    async (field) => {
      const assertion = await phone.sign(approve);
      const file = await pinned(phone);
      for (const damaged of ['AAAA', `${assertion.response[field].slice(0, -6)}AAAAAA`])
        await refusal(
          verifyOrder(approve, { ...assertion, response: { ...assertion.response, [field]: damaged } }, file),
        );
    },
  );
});

describe('orders that are signed at once', () => {
  const others = [1, 2].map((): Order => ({ ...approve, ...newOrder() }));
  const thaw: Order = { ...newOrder(), kind: 'thaw', since: 1 };

  test('count each with the one signature', async () => {
    const file = await pinned(phone);
    const assertion = await phone.signAll([approve, ...others]);
    for (const one of [approve, ...others])
      expect(await verifyOrder(one, assertion, file)).toMatchObject({ id: phone.id });
  });

  test('are kept each with all that the signature is checked by', async () => {
    const signature = await signatureOf(approve, await phone.signAll([approve, ...others]), await pinned(phone));
    const { order, assertion, passkey, origin, rp_id } = JSON.parse(JSON.stringify(signature));
    await verifyAssertion(assertion, passkey, { challenge: await challengeFor(order, assertion), origin, rp_id });
  });

  test('do not count where one is not among them, or is changed', async () => {
    const file = await pinned(phone);
    const assertion = await phone.signAll(others);
    expect(await refusal(verifyOrder(approve, assertion, file))).toBe('it is not among what was signed');
    for (const change of [{ digest: 'b'.repeat(64) }, { at: approve.at + 60_000 }, { nonce: newOrder().nonce }])
      expect(await refusal(verifyOrder({ ...others[0], ...change } as Order, assertion, file))).toContain('not among');
  });

  test('do not count where one was added, left out, or put in another place', async () => {
    const file = await pinned(phone);
    const [own, more] = [await challengeOf(approve), await challengeOf(thaw)];
    const assertion = await phone.signAll([approve, ...others]);
    const [, ...rest] = assertion.among ?? [];
    for (const among of [[own, ...rest, more], [own], [own, own, ...rest], [...rest, own]])
      expect(await refusal(verifyOrder(approve, { ...assertion, among }, file))).toContain('challenge');
    const { among: _, ...alone } = assertion;
    expect(await refusal(verifyOrder(approve, alone, file))).toContain('challenge');
  });

  test('are approvals alone', async () => {
    const assertion = await phone.signAll([approve, thaw]);
    expect(await refusal(verifyOrder(thaw, assertion, await pinned(phone)))).toBe(
      'only approvals can be signed together',
    );
  });

  test('are not signed by a sign-in, nor sign one', async () => {
    const among = await Promise.all([approve, ...others].map(challengeOf));
    const signIn = phone.assert(await signInChallenge(among.join(' ')));
    expect(await refusal(verifyOrder(approve, { ...signIn, among }, await pinned(phone)))).toContain('challenge');
    const challenge = await signInChallenge(among.join(' '));
    expect(await refusal(verifySignIn(await phone.signAll(others), challenge, await pinned(phone)))).toContain(
      'challenge',
    );
  });
});

describe('a new passkey', () => {
  test('is taken with the challenge of the link, and has the fingerprint of its key', async () => {
    const challenge = await linkChallenge('secret');
    const { id, public_key, fingerprint } = await phone.passkey();
    expect(await verifyRegistration(phone.register(challenge), { challenge, origin: ORIGIN, rp_id: RP_ID })).toEqual({
      id,
      public_key,
      fingerprint,
    });
    expect(fingerprint).toMatch(/^[0-9a-f]{4}( [0-9a-f]{4}){3}$/);
  });

  test.each([
    ['another link', 'another secret', {}],
    ['another page', 'secret', { origin: 'https://evil.example.org' }],
    ['another RP id', 'secret', { rpId: 'evil.example.org' }],
    ['a user who is not verified', 'secret', { isVerified: false }],
    ['a frame of another page', 'secret', { crossOrigin: true }],
  ])('is not taken from %s', async (_, secret, use) => {
    const expected = { challenge: await linkChallenge('secret'), origin: ORIGIN, rp_id: RP_ID };
    await refusal(verifyRegistration(phone.register(await linkChallenge(secret), use), expected));
  });
});

describe('the file of passkeys', () => {
  const place = new TemporaryDirectory();
  const path = place.join('passkeys.json');
  const own = process.geteuid?.();
  const faultOf = (user?: number): string => {
    try {
      readPasskeys(path, user);
      return '';
    } catch (error) {
      expect(error).toBeInstanceOf(ConsoleFault);
      return error instanceof Error ? error.message : '';
    }
  };

  test('is read as it was written, and is not needed', async () => {
    expect(readPasskeys(place.join('none'), own)).toBeUndefined();
    const file = await pinned(phone);
    writePasskeys(path, file);
    expect(readPasskeys(path, own)).toEqual(file);
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test('is not used where others may write to it', () => {
    chmodSync(path, 0o664);
    expect(faultOf(own)).toContain('others than its owner may write to it');
    chmodSync(path, 0o644);
  });

  test.skipIf(!isRoot)('is not used where it belongs to the user of the agent, but in development', () => {
    chownSync(path, 65_534, 65_534);
    expect(faultOf()).toContain("has to be root's");
    expect(faultOf(1)).toContain("has to be root's");
    expect(readPasskeys(path, 65_534)).toBeDefined();
    chownSync(path, 0, 0);
  });

  test('is not used when it is damaged, a link or no file', () => {
    const damaged = place.join('damaged.json');
    for (const text of ['', '{', '{}', '{"origin":"x","rp_id":"x","passkeys":[{}],"sessions":[]}']) {
      writeFileSync(damaged, text);
      expect(() => readPasskeys(damaged, own)).toThrow(ConsoleFault);
    }
    const link = place.join('link.json');
    symlinkSync(path, link);
    expect(() => readPasskeys(link, own)).toThrow(ConsoleFault);
    expect(() => readPasskeys(place.path, own)).toThrow('it is not a regular file');
  });
});
