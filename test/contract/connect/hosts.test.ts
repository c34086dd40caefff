import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { allow, fieldsOf, formOf, HOSTS, type HostKind, OAuthHost, submit } from '../../helpers/oauth-host.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

const server = await SignInAgent.start();
afterAll(() => server[Symbol.asyncDispose]());

const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  fetch(server.issuer + path, { headers, redirect: 'manual' });

/** Posts a form to one of the routes of the server's metadata. */
const post = (url: string | undefined, fields: Readonly<Record<string, string>>) =>
  fetch(url ?? '', { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' });

let names = 0;
const newName = () => `client-${++names}`;

describe('the way to the sign-in', () => {
  test('begins at /mcp, and nowhere else', async () => {
    const metadata = `${server.issuer}/.well-known/oauth-protected-resource/mcp`;
    const none = await fetch(server.mcp, { method: 'POST', body: '{}' });
    expect([none.status, none.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringMatching(new RegExp(`^Bearer resource_metadata="${metadata}", scope="[a-z0-9 ]+"$`)),
    ]);
    const wrong = await server.call('wrong-token-of-32-characters-xxx');
    expect([wrong.status, wrong.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringMatching(/resource_metadata=".*error="invalid_token"|error="invalid_token".*resource_metadata="/),
    ]);
    for (const path of ['/', '/shell', '/server_info']) {
      const other = await fetch(server.issuer + path, { method: 'POST', body: '{"op":"server_info"}' });
      expect([path, other.headers.get('www-authenticate')]).toEqual([path, null]);
    }
  });

  test('has the same metadata at both paths, with the server itself as issuer', async () => {
    const [inserted, root] = await Promise.all(
      ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource'].map(async (path) => {
        const response = await get(path);
        expect([response.status, response.headers.get('content-type')]).toEqual([
          200,
          expect.stringContaining('application/json'),
        ]);
        return fieldsOf(response);
      }),
    );
    expect(inserted).toEqual(root);
    expect(inserted).toMatchObject({ resource: server.mcp, authorization_servers: [server.issuer] });
    expect(inserted?.['scopes_supported']).not.toContain('offline_access');
  });

  test('says all that hosts look for before they choose how to register', async () => {
    const metadata = await fieldsOf(await get('/.well-known/oauth-authorization-server'));
    expect(metadata).toMatchObject({
      issuer: server.issuer,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_methods_supported: ['none'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
      scopes_supported: expect.arrayContaining(['offline_access']),
    });
    for (const name of ['authorization', 'token', 'registration', 'revocation'])
      expect(metadata[`${name}_endpoint`]).toStartWith(`${server.issuer}/`);
  });

  test('goes by the setting, whatever a request says of the name of the server', async () => {
    for (const headers of [{ host: 'evil.example' }, { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil' }]) {
      const text = await (await get('/.well-known/oauth-protected-resource/mcp', headers)).text();
      expect(text).not.toContain('evil');
      const { headers: answered } = await fetch(server.mcp, { method: 'POST', body: '{}', headers });
      expect(answered.get('www-authenticate') ?? '').not.toContain('evil');
    }
  });

  test.each([
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/oauth-authorization-server',
    'token_endpoint',
    'registration_endpoint',
    'revocation_endpoint',
  ])('lets every page read %s, which asks first', async (place) => {
    const { server: known } = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const url = place.startsWith('/') ? server.issuer + place : String(known[place]);
    const method = place.startsWith('/') ? 'GET' : 'POST';
    const asked = await fetch(url, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://inspector.example',
        'access-control-request-method': method,
        'access-control-request-headers': 'content-type, mcp-protocol-version',
      },
    });
    expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
    const allowed = (asked.headers.get('access-control-allow-headers') ?? '').toLowerCase();
    expect(allowed).toContain('content-type');
    expect(allowed).toContain('mcp-protocol-version');
    expect(asked.headers.get('access-control-allow-methods')).toContain(method);
    const answered = await fetch(url, { method, headers: { origin: 'https://inspector.example' } });
    expect(answered.headers.get('access-control-allow-origin')).toBe('*');
  });

  test('lets no page read the consent page', async () => {
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const page = await fetch((await host.ask()).url, { headers: { origin: 'https://evil.example' } });
    expect([page.status, page.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });
});

describe.each(Object.entries(HOSTS) as [string, HostKind][])('a host like %s', (_label, kind) => {
  test('signs in, calls in both eras, refreshes, calls again, and signs out', async () => {
    const name = newName();
    const { host, tokens, terminal } = await server.signIn(kind, name, '--profile', 'full');
    expect(terminal.find(({ event }) => event === 'code')).toMatchObject({
      code: expect.stringMatching(/^[A-Z2-7]{10}$/),
      url: server.mcp,
      name,
      client: kind.client,
      profile: 'full',
      expires: null,
      code_expires: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(terminal.find(({ event }) => event === 'connected')).toMatchObject({
      client: expect.stringMatching(/./),
      redirect: kind.redirect,
      address: '127.0.0.1',
    });
    const origin = kind.origin === undefined ? {} : { origin: kind.origin };
    for (const era of ['older', 'newer'] as const)
      expect(await server.call(tokens.access, { cmd: 'echo in' }, { era, ...origin })).toMatchObject({
        status: 200,
        text: 'in\n',
      });
    const newer = await host.refresh(tokens.refresh);
    expect(newer.refresh).not.toBe(tokens.refresh);
    expect((await server.call(newer.access)).status).toBe(200);
    await host.revoke(newer.refresh);
    await eventually('it has ended', async () => (await server.call(newer.access)).status === 401);
    await expect(host.refresh(newer.refresh)).rejects.toThrow();
  });
});

describe('a client', () => {
  test('gets the profile that the owner gave, and opens /mcp alone', async () => {
    const { tokens } = await server.signIn(HOSTS.other, newName(), '--profile', 'readonly');
    const written = await server.call(tokens.access, { cmd: `echo more >> ${server.files.join('file')}` });
    expect([written.status, existsSync(server.files.join('file'))]).toEqual([200, false]);
    for (const headers of [{ 'x-auth-token': tokens.access }, { authorization: `Bearer ${tokens.access}` }]) {
      for (const path of ['/', '/shell', '/server_info', '/list_sessions']) {
        const body = JSON.stringify({ op: 'server_info', cmd: 'true' });
        const other = await fetch(server.issuer + path, { method: 'POST', headers, body });
        expect([path, other.status]).toEqual([path, 403]);
      }
    }
  });

  test('is a token like others: listed, with its last use, and revoked with all that it has', async () => {
    const name = newName();
    const { host, tokens } = await server.signIn(HOSTS.claude, name);
    await server.call(tokens.access, {}, { tool: 'server_info' });
    const list = JSON.parse((await server.owner('token', 'list', '--json')).stdout);
    expect(list).toContainEqual(expect.objectContaining({ name, profile: 'readonly' }));
    expect(await server.owner('token', 'rotate', name)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('agent3 connect'),
    });
    expect((await server.owner('token', 'revoke', name)).code).toBe(0);
    await eventually('it has ended', async () => (await server.call(tokens.access)).status === 401, 1500);
    await expect(host.refresh(tokens.refresh)).rejects.toThrow();
  });

  test('that was refused hears of it with the issuer, by the redirect alone', async () => {
    await using terminal = server.connect('--name', newName(), '--client', 'chatgpt');
    await terminal.code();
    const host = await OAuthHost.discover(HOSTS.chatgpt, server.mcp);
    const asking = await host.ask();
    const denied = await submit(asking.url, '', 'deny');
    const location = new URL(denied.headers.get('location') ?? '');
    expect(location.origin + location.pathname).toBe(HOSTS.chatgpt.redirect);
    expect(Object.fromEntries(location.searchParams)).toMatchObject({
      error: 'access_denied',
      state: asking.state,
      iss: server.issuer,
    });
  });

  test.each([
    ['no PKCE', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
    ['a plain challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['a challenge without its method', { code_challenge_method: undefined }, 'invalid_request'],
    ['a short challenge', { code_challenge: 'short' }, 'invalid_request'],
    ['another response type', { response_type: 'token' }, 'unsupported_response_type'],
    ['the resource of another server', { resource: 'https://evil.example/mcp' }, 'invalid_target'],
    ['another resource of this server', { resource: `${server.issuer}/sessions` }, 'invalid_target'],
  ])('with %s is sent back, and no code of the owner helps', async (_what, changed, error) => {
    await using terminal = server.connect('--name', newName(), '--client', 'claude');
    const code = await terminal.code();
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const asking = await host.ask(changed);
    const answer = await fetch(asking.url, { redirect: 'manual' });
    const location = new URL(answer.headers.get('location') ?? server.issuer);
    expect(location.origin + location.pathname).toBe(HOSTS.claude.redirect);
    expect(Object.fromEntries(location.searchParams)).toMatchObject({ error, state: asking.state, iss: server.issuer });
    // The form of a good page with these fields in it.
    const good = await host.ask();
    const { action, fields } = formOf(await (await fetch(good.url)).text(), good.url);
    const sent = new Map(fields.map(([name, value]) => [name, value]));
    for (const [name, value] of Object.entries(changed)) {
      if (value === undefined) sent.delete(name);
      else sent.set(name, value);
    }
    const form = new URLSearchParams({ ...Object.fromEntries(sent), code, decision: 'allow' });
    const submitted = await fetch(action, { method: 'POST', body: form, redirect: 'manual' });
    expect(new URL(submitted.headers.get('location') ?? server.issuer).searchParams.get('code')).toBeNull();
  });

  test.each([
    ['a redirect of somebody else', { redirect_uri: 'https://evil.example/callback' }],
    ['a redirect that begins like its own', { redirect_uri: 'https://claude.ai/api/mcp/auth_callback/../../evil' }],
    ['its redirect on a name below', { redirect_uri: 'https://claude.ai.evil.example/api/mcp/auth_callback' }],
    ['a user in its redirect', { redirect_uri: 'https://claude.ai@evil.example/api/mcp/auth_callback' }],
    ['a redirect that is a script', { redirect_uri: 'javascript:alert(1)' }],
    ['no redirect', { redirect_uri: undefined }],
    ['a query at its redirect', { redirect_uri: 'https://claude.ai/api/mcp/auth_callback?next=https://evil.example' }],
    ['no id', { client_id: undefined }],
    ['an id that nobody gave out', { client_id: `r.${btoa('{"r":["https://evil.example/"]}')}.${'a'.repeat(43)}` }],
    ['an id of another scheme', { client_id: 'http://claude.ai/oauth/mcp-oauth-client-metadata' }],
  ])('with %s is shown why, and nobody is sent anywhere', async (_what, changed) => {
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const { url } = await host.ask(changed);
    for (const name of Object.keys(changed)) if (Object(changed)[name] === undefined) url.searchParams.delete(name);
    const answer = await fetch(url, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location'), answer.headers.get('content-type')]).toEqual([
      400,
      null,
      'text/html; charset=utf-8',
    ]);
    expect(await answer.text()).not.toMatch(/href="[^"]*evil|<form/);
  });

  test('that sends a parameter twice is refused, and one that nobody knows is not', async () => {
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const twice = (await host.ask()).url;
    twice.searchParams.append('redirect_uri', 'https://evil.example/');
    expect((await fetch(twice, { redirect: 'manual' })).status).toBe(400);
    const more = await host.ask({ nonce: 'x', foo: 'bar', prompt: 'consent', resource: undefined });
    expect((await fetch(more.url, { redirect: 'manual' })).status).toBe(200);
  });

  test.each([`${server.issuer}/mcp/`, server.issuer, `${server.issuer}/`, server.mcp.replace('http', 'HTTP')])(
    'may spell the resource %s',
    async (resource) => {
      const host = await OAuthHost.discover(HOSTS.chatgpt, server.mcp);
      expect((await fetch((await host.ask({ resource })).url, { redirect: 'manual' })).status).toBe(200);
    },
  );

  test('gets nothing for a code with another verifier, redirect, client or resource', async () => {
    for (const changed of [
      { verifier: 'v'.repeat(43) },
      { redirect: 'https://claude.com/api/mcp/auth_callback' },
      { resource: 'https://evil.example/mcp' },
    ]) {
      await using terminal = server.connect('--name', newName(), '--client', 'claude');
      const code = await terminal.code();
      const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
      const asking = await host.ask();
      const answer = await allow(asking.url, code);
      await expect(host.exchange(asking, answer, changed)).rejects.toThrow();
    }
    await using terminal = server.connect('--name', newName(), '--client', 'claude');
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const asking = await host.ask();
    const answer = await allow(asking.url, await terminal.code());
    const other = await post(host.server.token_endpoint, {
      grant_type: 'authorization_code',
      client_id: HOSTS.chatgpt.clientId,
      code: answer.searchParams.get('code') ?? '',
      redirect_uri: HOSTS.claude.redirect,
      code_verifier: asking.verifier,
    });
    expect([other.status, (await fieldsOf(other))['error']]).toEqual([400, 'invalid_grant']);
  });

  test('that nobody knows any more is told so, as Claude needs it to register again', async () => {
    const host = await OAuthHost.discover(HOSTS.other, server.mcp);
    const client_id = `${host.client.client_id.slice(0, -1)}${host.client.client_id.endsWith('A') ? 'B' : 'A'}`;
    for (const fields of [
      { grant_type: 'refresh_token', refresh_token: 'x' },
      { grant_type: 'authorization_code', code: 'x', code_verifier: 'x'.repeat(43) },
    ]) {
      const answer = await post(host.server.token_endpoint, { client_id, ...fields });
      expect([answer.status, (await fieldsOf(answer))['error']]).toEqual([401, 'invalid_client']);
    }
    const unsupported = await post(host.server.token_endpoint, {
      client_id: host.client.client_id,
      grant_type: 'client_credentials',
    });
    expect((await fieldsOf(unsupported))['error']).toBe('unsupported_grant_type');
  });

  test.each([
    [{}, 'invalid_redirect_uri'],
    [{ redirect_uris: [] }, 'invalid_redirect_uri'],
    [{ redirect_uris: ['http://evil.example/'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: ['javascript:alert(1)', 'data:text/html,x', 'https://x.example/#f'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: 'https://x.example/' }, 'invalid_redirect_uri'],
    [[], 'invalid_client_metadata'],
  ])('that registers %j is refused', async (metadata, error) => {
    const { server: known } = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const answer = await fetch(known.registration_endpoint ?? '', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(metadata),
    });
    expect([answer.status, (await fieldsOf(answer))['error']]).toEqual([400, error]);
  });
});

test.each([
  ['https://Agent.Example.ORG:443/', 'https://agent.example.org'],
  ['https://agent.example.org:8443', 'https://agent.example.org:8443'],
  ['https://someone@agent.example.org', 'https://agent.example.org'],
])('the public URL %s has one spelling in all documents', async (url, plain) => {
  await using spelt = await SignInAgent.start({ AGENT3_PUBLIC_URL: url });
  const of = async (name: string) => fieldsOf(await fetch(`${spelt.agent.url}/.well-known/${name}`));
  const [resource, issuer] = [await of('oauth-protected-resource'), await of('oauth-authorization-server')];
  expect([resource['resource'], resource['authorization_servers'], issuer['issuer'], issuer['token_endpoint']]).toEqual(
    [`${plain}/mcp`, [plain], plain, `${plain}/oauth/token`],
  );
  const { headers } = await fetch(`${spelt.agent.url}/mcp`, { method: 'POST', body: '{}' });
  expect(headers.get('www-authenticate')).toContain(`"${plain}/.well-known/`);
  const terminal = spelt.connect('--name', 'x', '--client', 'other');
  expect((await terminal.event('code'))['url']).toBe(`${plain}/mcp`);
  await terminal[Symbol.asyncDispose]();
});

describe('without a public URL', () => {
  test.each([
    ['none', {}],
    ['one over HTTP', { AGENT3_PUBLIC_URL: 'http://agent.example.org' }],
  ])('(%s) nobody can sign in, and the challenge says nothing of it', async (_what, url) => {
    await using plain = await SignInAgent.start({ AGENT3_PUBLIC_URL: '', ...url });
    const { headers } = await fetch(`${plain.agent.url}/mcp`, { method: 'POST', body: '{}' });
    expect(headers.get('www-authenticate')).toBe('Bearer');
    for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-authorization-server'])
      expect((await fetch(plain.agent.url + path)).status).toBeOneOf([403, 404]);
    const terminal = plain.connect('--name', 'x', '--client', 'other');
    expect(await terminal.ended()).not.toBe(0);
    expect(terminal.stderr).toContain('AGENT3_PUBLIC_URL');
  });
});
