import { describe, expect, test } from 'bun:test';
import type { Api, ApiCall } from '../../src/console/api.ts';
import { answerHttp } from '../../src/console/http.ts';
import { AddressList } from '../../src/lib/addresses.ts';

const ORIGIN = 'https://agent.example.org:8443';
const HOST = 'agent.example.org:8443';

/** What the API is asked by a request, or the status without it. */
async function asked(
  headers: Readonly<Record<string, string>>,
  { peer = '127.0.0.1', proxies = '' }: { peer?: string | undefined; proxies?: string } = {},
): Promise<ApiCall | number> {
  let call: ApiCall | undefined;
  const api = {
    answer: async (one: ApiCall) => {
      call = one;
      return {};
    },
  } as unknown as Api;
  const deps = {
    ...{ api, origin: ORIGIN, trustedProxies: AddressList.parse(proxies).list },
    pageFiles: async () => ({}),
    tell: (error: unknown) => {
      throw error;
    },
  };
  const request = new Request('http://x/api/me', { method: 'POST', body: '{}', headers: { host: HOST, ...headers } });
  const { status } = await answerHttp(deps, request, peer === '' ? undefined : peer);
  return call ?? status;
}

describe('a request to the console', () => {
  test.each([
    ['the page', { origin: ORIGIN, 'sec-fetch-site': 'same-origin' }],
    [
      'the page in a browser that names no origin without a referrer',
      { origin: 'null', 'sec-fetch-site': 'same-origin' },
    ],
    ['a program', {}],
  ])('is taken from %s', async (_, headers) => {
    expect(await asked(headers)).toMatchObject({ name: 'me' });
  });

  test.each([
    ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
    ['the same name at another port', { origin: 'https://agent.example.org' }],
    ['the same name without TLS', { origin: 'http://agent.example.org:8443' }],
    ['a page without an origin', { origin: 'null' }],
    ['another site that hides its origin', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['a frame of another site', { origin: ORIGIN, 'sec-fetch-site': 'same-site' }],
    ['a name that somebody pointed here', { host: 'evil.example:8443', origin: 'http://evil.example:8443' }],
    ['the same host at another port', { host: 'agent.example.org' }],
  ])('is refused from %s', async (_, headers) => {
    expect(await asked(headers)).toBe(400);
  });

  test('comes from whom a proxy says, when there is one', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1, 198.51.100.1' };
    expect(await asked(headers)).toMatchObject({ address: '127.0.0.1' });
    expect(await asked(headers, { proxies: '127.0.0.1' })).toMatchObject({ address: '198.51.100.1' });
    expect(await asked(headers, { peer: '' })).toMatchObject({ address: '198.51.100.1' });
    expect(await asked({}, { peer: '' })).toMatchObject({ address: '127.0.0.1' });
  });

  test('has the bearer of its header alone', async () => {
    const bearer = 'b'.repeat(43);
    expect(await asked({ authorization: `Bearer ${bearer}` })).toMatchObject({ bearer });
    for (const authorization of [`Basic ${bearer}`, bearer, 'Bearer short', `Bearer ${bearer} ${bearer}`])
      expect(await asked({ authorization })).toMatchObject({ bearer: undefined });
  });
});
