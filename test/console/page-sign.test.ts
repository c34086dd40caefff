import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  challengeOf,
  challengeOfAll,
  fromBase64url,
  MOST_AT_ONCE,
  newOrder,
  type OrderFile,
  signInChallenge,
} from '../../src/console/order.ts';
import { aheadOf } from '../../src/console/page/servers.ts';
import { approveAll, judgeUrl, makePasskey, order, signIn } from '../../src/console/page/sign.ts';
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

/** An authenticator that says yes, with the lengths that keys of Windows have. */
function personSaysYes(): void {
  const response = {
    clientDataJSON: bytes(250),
    authenticatorData: bytes(37),
    signature: bytes(256),
    userHandle: bytes(16),
  };
  const credential = {
    id: 'k'.repeat(86),
    rawId: bytes(64),
    type: 'public-key',
    response,
    getClientExtensionResults: () => ({}),
  };
  const get = async ({ publicKey: { challenge } }: { publicKey: { challenge: ArrayBuffer } }) => {
    asked.push({ challenge: new Uint8Array(challenge), site: SITE });
    return credential;
  };
  Object.defineProperty(navigator, 'credentials', { value: { get }, configurable: true });
}

function bytes(length: number): ArrayBuffer {
  return new Uint8Array(length).buffer;
}

/** What a browser takes at once of the bodies that it sends on when the page is gone (the Fetch standard, `keepalive`). */
const KEEPALIVE_BYTES = 65_536;

/** A console that takes its time with each order, in a browser. Returns the orders, in the order in which they came. */
function slowConsole(): OrderFile[] {
  const files: OrderFile[] = [];
  let underWay = 0;
  const fetch = async (
    _: string,
    { body, keepalive = false }: { readonly body: string; readonly keepalive?: boolean },
  ) => {
    const length = keepalive ? body.length : 0;
    if (underWay + length > KEEPALIVE_BYTES) throw new TypeError('Failed to fetch');
    underWay += length;
    await Bun.sleep(1);
    underWay -= length;
    files.push(JSON.parse(body));
    return Response.json({ id: 'x', state: 'done' });
  };
  Object.assign(globalThis, { fetch });
  return files;
}

const wishes = (count: number) =>
  Array.from({ length: count }, () => {
    const server = { server: `U${'A'.repeat(55)}`, server_name: 'web-server-of-the-first-row-1' };
    return { kind: 'approve', session: newOrder().id, digest: 'a'.repeat(64), ...server } as const;
  });

test('as many as one signature takes all reach the console, with this one', async () => {
  personSaysYes();
  const files = slowConsole();
  const all = wishes(MOST_AT_ONCE);
  expect(await approveAll(all, () => Date.now())).toEqual(all.map(() => undefined));
  expect(files.map(({ order }) => order)).toMatchObject(all);
  const among = await Promise.all(files.map(({ order }) => challengeOf(order)));
  for (const { assertion } of files) expect(assertion?.among).toEqual(among);
  expect(asked).toEqual([{ challenge: fromBase64url(await challengeOfAll(among)), site: SITE }]);
});

test('what a second signature is for has the time of that', async () => {
  personSaysYes();
  const files = slowConsole();
  const now = Date.now();
  const times = [now - 80_000, now];
  const whys = await approveAll(wishes(MOST_AT_ONCE + 2), () => times.shift() ?? 0);
  expect(whys).toEqual(Array.from({ length: MOST_AT_ONCE + 2 }, () => undefined));
  expect(asked).toBeArrayOfSize(2);
  const at = files.map(({ order }) => order.at - now);
  expect(new Set(at.slice(0, MOST_AT_ONCE))).toEqual(new Set([-80_000]));
  expect(at.slice(MOST_AT_ONCE)).toEqual([0, 0]);
});

test('who cancels the first of two prompts is not asked again, and nothing is sent', async () => {
  const files = slowConsole();
  const whys = await approveAll(wishes(MOST_AT_ONCE + 2), () => Date.now());
  expect(whys).toBeArrayOfSize(MOST_AT_ONCE + 2);
  for (const why of whys) expect(why).toStartWith('No passkey was used');
  expect(asked).toBeArrayOfSize(1);
  expect(files).toEqual([]);
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
