import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { BINARY } from '../../helpers/binary.ts';
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
  SignInAgent,
  signIn,
  type TestClient,
  type Tokens,
} from '../../helpers/connecting.ts';

let server: SignInAgent;
let url: string;
let client: TestClient;
beforeAll(async () => {
  server = await SignInAgent.start({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
  url = server.url;
  client = await registerClient(url, [LOCAL_REDIRECT], { client_name: 'A client' });
});
afterAll(() => server[Symbol.asyncDispose]());

/** Signs in with a new grant that is kept. */
async function connected(...options: readonly string[]): Promise<Tokens> {
  const connecting = await server.connect('--yes', ...options);
  const tokens = await signIn(url, client, connecting.code);
  await connecting.next('connected');
  expect(await connecting.child.exited).toBe(0);
  return tokens;
}

describe('a client that signs in', () => {
  test('runs commands over MCP with the profile of its grant, and nothing by the other doors', async () => {
    const connecting = await server.connect('--client', 'codex', '--profile', 'full', '--name', 'desk');
    const [shown] = connecting.events;
    expect(shown).toMatchObject({ url: `${url}/mcp`, name: 'desk', client: 'codex', profile: 'full', expires: null });
    expect(shown?.['code']).toMatch(/^[A-Z2-7]{10}$/);
    const tokens = await signIn(url, client, connecting.code);
    const { client: who, redirect, address } = await connecting.next('connected');
    expect([who, redirect, address]).toEqual(['A client', LOCAL_REDIRECT, '127.0.0.1']);
    connecting.answer('');
    expect(await connecting.child.exited).toBe(0);
    const answer = await callTool(url, tokens.access_token, 'echo connected');
    expect(await answer.text()).toContain('connected');
    const other = await post(`${url}/shell`, '{"cmd":"true"}', { 'x-auth-token': tokens.access_token });
    expect(other.status).toBe(403);
    expect((await callTool(url, connecting.code, 'true')).status).toBe(401);
  });

  test('is in the list of tokens, and gone within a second when it is revoked', async () => {
    const tokens = await connected('--name', 'laptop');
    const listed = await agent3(['token', 'list', '--json'], server.environment);
    const row = (JSON.parse(listed.stdout) as { name: string }[]).find(({ name }) => name === 'laptop');
    expect(row).toMatchObject({ profile: 'readonly', grant: { client: 'other', last_used_at: expect.any(Number) } });
    expect(listed.stdout).not.toContain('seal');
    expect((await agent3(['token', 'rotate', 'laptop'], server.environment)).stderr).toContain('is a grant');
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect((await agent3(['token', 'revoke', 'laptop'], server.environment)).code).toBe(0);
    await Bun.sleep(1000);
    const refused = await callTool(url, tokens.access_token, 'true');
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer error="invalid_token", resource_metadata="${url}/.well-known/oauth-protected-resource/mcp", scope="agent3"`,
    ]);
    expect(await (await refresh(url, client, tokens.refresh_token)).json()).toMatchObject({ error: 'invalid_grant' });
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
    expect((await agent3(['token', 'list'], server.environment)).stdout).toMatch(
      /^stolen .* other, ended: a refresh token that was replaced before came again/m,
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
    await Bun.spawn(tail, { env: server.environment, terminal: { cols: 300, data } }).exited;
    expect(shown).toMatch(/ grant +stolen +consent to http:\/\/127\.0\.0\.1:53682\/callback from 127\.0\.0\.1\r?$/m);
    expect(shown).toMatch(/ grant +stolen +ended: a refresh token .* from 127\.0\.0\.1\r?$/m);
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
    const guest = await registerClient(other.url, [LOCAL_REDIRECT]);
    const connecting = await other.connect('--yes', '--name', 'phone');
    const first = await signIn(other.url, guest, connecting.code);
    await connecting.next('connected');
    const second = (await (await refresh(other.url, guest, first.refresh_token)).json()) as Tokens;
    await refresh(other.url, guest, second.refresh_token);
    await refresh(other.url, guest, first.refresh_token);
    expect(await told.promise).toMatchObject({
      type: 'grant.ended',
      data: { token: 'phone', client: 'other', why: expect.stringContaining('stolen') },
    });
  });

  test('loses its grant when its authorization code comes twice', async () => {
    const connecting = await server.connect('--yes');
    const { verifier, challenge } = pkce();
    const consent = await post(`${url}/oauth/authorize`, { ...askedOf(url, client, challenge), code: connecting.code });
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
    const connecting = await server.connect();
    const tokens = await signIn(url, client, connecting.code);
    await connecting.next('connected');
    connecting.answer('n');
    await connecting.next('ended');
    expect(await connecting.child.exited).toBe(1);
    await Bun.sleep(1000);
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(401);
  });

  test('takes its code back when it is stopped', async () => {
    const connecting = await server.connect();
    connecting.child.kill('SIGINT');
    await connecting.next('ended');
    expect(await connecting.child.exited).toBe(1);
    await expect(signIn(url, client, connecting.code)).rejects.toThrow('no consent: 403');
  });

  test('says that its code is void after 20 wrong ones', async () => {
    const connecting = await server.connect();
    const { challenge } = pkce();
    for (let tried = 0; tried < 20; tried++) {
      const form = { ...askedOf(url, client, challenge), code: 'AAAAAAAAAA' };
      const answer = await post(`${url}/oauth/authorize`, form, { 'x-forwarded-for': `198.51.100.${tried}` });
      expect(answer.status).toBe(403);
    }
    expect(await connecting.next('expired')).toMatchObject({ why: '20 wrong codes were tried' });
    expect(await connecting.child.exited).toBe(1);
  });

  test('makes a code for one kind of client, and no other can use it', async () => {
    const connecting = await server.connect('--client', 'chatgpt');
    await expect(signIn(url, client, connecting.code)).rejects.toThrow('was made for ChatGPT');
    const redirect = 'https://chatgpt.com/connector_platform_oauth_redirect';
    const chatgpt = { id: 'https://chatgpt.com/oauth/client.json', redirect };
    const tokens = await signIn(url, chatgpt, connecting.code);
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect(await connecting.next('connected')).toMatchObject({ client: 'ChatGPT', redirect });
    connecting.answer('y');
    expect(await connecting.child.exited).toBe(0);
  });

  test('takes its code back when nobody reads it any more', async () => {
    const connecting = await server.connect('--name', 'unread');
    await connecting.leave();
    await expect(signIn(url, client, connecting.code)).resolves.toBeObject();
    expect(await connecting.child.exited).toBe(1);
    const listed = await agent3(['token', 'list', '--json'], server.environment);
    expect(listed.stdout).not.toContain('unread');
  });

  test('says that the agent has to be restarted when that takes no sign-ins yet', async () => {
    const other = { ...server.environment, AGENT3_PUBLIC_URL: 'https://agent.example.org' };
    const run = await agent3(['connect', '--json'], other);
    expect([run.code, run.stderr]).toEqual([1, expect.stringContaining('systemctl restart agent3')]);
  });

  test('connects Cursor on the desktop, whose answer goes by a scheme of its own', async () => {
    const app = 'cursor://anysphere.cursor-mcp/oauth/callback';
    const cursor = await registerClient(url, [app, 'https://www.cursor.com/agents/mcp/oauth/callback']);
    const connecting = await server.connect('--client', 'cursor', '--yes');
    const tokens = await signIn(url, cursor, connecting.code);
    expect((await callTool(url, tokens.access_token, 'true')).status).toBe(200);
    expect(await connecting.next('connected')).toMatchObject({ redirect: app });
  });

  test('needs a public URL', async () => {
    const { AGENT3_PUBLIC_URL: _, ...without } = server.environment;
    const run = await agent3(['connect', '--json'], without);
    expect([run.code, run.stderr]).toEqual([1, expect.stringContaining('no public URL is set')]);
  });
});
