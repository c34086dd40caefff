import { afterEach, beforeEach, expect, test } from 'bun:test';
import { challengeOf, fromBase64url, newOrder, signInChallenge } from '../../src/console/order.ts';
import { aheadOf } from '../../src/console/page/servers.ts';
import { judgeUrl, makePasskey, order, signIn } from '../../src/console/page/sign.ts';
import type { ShownServer } from '../../src/console/shown-servers.ts';

const SITE = 'console.example.org';
const real = {
  fetch: globalThis.fetch,
  credentials: Object.getOwnPropertyDescriptor(navigator, 'credentials'),
  location: Object.getOwnPropertyDescriptor(globalThis, 'location'),
};

/** What an authenticator was asked: it says no to all. */
interface Asked {
  readonly challenge: Uint8Array;
  readonly site: string | undefined;
}
let asked: Asked[] = [];

beforeEach(() => {
  asked = [];
  const refuse = (challenge: ArrayBuffer, site: string | undefined): never => {
    asked.push({ challenge: new Uint8Array(challenge), site });
    throw new DOMException('the person said no', 'NotAllowedError');
  };
  type Given<Options> = { readonly publicKey: Options };
  const get = async ({ publicKey: { challenge, rpId } }: Given<{ challenge: ArrayBuffer; rpId?: string }>) =>
    refuse(challenge, rpId);
  const create = async ({ publicKey: { challenge, rp } }: Given<{ challenge: ArrayBuffer; rp: { id?: string } }>) =>
    refuse(challenge, rp.id);
  Object.assign(globalThis, { PublicKeyCredential: () => {} });
  Object.defineProperty(navigator, 'credentials', { value: { get, create }, configurable: true });
  Object.defineProperty(globalThis, 'location', { value: { hostname: SITE }, configurable: true });
});

afterEach(() => {
  globalThis.fetch = real.fetch;
  Object.defineProperty(navigator, 'credentials', real.credentials ?? { value: undefined, configurable: true });
  Object.defineProperty(globalThis, 'location', real.location ?? { value: undefined, configurable: true });
  Reflect.deleteProperty(globalThis, 'PublicKeyCredential');
});

/** A console that answers all in the same way, and keeps what it was sent. */
function consoleSays(answer: object): { readonly kind?: string }[] {
  const orders: { readonly kind?: string }[] = [];
  const fetch = async (_: string, { body }: { readonly body: string }) => {
    orders.push(JSON.parse(body).order ?? {});
    return Response.json(answer);
  };
  Object.assign(globalThis, { fetch });
  return orders;
}

test('the page signs no order that a console which was taken over sends it as the challenge of a sign-in', async () => {
  const approve = { ...newOrder(), kind: 'approve', session: newOrder().id, digest: 'a'.repeat(64) } as const;
  const challenge = await challengeOf(approve);
  consoleSays({ rp_id: SITE, now: Date.now(), challenge });
  await expect(signIn()).rejects.toThrow();
  expect(asked).toEqual([{ challenge: fromBase64url(await signInChallenge(challenge)), site: SITE }]);
  expect(asked[0]?.challenge).not.toEqual(fromBase64url(challenge));
});

test('a passkey is asked for the site of the page alone, whatever the console names', async () => {
  consoleSays({ rp_id: 'example.org', now: Date.now(), challenge: 'x' });
  await expect(signIn()).rejects.toThrow(`names the site example.org, and this page is of ${SITE}`);
  await expect(makePasskey({ id: 'x', secret: 'y' }, 'Pixel 9')).rejects.toThrow('names the site');
  expect(asked).toEqual([]);
  await order({ kind: 'thaw', since: 1 }, Date.now());
  expect(asked).toMatchObject([{ site: SITE }]);
});

test('nothing is signed for a time that is not that of the device; what needs no signature is sent', async () => {
  const approve = { kind: 'approve', session: newOrder().id, digest: 'a'.repeat(64) } as const;
  for (const apartMs of [-100_000, 100_000, 3_600_000]) {
    const now = Date.now() + apartMs;
    consoleSays({ rp_id: SITE, now, challenge: 'x' });
    const why = await order(approve, now);
    expect(why).toStartWith('Nothing was signed: the clock of this device says ');
    expect(why).toContain('timedatectl set-ntp true');
  }
  expect(asked).toEqual([]);
  const orders = consoleSays({ id: 'x', state: 'done' });
  expect(await order({ kind: 'freeze', reason: '' }, Date.now() + 3_600_000)).toBeUndefined();
  expect(orders).toMatchObject([{ kind: 'freeze' }]);
  await order(approve, Date.now() + 60_000);
  expect(asked).toBeArrayOfSize(1);
});

test('a time that the page has known since before a sleep is asked for again', async () => {
  consoleSays({ rp_id: SITE, now: Date.now(), challenge: 'x' });
  await order({ kind: 'thaw', since: 1 }, Date.now() - 600_000);
  expect(asked).toBeArrayOfSize(1);
});

test("a URL for clients is known at the page's own host alone, and never the console's own", () => {
  const page = 'https://agent.example.org:8443/#clients';
  const judge = (url: string, at = page): string => {
    const judged = judgeUrl(url, at);
    return judged === undefined ? 'none' : `${judged.isOwn ? 'own' : 'other'} ${judged.url.href}`;
  };
  expect(judge('https://agent.example.org/mcp')).toBe('own https://agent.example.org/mcp');
  expect(judge('https://agent.example.org.evil.test/mcp')).toBe('other https://agent.example.org.evil.test/mcp');
  expect(judge('https://аgent.example.org/mcp')).toBe('other https://xn--gent-43d.example.org/mcp');
  expect(judge('https://agent.example.org@evil.test/mcp')).toBe('none');
  expect(judge('https://agent.example.org:8443/api/mcp')).toBe('none');
  expect(judge('http://agent.example.org/mcp')).toBe('none');
  expect(judge('javascript:alert(1)')).toBe('none');
  expect(judge('agent.example.org')).toBe('none');
  expect(judge('http://localhost:3000/mcp', 'http://localhost:8443/')).toBe('other http://localhost:3000/mcp');
  expect(judge('http://127.0.0.1:3000/mcp', 'http://localhost:8443/')).toBe('other http://127.0.0.1:3000/mcp');
});

test('the end of what is allowed on a server goes by its clock, unless that is said to be far from that of the hub', () => {
  const ahead = (ahead_ms: number): number | undefined => aheadOf({ ahead_ms } as ShownServer);
  expect([aheadOf(undefined), ahead(90_000), ahead(-90_000)]).toEqual([0, 90_000, -90_000]);
  // A hub that was taken over could stretch five minutes to an hour by it.
  expect([ahead(90_001), ahead(55 * 60_000), ahead(-90_001)]).toEqual([undefined, undefined, undefined]);
});
