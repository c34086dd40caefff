import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fieldsOf, formOf, HOSTS, type HostKind, OAuthHost, submit } from '../../helpers/oauth-host.ts';
import { type SignedIn, SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

let names = 0;
const newName = () => `client-${++names}`;

/** A client of a stranger, who says what he likes of himself. */
const STRANGER: HostKind = {
  client: 'chatgpt',
  redirect: 'https://evil.example/callback',
  registers: ['https://evil.example/callback'],
};

describe('a stranger', () => {
  let server: SignInAgent;
  beforeAll(async () => {
    server = await SignInAgent.start({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('who sends the owner his own link gets nothing with his own program', async () => {
    await using terminal = server.connect('--name', newName(), '--client', 'chatgpt');
    const stranger = await OAuthHost.discover(STRANGER, server.mcp);
    const { url } = await stranger.ask({ ui_locales: 'en' });
    const answer = await submit(url, await terminal.code());
    expect([answer.status, answer.headers.get('location')]).toEqual([403, null]);
    expect(await answer.text()).toContain('ChatGPT');
  });

  test('who sends the owner a link of his own account is seen at the terminal, and a no ends it at once', async () => {
    const name = newName();
    const terminal = server.connect('--name', name, '--client', 'chatgpt');
    const stranger = await OAuthHost.discover(HOSTS.chatgpt, server.mcp);
    const asking = await stranger.ask();
    const page = await submit(asking.url, await terminal.code(), 'allow', { 'x-forwarded-for': '203.0.113.9' });
    const tokens = await stranger.exchange(asking, new URL(page.headers.get('location') ?? ''));
    expect(await terminal.event('connected')).toMatchObject({
      redirect: HOSTS.chatgpt.redirect,
      address: '203.0.113.9',
    });
    await terminal.type('n');
    expect(await terminal.ended()).toBe(1);
    expect(terminal.events.at(-1)).toMatchObject({ event: 'ended' });
    await eventually('it has ended', async () => (await server.call(tokens.access)).status === 401, 1500);
    await expect(stranger.refresh(tokens.refresh)).rejects.toThrow();
    expect((await server.owner('token', 'list')).stdout).not.toContain(name);
  });

  test('has nothing of a grant whose owner pressed Ctrl-C, or whose terminal was closed', async () => {
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) {
      const terminal = server.connect('--name', newName(), '--client', 'other');
      const code = await terminal.code();
      terminal.signal(signal);
      expect(await terminal.ended()).toBe(1);
      const host = await OAuthHost.discover(HOSTS.other, server.mcp);
      await eventually('the code is void', async () => {
        const { status } = await submit((await host.ask()).url, code);
        return status !== 303 && status !== 302;
      });
    }
  });

  test('guesses in vain from 10,000 addresses, and the code is void after 20 tries', async () => {
    const name = newName();
    await using terminal = server.connect('--name', name, '--client', 'other');
    const code = await terminal.code();
    const lines = server.record.length;
    const host = await OAuthHost.discover(HOSTS.other, server.mcp);
    const { url } = await host.ask();
    const { action, fields } = formOf(await (await fetch(url)).text(), url);
    const form = (typed: string) => {
      const body = new URLSearchParams();
      for (const [field, value] of [...fields, ['code', typed], ['decision', 'allow']] as const)
        body.append(field, value);
      return body;
    };
    const seen = new Map<number, number>();
    let next = 0;
    const guess = async () => {
      for (let one = next++; one < 10_000; one = next++) {
        const typed = one.toString(32).toUpperCase().padStart(10, 'A').replace(/[01]/g, '7').replace(/[89]/g, '2');
        const { status } = await fetch(action, {
          method: 'POST',
          body: form(typed),
          redirect: 'manual',
          headers: { 'x-forwarded-for': `${10 + (one >> 16)}.${(one >> 8) & 255}.${one & 255}.7` },
        });
        seen.set(status, (seen.get(status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 32 }, guess));
    for (const status of seen.keys()) expect(status).toBeOneOf([403, 429]);
    const late = await submit(url, code, 'allow', { 'x-forwarded-for': '198.51.100.200' });
    expect([late.status, late.headers.get('location')]).toEqual([403, null]);
    // A line that the code is void, and one a minute with counts.
    expect(server.record.length - lines).toBeLessThan(20);
    expect(server.written).not.toContain(code);
  }, 60_000);

  test('leads nobody from here to his own site', async () => {
    const stranger = await OAuthHost.discover(STRANGER, server.mcp);
    for (const changed of [
      { response_type: 'token' },
      { code_challenge_method: 'plain' },
      { resource: 'https://evil.example/' },
      { state: 'x'.repeat(5000) },
    ]) {
      const answer = await fetch((await stranger.ask(changed)).url, { redirect: 'manual' });
      expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
    }
    const good = await stranger.ask();
    const { action, fields } = formOf(await (await fetch(good.url)).text(), good.url);
    const body = new URLSearchParams({ ...Object.fromEntries(fields), decision: 'deny' });
    const denied = await fetch(action, { method: 'POST', body, redirect: 'manual' });
    expect([denied.status, denied.headers.get('location')]).toEqual([400, null]);
  });

  test('gains nothing by a form of his own page: without the code, with it in the link, twice, or of another origin', async () => {
    await using terminal = server.connect('--name', newName(), '--client', 'other');
    const code = await terminal.code();
    const host = await OAuthHost.discover(HOSTS.other, server.mcp);
    const { url } = await host.ask();
    const { action, fields } = formOf(await (await fetch(url)).text(), url);
    const sendForm = (more: readonly (readonly [string, string])[], at = action) => {
      const body = new URLSearchParams();
      for (const [name, value] of [...fields, ...more]) body.append(name, value);
      return fetch(at, { method: 'POST', body, redirect: 'manual', headers: { origin: 'https://evil.example' } });
    };
    const withCode = new URL(url);
    withCode.searchParams.set('code', code);
    withCode.searchParams.set('decision', 'allow');
    const got = await fetch(withCode, { redirect: 'manual' });
    expect([got.status, got.headers.get('location')]).toEqual([200, null]);
    for (const form of [
      [['decision', 'allow']],
      [
        ['decision', 'allow'],
        ['code', ''],
      ],
      [
        ['code', code],
        ['code', 'AAAAAAAAAA'],
        ['decision', 'allow'],
      ],
    ] as const) {
      const { status, headers } = await sendForm(form);
      expect(status).toBeOneOf([400, 403]);
      expect(headers.get('location')).toBeNull();
    }
    const inLink = new URL(action);
    inLink.search = withCode.search;
    const linked = await sendForm([['decision', 'allow']], inLink);
    expect(linked.headers.get('location')).toBeNull();
    expect(terminal.events.map(({ event }) => event)).toEqual(['code']);
  });

  test('cannot write into the headers of an answer', async () => {
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    for (const state of ['x\r\nset-cookie: a=b', '\u0000\u2028', '%0d%0aset-cookie:a=b', '&iss=https://evil.example']) {
      const { url } = await host.ask({ state, response_type: 'nothing' });
      const answer = await fetch(url, { redirect: 'manual' });
      const location = new URL(answer.headers.get('location') ?? '');
      expect([answer.headers.get('set-cookie'), location.searchParams.get('state')]).toEqual([null, state]);
      expect(location.searchParams.getAll('iss')).toEqual([server.issuer]);
    }
  });

  test('who has the tokens of one server has nothing at another', async () => {
    await using other = await SignInAgent.start();
    const { host, tokens } = await server.signIn(HOSTS.claude, newName());
    expect((await other.call(tokens.access)).status).toBe(401);
    const there = await OAuthHost.discover(HOSTS.claude, other.mcp);
    await expect(there.refresh(tokens.refresh)).rejects.toThrow();
    // A client that is led to the wrong server finds out by the issuer in the answer.
    await using terminal = other.connect('--name', 'mixed', '--client', 'claude');
    const asking = await there.ask();
    const answer = await submit(asking.url, await terminal.code());
    const location = new URL(answer.headers.get('location') ?? '');
    await expect(host.exchange(asking, location)).rejects.toThrow(/iss/);
    location.searchParams.set('iss', server.issuer);
    await expect(host.exchange(asking, location)).rejects.toThrow();
    const registered = await OAuthHost.discover(STRANGER, server.mcp);
    const foreign = await fetch(there.server.token_endpoint ?? '', {
      method: 'POST',
      body: new URLSearchParams({
        client_id: registered.client.client_id,
        grant_type: 'refresh_token',
        refresh_token: tokens.refresh,
      }),
    });
    expect([foreign.status, (await fieldsOf(foreign))['error']]).toEqual([401, 'invalid_client']);
    // Nor with the key of the other one, where the issuer is not the same.
    expect((await server.call(tokens.access)).status).toBe(200);
  });

  test('cannot send a token where it would be written down, or in another form', async () => {
    const { tokens } = await server.signIn(HOSTS.claude, newName());
    const body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    for (const [path, headers] of [
      [`/mcp?access_token=${tokens.access}`, {}],
      ['/mcp', { authorization: `Basic ${btoa(`x:${tokens.access}`)}` }],
      ['/mcp', { authorization: `Bearer ${tokens.refresh}` }],
      ['/mcp', { cookie: `access_token=${tokens.access}` }],
      ['/mcp', { authorization: `Bearer ${tokens.access}x` }],
      ['/mcp', { authorization: `Bearer ${tokens.access.slice(0, -1)}` }],
    ] as const)
      expect((await fetch(server.issuer + path, { method: 'POST', headers, body })).status).toBe(401);
    expect(server.written).not.toContain(tokens.access);
    expect(server.written).not.toContain(tokens.refresh);
  });
});

/** What an agent remembers of its grants lies here. */
const statesOf = (server: SignInAgent): string => join(server.agent.sessionsDir, '.grants');

describe('whoever can write what the agent itself can', () => {
  let server: SignInAgent;
  let signedIn: SignedIn;
  let code: string;

  // A new agent for each: most of these end the grant.
  const begin = async (options: readonly string[] = ['--profile', 'readonly', '--expires', '1h']) => {
    server = await SignInAgent.start();
    signedIn = await server.signIn(HOSTS.other, 'victim', ...options);
    code = String(signedIn.terminal.find(({ event }) => event === 'code')?.['code']);
  };
  const tokensFile = () => server.settings['AGENT3_TOKENS_FILE'] ?? '';
  const grants = () => JSON.parse(readFileSync(tokensFile(), 'utf8')) as { tokens: Record<string, unknown>[] };
  const change = (changed: (record: Record<string, unknown>) => Record<string, unknown>) => {
    const file = grants();
    writeFileSync(tokensFile(), JSON.stringify({ ...file, tokens: file.tokens.map(changed) }));
  };
  const status = async () => (await server.call(signedIn.tokens.access, {}, { tool: 'server_info' })).status;

  test.each([
    ['profile', (record: Record<string, unknown>) => ({ ...record, profile: 'full' })],
    ['end', (record: Record<string, unknown>) => ({ ...record, expires_at: null })],
    ['later end', (record: Record<string, unknown>) => ({ ...record, expires_at: Number(record['expires_at']) + 1e9 })],
    ['age', (record: Record<string, unknown>) => ({ ...record, created_at: Number(record['created_at']) + 1 })],
    ['name', (record: Record<string, unknown>) => ({ ...record, name: 'another' })],
    [
      'code',
      (record: Record<string, unknown>) => ({ ...record, grant: { ...Object(record['grant']), code: 'x'.repeat(43) } }),
    ],
    [
      'time of its code',
      (record: Record<string, unknown>) => ({
        ...record,
        grant: { ...Object(record['grant']), code_expires_at: Date.now() + 1e9 },
      }),
    ],
    [
      'client',
      (record: Record<string, unknown>) => ({ ...record, grant: { ...Object(record['grant']), client: 'claude' } }),
    ],
  ])('ends a grant by another %s in the file of tokens, and widens or prolongs nothing', async (_what, changed) => {
    await begin();
    await using _server = server;
    expect(await status()).toBe(200);
    change(changed);
    await eventually('it is refused', async () => (await status()) === 401);
    await expect(signedIn.host.refresh(signedIn.tokens.refresh)).rejects.toThrow();
    await server.agent.restart();
    expect(await status()).toBe(401);
  });

  test('makes no token of a grant, nor a grant of a token', async () => {
    await begin();
    await using _server = server;
    change(({ grant: _, ...record }) => ({
      ...record,
      sha256: new Bun.CryptoHasher('sha256').update('mine').digest('hex'),
    }));
    // Anyone who can write this file can make tokens; what came by the sign-in still ends.
    await eventually('it is refused', async () => (await status()) === 401);
  });

  test.each(['forged', 'cut', 'of another grant', 'a directory', 'empty', 'a link'])(
    'ends a grant by a state that is %s',
    async (what) => {
      await begin();
      await using _server = server;
      const other = await server.signIn(HOSTS.claude, 'other');
      const [id] = readdirSync(statesOf(server)).filter((name) => {
        const text = readFileSync(join(statesOf(server), name), 'utf8');
        return text.includes('mcp.example.org');
      });
      const path = join(statesOf(server), id ?? '');
      const [another] = readdirSync(statesOf(server)).filter((name) => name !== id);
      const text = readFileSync(path, 'utf8');
      await server.agent.stop();
      rmSync(path);
      if (what === 'forged') writeFileSync(path, text.replace(/"generation":\d+/, '"generation":7'));
      if (what === 'cut') writeFileSync(path, text.slice(0, -20));
      if (what === 'of another grant') cpSync(join(statesOf(server), another ?? ''), path);
      if (what === 'a directory') cpSync(server.files.path, path, { recursive: true });
      if (what === 'empty') writeFileSync(path, '');
      if (what === 'a link') {
        writeFileSync(server.files.join('elsewhere'), text);
        Bun.spawnSync(['ln', '-s', server.files.join('elsewhere'), path]);
      }
      await server.agent.restart();
      expect(await status()).toBe(401);
      await expect(signedIn.host.refresh(signedIn.tokens.refresh)).rejects.toThrow();
      expect((await server.call(other.tokens.access)).status).toBe(200);
    },
  );

  test('ends a grant by an older state: no token that was replaced is good again', async () => {
    await begin();
    await using _server = server;
    await server.agent.stop();
    cpSync(statesOf(server), server.files.join('old'), { recursive: true });
    await server.agent.restart();
    const second = await signedIn.host.refresh(signedIn.tokens.refresh);
    const third = await signedIn.host.refresh(second.refresh);
    expect((await server.call(third.access)).status).toBe(200);
    await server.agent.stop();
    rmSync(statesOf(server), { recursive: true });
    cpSync(server.files.join('old'), statesOf(server), { recursive: true });
    await server.agent.restart();
    await expect(signedIn.host.refresh(signedIn.tokens.refresh)).rejects.toThrow();
    for (const { access } of [signedIn.tokens, second, third]) expect((await server.call(access)).status).toBe(401);
  });

  test('cannot undo that a refresh token was used: the one before it is not good again', async () => {
    await begin();
    await using _server = server;
    const second = await signedIn.host.refresh(signedIn.tokens.refresh);
    cpSync(statesOf(server), server.files.join('old'), { recursive: true });
    expect((await server.call(second.access)).status).toBe(200);
    await server.agent.stop();
    rmSync(statesOf(server), { recursive: true });
    cpSync(server.files.join('old'), statesOf(server), { recursive: true });
    await server.agent.restart();
    await expect(signedIn.host.refresh(signedIn.tokens.refresh)).rejects.toThrow();
    expect((await server.call(second.access)).status).toBe(401);
  });

  test('cannot bring back a grant that ended by putting back the state of before', async () => {
    await begin();
    await using _server = server;
    cpSync(statesOf(server), server.files.join('old'), { recursive: true });
    await signedIn.host.revoke(signedIn.tokens.refresh);
    expect(await status()).toBe(401);
    await server.agent.stop();
    rmSync(statesOf(server), { recursive: true });
    cpSync(server.files.join('old'), statesOf(server), { recursive: true });
    await server.agent.restart();
    expect(await status()).toBe(401);
    await expect(signedIn.host.refresh(signedIn.tokens.refresh)).rejects.toThrow();
  });

  test('cannot use a one-time code again by removing what the agent remembers of it', async () => {
    await begin();
    await using _server = server;
    await server.agent.stop();
    rmSync(statesOf(server), { recursive: true });
    await server.agent.restart();
    expect(await status()).toBe(401);
    const again = await submit((await signedIn.host.ask()).url, code);
    expect([again.status, again.headers.get('location')]).toEqual([403, null]);
    expect(existsSync(tokensFile())).toBe(true);
  });
});
