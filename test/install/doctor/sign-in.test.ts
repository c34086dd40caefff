import { describe, expect, test } from 'bun:test';
import { type Send, signInFinding } from '../../../src/install/doctor/sign-in.ts';

const ISSUER = 'https://agent.example.org';
const VALUES = { AGENT3_PUBLIC_URL: `${ISSUER}/`, AGENT3_GRANT_KEY: 'k'.repeat(32) };
const OPEN = { 'access-control-allow-origin': '*' };
const METADATA = '/.well-known/oauth-protected-resource';

type Answers = Readonly<Record<string, (init: RequestInit) => Response>>;

/** A server on which everything is as a chat wants it. */
const WELL: Answers = {
  '/healthz': () => new Response('{}'),
  [METADATA]: () => Response.json({ resource: `${ISSUER}/mcp` }, { headers: OPEN }),
  [`${METADATA}/mcp`]: () => Response.json({ resource: `${ISSUER}/mcp` }, { headers: OPEN }),
  '/.well-known/oauth-authorization-server': () => Response.json({ issuer: ISSUER }, { headers: OPEN }),
  '/mcp': ({ method, headers }) =>
    method === 'OPTIONS'
      ? new Response(null, { headers: { 'access-control-allow-origin': new Headers(headers).get('origin') ?? '' } })
      : new Response('{}', {
          status: 401,
          headers: { 'www-authenticate': `Bearer resource_metadata="${ISSUER}${METADATA}/mcp"` },
        }),
  '/oauth/authorize': () => new Response('<button name="decision">'),
};

/** What the doctor finds of a server with these answers. `trust` is whether the world trusts its certificate. */
function find(answers: Answers, { trust = true, hasGrants = false } = {}) {
  const send =
    (isVerified: boolean): Send =>
    async (path, init = {}) => {
      if (isVerified && !trust) throw Object.assign(new Error('self signed'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
      const answer = answers[path.split('?')[0] ?? ''];
      return answer === undefined ? new Response('', { status: 404 }) : answer(init);
    };
  return signInFinding({ values: VALUES, domain: null, hasGrants }, (_, isVerified) => send(isVerified));
}

describe('the sign-in is well', () => {
  test('where a chat gets to the page with the code', async () => {
    expect(await find(WELL)).toEqual({
      ok: true,
      found: `clients can sign in at ${ISSUER}/mcp`,
    });
  });

  test('where nobody wants it', async () => {
    expect(await signInFinding({ values: {}, domain: null, hasGrants: false })).toMatchObject({ ok: true });
  });

  test('for this network alone, with a certificate that the world does not trust', async () => {
    const found = expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT');
    expect(await find(WELL, { trust: false })).toMatchObject({ ok: true, found });
    expect(await find(WELL, { trust: false, hasGrants: true })).toMatchObject({ ok: false, found });
  });
});

describe('a chat stumbles', () => {
  test.each<readonly [string, Answers, string]>([
    ['without metadata', { [`${METADATA}/mcp`]: () => new Response('', { status: 404 }) }, 'accepts no sign-ins'],
    ['on a page of the proxy', { [METADATA]: () => new Response('<html>') }, 'is not that of'],
    [
      'on the metadata of another name',
      { [METADATA]: () => Response.json({ resource: 'https://other.example/mcp' }, { headers: OPEN }) },
      'is not that of',
    ],
    [
      'on a proxy that takes headers away',
      { [METADATA]: () => Response.json({ resource: `${ISSUER}/mcp` }) },
      'has lost its headers',
    ],
    [
      'on another issuer',
      { '/.well-known/oauth-authorization-server': () => Response.json({ issuer: `${ISSUER}/` }) },
      'is not that of',
    ],
    ['on a 403', { '/mcp': () => new Response('', { status: 403 }) }, 'answers 403'],
    ['without a challenge', { '/mcp': () => new Response('', { status: 401 }) }, 'does not name the place to sign in'],
    [
      'without CORS',
      {
        '/mcp': (init) =>
          init.method === 'OPTIONS' ? new Response() : (WELL['/mcp']?.(init) ?? new Response('', { status: 404 })),
      },
      'a page of https://chatgpt.com may not use /mcp',
    ],
    ['without a page', { '/oauth/authorize': () => new Response('', { status: 502 }) }, 'does not open (502)'],
  ])('%s', async (_, broken, found) => {
    expect(await find({ ...WELL, ...broken })).toMatchObject({
      ok: false,
      found: expect.stringContaining(found),
      advice: expect.any(String),
    });
  });

  test.each([
    [{ ...VALUES, AGENT3_PUBLIC_URL: 'http://agent.example.org' }, 'is not https'],
    [{ AGENT3_PUBLIC_URL: ISSUER }, 'AGENT3_GRANT_KEY is not set'],
  ])('on the settings %j', async (values, found) => {
    const finding = await signInFinding({ values, domain: null, hasGrants: false });
    expect(finding).toMatchObject({ ok: false, found: expect.stringContaining(found) });
  });
});
