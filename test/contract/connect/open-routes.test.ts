import { afterAll, describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { HOSTS, OAuthHost } from '../../helpers/oauth-host.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

const REQUESTS = 50_000;
const AT_ONCE = 24;
const MIB = 2 ** 20;

/** In everything that is sent, and nowhere afterwards. */
const MARK = 'ZmarkZ';

const server = await SignInAgent.start({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
afterAll(() => server[Symbol.asyncDispose]());

/** The same numbers in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const ROUTES = [
  '/.well-known/oauth-protected-resource',
  '/.well-known/oauth-protected-resource/mcp',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  ...['authorize', 'token', 'register', 'revoke'].flatMap((name) => Array<string>(4).fill(`/oauth/${name}`)),
];
const METHODS = ['GET', 'POST', 'POST', 'POST', 'OPTIONS', 'PUT', 'DELETE', 'HEAD', 'PATCH'];
const FIELDS = [
  ...['client_id', 'redirect_uri', 'response_type', 'code_challenge', 'code_challenge_method', 'state', 'scope'],
  ...[
    'resource',
    'code',
    'decision',
    'grant_type',
    'refresh_token',
    'code_verifier',
    'token',
    'ui_locales',
    '__proto__',
  ],
];

const anyHost = await OAuthHost.discover(HOSTS.other, server.mcp);
const registered = anyHost.client.client_id;
/** What a good client sends, to begin with: of many fields that are all odd, the first is refused and no other is read. */
const GOOD = [
  [...(await anyHost.ask()).url.searchParams],
  Object.entries({ client_id: registered, grant_type: 'refresh_token', refresh_token: MARK }),
  Object.entries({
    client_id: registered,
    grant_type: 'authorization_code',
    code: MARK,
    code_verifier: 'v'.repeat(43),
  }),
];
const VALUES = [
  '',
  MARK,
  'null',
  '\u0000',
  '%',
  '%zz%f0%28',
  '\u202e🂡',
  '[object Object]',
  'S256',
  'code',
  'allow',
  'deny',
  'authorization_code',
  'refresh_token',
  registered,
  `${registered}x`,
  `r.${Buffer.from(`{"r":["https://${MARK}.example/"]}`).toString('base64url')}.${'A'.repeat(43)}`,
  `ac.0badc0de.${'A'.repeat(43)}`,
  `rt.0badc0de.abc.1.${'A'.repeat(43)}`,
  `at.0badc0de.abc.1.abc.${'A'.repeat(12)}.${'A'.repeat(43)}`,
  `rt.0badc0de.${'9'.repeat(40)}.1.x`,
  HOSTS.claude.clientId,
  HOSTS.chatgpt.redirect,
  HOSTS.other.redirect,
  `https://${MARK}.example/client.json`,
  'https://127.0.0.1/client.json',
  'javascript:alert(1)',
  'A'.repeat(43),
  'AAAAAAAAAA',
  MARK.repeat(300),
  'x'.repeat(5000),
  server.mcp,
];

/** A request that a careless server falls over, of an address of its own. */
function oddRequest(random: (below: number) => number, number: number): [path: string, init: RequestInit] {
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
  const query = new URLSearchParams(random(2) === 0 ? pick(GOOD) : []);
  if (random(4) === 0) query.delete(pick(FIELDS));
  for (let count = random(3) * random(4); count > 0; count--) query.append(pick(FIELDS), pick(VALUES));
  const method = pick(METHODS);
  const headers: Record<string, string> = {
    'x-forwarded-for': `${11 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}.${1 + random(250)}`,
    'content-type': pick([
      'application/x-www-form-urlencoded',
      'application/json',
      'multipart/form-data',
      'text/plain',
      MARK,
    ]),
    ...(random(4) === 0 && {
      authorization: pick([`Bearer ${pick(VALUES).replace(/[^\x21-\x7e]/g, '')}`, 'Basic x', MARK]),
    }),
    ...(random(4) === 0 && { origin: pick(['null', 'https://claude.ai', `https://${MARK}.example`]) }),
    ...(random(9) === 0 && { 'content-encoding': 'gzip' }),
  };
  const metadata = {
    client_name: pick([MARK, 5, null, ['x'], 'n'.repeat(9000)]),
    redirect_uris: pick([
      [`https://${MARK}.example/`],
      MARK,
      [[]],
      [null, 5, {}],
      { length: 5 },
      Array<string>(500).fill('https://x.example/'),
      ['https://x.example/#', 'http://localhost:99999/', 'https://x:y@z.example'],
    ]),
    [pick(FIELDS)]: pick(VALUES),
  };
  const body = pick([
    () => query.toString(),
    () => JSON.stringify(metadata),
    () => `${'['.repeat(3000)}`,
    () => `{"${MARK}":`,
    () => Buffer.from([0xff, 0xfe, 0x00, 0x80, random(256)]),
    () => '&&&=&=&%00=%',
    () => 'a=1&'.repeat(random(2000)),
    () => 'z'.repeat(20_000),
  ]);
  const path = pick(ROUTES) + (random(3) === 0 ? `?${pick([query.toString(), '%', '&=&', `x=${MARK}`])}` : '');
  return [path, { method, headers, redirect: 'manual', ...(['GET', 'HEAD'].includes(method) ? {} : { body: body() }) }];
}

/** Sends so many odd requests; returns how often each status came. */
async function flood(count: number, seed: number): Promise<Record<number, number>> {
  const random = randomFrom(seed);
  const seen: Record<number, number> = {};
  let left = count;
  const send = async () => {
    for (let number = left--; number > 0; number = left--) {
      const [path, init] = oddRequest(random, seed + number);
      const response = await fetch(server.issuer + path, init);
      await response.arrayBuffer();
      seen[response.status] = (seen[response.status] ?? 0) + 1;
      if (response.status >= 500)
        throw new Error(`${init.method} ${path} was answered ${response.status}: ${init.body}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  return seen;
}

const kept = () => ({
  states: readdirSync(server.agent.sessionsDir).sort(),
  grants: statSync(`${server.agent.sessionsDir}/.grants`, { throwIfNoEntry: false })?.size,
  tokens: readFileSync(server.settings['AGENT3_TOKENS_FILE'] ?? '', 'utf8'),
  files: readdirSync(server.files.path).sort(),
});

/** Memory of its own, in bytes. */
const memory = () => {
  const status = readFileSync(`/proc/${server.agent.pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024;
};

describe('the routes that are open to everybody', () => {
  test('keep nobody waiting for bodies that come slowly, from one address or from many', async () => {
    await using server = await SignInAgent.start({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
    const { host, tokens } = await server.signIn(HOSTS.claude, 'patient');
    const sockets: Bun.Socket[] = [];
    const sendSlowly = async (addressOf: (count: number) => string) => {
      for (let count = 0; count < 150; count++) {
        const socket = await Bun.connect({
          hostname: '127.0.0.1',
          port: Number(server.settings['AGENT3_PORT']),
          socket: { data: () => {} },
        });
        const route = ['token', 'register', 'revoke', 'authorize'][count % 4];
        const headers = `Host: agent.example.org\r\nX-Forwarded-For: ${addressOf(count)}\r\nContent-Length: 1000`;
        socket.write(`POST /oauth/${route} HTTP/1.1\r\n${headers}\r\n\r\na=1&`);
        sockets.push(socket);
      }
      await Bun.sleep(300);
    };
    let refresh = tokens.refresh;
    for (const addressOf of [() => '192.0.2.1', (count: number) => `2001:db8:0:${count.toString(16)}::1`]) {
      await sendSlowly(addressOf);
      const start = performance.now();
      const all = await Promise.all(
        ['/.well-known/oauth-protected-resource', '/.well-known/oauth-authorization-server'].map((path) =>
          fetch(server.issuer + path),
        ),
      );
      expect(all.map(({ status }) => status)).toEqual([200, 200]);
      expect((await fetch((await host.ask()).url)).status).toBe(200);
      const newer = await host.refresh(refresh);
      refresh = newer.refresh;
      expect((await server.call(newer.access)).status).toBe(200);
      expect(performance.now() - start).toBeLessThan(5000);
    }
    for (const socket of sockets) socket.end();
  }, 60_000);

  test(`answer ${REQUESTS} odd requests without a fault, and keep nothing of them`, async () => {
    const { host, tokens } = await server.signIn(HOSTS.claude, 'kept', '--profile', 'full');
    await using terminal = server.connect('--name', 'waiting', '--client', 'other');
    await terminal.code();
    const before = kept();
    const lines = server.record.length;
    await flood(REQUESTS / 5, 2);
    const settled = memory();
    const seen = await flood((REQUESTS / 5) * 4, 3);
    // A busy machine collects garbage late.
    await eventually('it takes no more memory than before', () => memory() - settled < 24 * MIB);
    // It reached what it was meant for: pages, refusals of every kind, registrations.
    for (const status of [200, 201, 204, 400, 401, 403, 413])
      expect([status, seen[status] ?? 0]).not.toEqual([status, 0]);
    expect(kept()).toEqual(before);
    expect(server.record.length - lines).toBeLessThan(30);
    expect(server.written).not.toContain(MARK);
    const newer = await host.refresh(tokens.refresh);
    expect((await server.call(newer.access)).text).toBe('signed in\n');
  }, 180_000);
});
