import { afterEach, expect, test } from 'bun:test';
import { challengeOf, fromBase64url, newOrder, signInChallenge } from '../../src/console/order.ts';
import { signIn } from '../../src/console/page/sign.ts';

const real = { fetch: globalThis.fetch, credentials: Object.getOwnPropertyDescriptor(navigator, 'credentials') };

afterEach(() => {
  globalThis.fetch = real.fetch;
  Object.defineProperty(navigator, 'credentials', real.credentials ?? { value: undefined, configurable: true });
  Reflect.deleteProperty(globalThis, 'PublicKeyCredential');
});

test('the page signs no order that a console which was taken over gives it as the challenge of a sign-in', async () => {
  const approve = { ...newOrder(), kind: 'approve', session: newOrder().id, digest: 'a'.repeat(64) } as const;
  const challenge = await challengeOf(approve);
  const asked: Uint8Array[] = [];
  const get = async ({ publicKey }: { readonly publicKey: { readonly challenge: ArrayBuffer } }) => {
    asked.push(new Uint8Array(publicKey.challenge));
    throw new DOMException('the person said no', 'NotAllowedError');
  };
  Object.assign(globalThis, {
    PublicKeyCredential: () => {},
    fetch: async () => Response.json({ rp_id: 'localhost', now: Date.now(), challenge }),
  });
  Object.defineProperty(navigator, 'credentials', { value: { get }, configurable: true });
  await expect(signIn()).rejects.toThrow();
  expect(asked).toEqual([fromBase64url(await signInChallenge(challenge))]);
  expect(asked).not.toEqual([fromBase64url(challenge)]);
});
