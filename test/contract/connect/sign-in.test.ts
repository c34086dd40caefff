import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import {
  askedOf,
  callTool,
  exchange,
  LOCAL_REDIRECT,
  pkce,
  post,
  refresh,
  registerClient,
  signIn,
  type TestClient,
  type Tokens,
} from '../../helpers/oauth-requests.ts';
import { freePort } from '../../helpers/ports.ts';
import { type Connecting, SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

let server: SignInAgent;
let url: string;
let client: TestClient;
beforeAll(async () => {
  server = await SignInAgent.start({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
  url = server.issuer;
  client = await registerClient(url, [LOCAL_REDIRECT], { client_name: 'A client' });
});
afterAll(() => server[Symbol.asyncDispose]());

const GUESSER = '203.0.113.77';

/** Runs `agent3 connect` until it shows its code; for `other` where the options name no client. */
async function connect(agent: SignInAgent, ...options: readonly string[]): Promise<Connecting> {
  const client = options.includes('--client') ? [] : ['--client', 'other'];
  const connecting = agent.connect(...client, ...options);
  await connecting.next('code');
  return connecting;
}

/** Signs in with a new grant that is kept. */
async function connected(...options: readonly string[]): Promise<Tokens> {
  const connecting = await connect(server, '--yes', ...options);
  const tokens = await signIn(url, client, await connecting.code());
  await connecting.next('connected');
  expect(await connecting.ended()).toBe(0);
  return tokens;
}

/** The answer for a token that was taken away: within 1 s, and as much for a busy machine. */
function refusedSoon({ access_token }: Tokens): Promise<Response> {
  const refused = async () => {
    const answer = await callTool(url, access_token, 'true');
    return answer.status === 401 && answer;
  };
  return eventually('the token is refused', refused, 2000);
}

describe('a client that signs in', () => {
  test('runs commands over MCP with the profile of its grant, and nothing by the other doors', async () => {
    const connecting = await connect(server, '--client', 'codex', '--profile', 'full', '--name', 'desk');
    const [shown] = connecting.events;
    expect(shown).toMatchObject({ url: `${url}/mcp`, name: 'desk', client: 'codex', profile: 'full', expires: null });
    expect(shown?.['code']).toMatch(/^[A-Z2-7]{10}$/);
    const tokens = await signIn(url, client, await connecting.code());
    const { client: who, redirect, address } = await connecting.next('connected');
    expect([who, redirect, address]).toEqual(['A client', LOCAL_REDIRECT, '127.0.0.1']);
    await connecting.type('');
    expect(await connecting.ended()).toBe(0);
    const answer = await callTool(url, tokens.access_token, 'echo connected');
    expect(await answer.text()).toContain('connected');
    const other = await post(`${url}/shell`, '{"cmd":"true"}', { 'x-auth-token': tokens.access_token });
    expect(other.status).toBe(403);
    expect((await callTool(url, await connecting.code(), 'true')).status).toBe(401);
  });

  test('is in the list of tokens, and gone within a second when it is revoked', async () => {
    const tokens = await connected('--name', 'laptop');
    const listed = await agent3(['token', 'list', '--json'], server.settings);
    const row = (JSON.parse(listed.stdout) as { name: string }[]).find(({ name }) => name === 'laptop');
    expect(row).toMatchObject({ profile: 'readonly', grant: { client: 'other', last_used_at: expect.any(Number) } });
    expect(listed.stdout).not.toContain('seal');
    const otherKey = { ...server.settings, AGENT3_GRANT_KEY: 'k'.repeat(40) };
    expect((await agent3(['token', 'list'], otherKey)).stdout).toMatch(
      /^laptop .* other, not used \(made with another/m,
    );
    expect((await agent3(['token', 'rotate', 'laptop'], server.settings)).stderr).toContain('is a grant');
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect((await agent3(['token', 'revoke', 'laptop'], server.settings)).code).toBe(0);
    const refused = await refusedSoon(tokens);
    expect(refused.headers.get('www-authenticate')).toBe(
      `Bearer error="invalid_token", resource_metadata="${url}/.well-known/oauth-protected-resource/mcp", scope="agent3"`,
    );
    expect(await (await refresh(url, client, tokens.refresh_token)).json()).toMatchObject({ error: 'invalid_grant' });
  });

  test('learns that /mcp takes POST alone, which is no wrong token', async () => {
    const tokens = await connected('--name', 'getter');
    const logins = async () =>
      (await Bun.file(server.settings['AGENT3_AUDIT_FILE'] ?? '').text()).split('"event":"login"').length;
    const before = await logins();
    const got = await fetch(`${url}/mcp`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
    expect((await fetch(`${url}/mcp`)).status).toBe(401);
    expect(await logins()).toBe(before);
  });

  test('gets the same successor for a refresh token, however often it asks', async () => {
    const tokens = await connected();
    const answers = await Promise.all(Array.from({ length: 3 }, () => refresh(url, client, tokens.refresh_token)));
    const all = (await Promise.all(answers.map((answer) => answer.json()))) as Tokens[];
    expect(new Set(all.map(({ refresh_token }) => refresh_token)).size).toBe(1);
    for (const { access_token } of all) expect((await callTool(url, access_token, 'true')).status).toBe(200);
    const [first] = all;
    expect((await refresh(url, client, first?.refresh_token ?? '')).status).toBe(200);
  });

  test('loses its grant when a refresh token comes that was replaced twice', async () => {
    const tokens = await connected('--name', 'stolen');
    const second = (await (await refresh(url, client, tokens.refresh_token)).json()) as Tokens;
    const third = (await (await refresh(url, client, second.refresh_token)).json()) as Tokens;
    expect((await refresh(url, client, tokens.refresh_token)).status).toBe(400);
    expect((await callTool(url, third.access_token, 'true')).status).toBe(401);
    expect((await refresh(url, client, third.refresh_token)).status).toBe(400);
    expect((await agent3(['token', 'list'], server.settings)).stdout).toMatch(
      /^stolen .* other, ended: an old refresh token was used again/m,
    );
    const lines = await Bun.file(server.settings['AGENT3_AUDIT_FILE'] ?? '').text();
    const told = lines.split('\n').filter((line) => line.includes('"token":"stolen#'));
    expect(told.map((line) => JSON.parse(line).what)).toEqual([
      'code made',
      'consent',
      'connected',
      'refreshed',
      'refreshed',
      'ended',
    ]);
    let shown = '';
    const data = (_: Bun.Terminal, bytes: Uint8Array): void => {
      shown += Buffer.from(bytes).toString();
    };
    const tail = [BINARY, 'audit', 'tail', '--event', 'grant', '--token', 'stolen'];
    await Bun.spawn(tail, { env: { ...BASE_ENVIRONMENT, ...server.settings }, terminal: { cols: 300, data } }).exited;
    expect(shown).toMatch(/ grant +stolen +consent to http:\/\/127\.0\.0\.1:53682\/callback from 127\.0\.0\.1\r?$/m);
    expect(shown).toMatch(/ grant +stolen +ended: an old refresh token .* from 127\.0\.0\.1\r?$/m);
  });

  test('whose token may have been stolen is told to the owner', async () => {
    const told = Promise.withResolvers<unknown>();
    using receiver = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: async (request) => {
        told.resolve(await request.json());
        return new Response();
      },
    });
    await using other = await SignInAgent.start({
      AGENT3_NOTIFY_URL: receiver.url.href,
      AGENT3_NOTIFY_SECRET: 'a secret of notifications'.replaceAll(' ', '-'),
    });
    const guest = await registerClient(other.issuer, [LOCAL_REDIRECT]);
    const connecting = await connect(other, '--yes', '--name', 'phone');
    const first = await signIn(other.issuer, guest, await connecting.code());
    await connecting.next('connected');
    const second = (await (await refresh(other.issuer, guest, first.refresh_token)).json()) as Tokens;
    await refresh(other.issuer, guest, second.refresh_token);
    await refresh(other.issuer, guest, first.refresh_token);
    expect(await told.promise).toMatchObject({
      type: 'grant.ended',
      data: { token: 'phone', client: 'other', why: expect.stringContaining('stolen') },
    });
  });

  test('loses its grant when its authorization code comes twice', async () => {
    const connecting = await connect(server, '--yes');
    const { verifier, challenge } = pkce();
    const consent = await post(`${url}/oauth/authorize`, {
      ...askedOf(url, client, challenge),
      code: await connecting.code(),
    });
    const given = new URL(consent.headers.get('location') ?? '').searchParams;
    expect([given.get('state'), given.get('iss')]).toEqual(['the state', url]);
    const code = given.get('code') ?? '';
    const tokens = (await (await exchange(url, client, code, verifier)).json()) as Tokens;
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect(await (await exchange(url, client, code, verifier)).json()).toMatchObject({ error: 'invalid_grant' });
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(401);
  });

  test('stays signed in over a restart', async () => {
    const tokens = await connected();
    await server.agent.restart();
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    const next = (await (await refresh(url, client, tokens.refresh_token)).json()) as Tokens;
    expect((await callTool(url, next.access_token, 'true')).status).toBe(200);
  });

  test('can sign out', async () => {
    const tokens = await connected();
    expect((await post(`${url}/oauth/revoke`, { token: tokens.refresh_token })).status).toBe(200);
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(401);
  });
});

describe('agent3 connect', () => {
  test('ends the grant when the owner does not keep it', async () => {
    const connecting = await connect(server);
    const tokens = await signIn(url, client, await connecting.code());
    await connecting.next('connected');
    await connecting.type('n');
    await connecting.next('ended');
    expect(await connecting.ended()).toBe(1);
    await refusedSoon(tokens);
  });

  test('lets a client do nothing before the owner has said yes', async () => {
    const connecting = await connect(server, '--profile', 'full', '--name', 'awaited');
    const tokens = await signIn(url, client, await connecting.code());
    await connecting.next('connected');
    const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    const listed = await post(`${url}/mcp`, list, { authorization: `Bearer ${tokens.access_token}` });
    expect([listed.status, await listed.text()]).toEqual([200, expect.stringContaining('"shell"')]);
    const marker = server.files.join('marker');
    const refused = await (await callTool(url, tokens.access_token, `touch ${marker}`)).text();
    expect(refused).toContain('has not confirmed this connection yet');
    expect(await Bun.file(marker).exists()).toBe(false);
    const tokensNow = await agent3(['token', 'list'], server.settings);
    expect(tokensNow.stdout).toMatch(/^awaited .* other, waits for your answer$/m);
    await connecting.type('y');
    expect(await connecting.ended()).toBe(0);
    await callTool(url, tokens.access_token, `touch ${marker}`);
    expect(await Bun.file(marker).exists()).toBe(true);
  });

  test('does not take what was typed ahead for an answer', async () => {
    let shown = '';
    const child = Bun.spawn([BINARY, 'connect', '--client', 'other', '--name', 'ahead', '--profile', 'readonly'], {
      env: { ...BASE_ENVIRONMENT, ...server.settings },
      terminal: {
        cols: 200,
        data: (terminal, bytes) => {
          const before = shown;
          shown += Buffer.from(bytes).toString();
          // The end is asked for as well, until the answer is one.
          if (!before.includes('[never]: ') && shown.includes('[never]: ')) terminal.write('soon\n');
          if (!before.includes('A time is') && shown.includes('A time is')) terminal.write('\n');
          if (!before.includes('Waiting for') && shown.includes('Waiting for')) terminal.write('\n\n');
          if (!before.includes('[Y/n] ') && shown.includes('[Y/n] ')) setTimeout(() => terminal.write('n\n'), 1000);
        },
      },
    });
    const code = await eventually('the code', () => /([A-Z2-7]{5})-([A-Z2-7]{5})/.exec(shown) ?? undefined);
    await Bun.sleep(500);
    await signIn(url, client, `${code[1]}${code[2]}`);
    expect(await child.exited).toBe(1);
    expect(shown).toContain('A time is a number');
    expect(shown).toContain('code entered for');
    expect(shown).toContain('ended: you did not keep it');
  });

  test('ends when its grant is revoked, and when its client says no with the code', async () => {
    const revoked = await connect(server, '--name', 'taken');
    await agent3(['token', 'revoke', 'taken'], server.settings);
    expect(await revoked.next('ended')).toMatchObject({ why: 'revoked' });
    expect(await revoked.ended()).toBe(1);
    const refused = await connect(server);
    const form = { ...askedOf(url, client, pkce().challenge), decision: 'deny' };
    expect((await post(`${url}/oauth/authorize`, form)).status).toBe(303);
    expect((await post(`${url}/oauth/authorize`, { ...form, code: await refused.code() })).status).toBe(303);
    expect(await refused.next('expired')).toMatchObject({ why: 'refused on the page' });
    expect(await refused.ended()).toBe(1);
  });

  test('tells of wrong codes, and the page says to wait after ten of them', async () => {
    const connecting = await connect(server);
    const enter = (code: string) =>
      post(
        `${url}/oauth/authorize`,
        { ...askedOf(url, client, pkce().challenge), code },
        { 'x-forwarded-for': GUESSER },
      );
    for (let tried = 0; tried < 10; tried++) await enter('AAAAAAAAAA');
    const late = await enter(await connecting.code());
    expect([late.status, await late.text()]).toEqual([429, expect.stringContaining('Wait a minute')]);
    expect(Number(late.headers.get('retry-after'))).toBeWithin(1, 61);
    await connecting.says(`a wrong code was entered from ${GUESSER}, 10 of 20`);
    connecting.signal('SIGINT');
    await connecting.ended();
  });

  test('takes its code back when it is stopped', async () => {
    const connecting = await connect(server);
    connecting.signal('SIGINT');
    await connecting.next('ended');
    expect(await connecting.ended()).toBe(1);
    await expect(signIn(url, client, await connecting.code())).rejects.toThrow('no consent: 403');
  });

  test('says that its code is void after 20 wrong ones', async () => {
    const connecting = await connect(server);
    const { challenge } = pkce();
    for (let tried = 0; tried < 20; tried++) {
      const form = { ...askedOf(url, client, challenge), code: 'AAAAAAAAAA' };
      const answer = await post(`${url}/oauth/authorize`, form, { 'x-forwarded-for': `198.51.100.${tried}` });
      expect(answer.status).toBe(403);
    }
    expect(await connecting.next('expired')).toMatchObject({ why: '20 wrong codes were tried' });
    expect(await connecting.ended()).toBe(1);
  });

  test('makes a code for one kind of client, and no other can use it', async () => {
    const connecting = await connect(server, '--client', 'chatgpt');
    await expect(signIn(url, client, await connecting.code())).rejects.toThrow('This code is for ChatGPT');
    const redirect = 'https://chatgpt.com/connector_platform_oauth_redirect';
    const chatgpt = { id: 'https://chatgpt.com/oauth/client.json', redirect };
    const tokens = await signIn(url, chatgpt, await connecting.code());
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect(await connecting.next('connected')).toMatchObject({ client: 'ChatGPT', redirect });
    await connecting.type('y');
    expect(await connecting.ended()).toBe(0);
  });

  test('makes a code of another key where it cannot ask the agent, and the page says so whatever is entered', async () => {
    await using other = await SignInAgent.start();
    const guest = await registerClient(other.issuer, [LOCAL_REDIRECT]);
    const asked = askedOf(other.issuer, guest, pkce().challenge);
    const page = async () => (await fetch(`${other.issuer}/oauth/authorize?${new URLSearchParams(asked)}`)).text();
    const enter = async (code: string) => {
      const answer = await post(`${other.issuer}/oauth/authorize`, { ...asked, code });
      return [answer.status, await answer.text()];
    };
    expect(await page()).toContain('No code is waiting');
    const elsewhere = { AGENT3_GRANT_KEY: 'k'.repeat(40), AGENT3_PORT: String(await freePort()) };
    await using foreign = other.connectWith(elsewhere, '--client', 'other', '--name', 'foreign');
    const code = await foreign.code();
    expect(await page()).toContain('another AGENT3_GRANT_KEY than this server uses');
    const answered = await enter(code);
    expect(answered).toEqual([403, expect.stringContaining('another AGENT3_GRANT_KEY')]);
    expect(await enter('AAAAAAAAAA')).toEqual(answered);
    await agent3(['token', 'revoke', 'foreign'], other.settings);
    expect(await page()).toContain('No code is waiting');
  });

  test('takes its code back when nobody reads it any more', async () => {
    const connecting = await connect(server, '--name', 'unread');
    await connecting.leave();
    await expect(signIn(url, client, await connecting.code())).resolves.toBeObject();
    expect(await connecting.ended()).toBe(1);
    const listed = await agent3(['token', 'list', '--json'], server.settings);
    expect(listed.stdout).not.toContain('unread');
  });

  test('says that the agent has to be restarted when that takes no sign-ins yet', async () => {
    const other = { ...server.settings, AGENT3_PUBLIC_URL: 'https://agent.example.org' };
    const run = await agent3(['connect', '--json'], other);
    expect([run.code, run.stderr]).toEqual([
      1,
      expect.stringContaining('accepts no sign-ins at https://agent.example.org'),
    ]);
  });

  test('connects Cursor on the desktop, whose answer goes by a scheme of its own', async () => {
    const app = 'cursor://anysphere.cursor-mcp/oauth/callback';
    const cursor = await registerClient(url, [app, 'https://www.cursor.com/agents/mcp/oauth/callback']);
    const connecting = await connect(server, '--client', 'cursor', '--yes');
    const tokens = await signIn(url, cursor, await connecting.code());
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect(await connecting.next('connected')).toMatchObject({ redirect: app });
  });

  test.each([
    [
      'another key than the agent has',
      { AGENT3_GRANT_KEY: 'k'.repeat(40) },
      1,
      'the AGENT3_GRANT_KEY of the running agent',
    ],
    ['a key that the agent would refuse', { AGENT3_GRANT_KEY: 'short' }, 1, 'at least 32 characters'],
    ['a URL that the agent would refuse', { AGENT3_PUBLIC_URL: 'https://a.example/path' }, 1, 'AGENT3_PUBLIC_URL'],
    ['nobody to answer', {}, 2, 'add --yes'],
  ])('is refused with %s', async (_, more, code, why) => {
    const run = await agent3(['connect', '--json', '--client', 'other'], { ...server.settings, ...more });
    expect([run.code, run.stderr]).toEqual([code, expect.stringContaining(why)]);
  });

  test('needs to be told the client where it asks nothing', async () => {
    const run = await agent3(['connect', '--json', '--yes'], server.settings);
    expect([run.code, run.stderr]).toEqual([2, expect.stringContaining('add --client')]);
  });

  test('names what an agent that was started by hand needs', async () => {
    const { AGENT3_TOKENS_FILE: _, ...without } = server.settings;
    const run = await agent3(['connect', '--client', 'other'], without);
    expect([run.code, run.stderr]).toEqual([
      1,
      expect.stringMatching(/set .*AGENT3_TOKENS_FILE here and for the agent/),
    ]);
  });

  test('needs a public URL', async () => {
    const { AGENT3_PUBLIC_URL: _, ...without } = server.settings;
    const run = await agent3(['connect', '--json'], without);
    expect([run.code, run.stderr]).toEqual([1, expect.stringContaining('AGENT3_PUBLIC_URL is not set')]);
  });
});
