import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

/** What a client sends first. */
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};

const post = (body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  agent.request('/mcp', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      authorization: `Bearer ${agent.token}`,
      ...headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

describe('/mcp', () => {
  test('needs the token', async () => {
    expectRefusal(
      await post(INITIALIZE, { authorization: 'Bearer wrong-token-of-32-characters-x' }),
      403,
      'Unauthorized',
    );
    await expect(McpClient.overHttp(agent, { authorization: 'Bearer wrong' })).rejects.toThrow(/Unauthorized/);
  });

  test.each([
    'http://evil.example',
    'https://evil.example',
    'null',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil',
  ])('refuses what a page of %s sends', async (origin) => {
    expectRefusal(await post(INITIALIZE, { origin }), 403, 'Origin not allowed');
  });

  test('refuses a page whose name was pointed at this machine', async () => {
    const rebound = { host: 'evil.example', origin: 'http://evil.example' };
    expectRefusal(await post(INITIALIZE, rebound), 403, 'Origin not allowed');
  });

  test.each(['http://localhost', 'http://localhost:6274', 'http://127.0.0.1:1', 'http://[::1]:8080'])(
    'takes what a page of %s sends',
    async (origin) => {
      expect((await post(INITIALIZE, { origin })).status).toBe(200);
    },
  );

  test('takes what a page of its own address sends', async () => {
    await using named = await startAgent({ AGENT3_PUBLIC_URL: 'https://agent.example.org/' });
    const fromPage = (origin: string) => McpClient.overHttp(named, { origin });
    await using own = await fromPage('https://agent.example.org');
    expect(own.tools).not.toEqual([]);
    await expect(fromPage('https://example.org')).rejects.toThrow(/Origin not allowed/);
  });

  test('has the answers of other routes for what it does not take', async () => {
    const get = await agent.request('/mcp', { headers: { 'x-auth-token': agent.token } });
    expectRefusal(get, 405, 'Method not allowed');
    expect(get.headers.get('allow')).toBe('POST, DELETE');
    expectRefusal(await post('{'), 400, 'Invalid JSON');
    expectRefusal(await post(`"${'x'.repeat(1_048_576)}"`), 413, 'Request too large');
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    expectRefusal(await post(list), 400, 'Invalid request', /initialize/);
    expectRefusal(await post(list, { 'mcp-session-id': crypto.randomUUID() }), 404, 'Session not found', /initialize/);
  });

  test('takes a batch of 10 messages, each counted as a request, and refuses more', async () => {
    await using counting = await startAgent({ AGENT3_MAX_REQUESTS_PER_MINUTE: '30' });
    const send = (body: unknown, session?: string) =>
      counting.request('/mcp', {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: `Bearer ${counting.token}`,
          ...(session !== undefined && { 'mcp-session-id': session }),
        },
        body: JSON.stringify(body),
      });
    const session = (await send(INITIALIZE)).headers.get('mcp-session-id') ?? '';
    const batch = (messages: number) =>
      Array.from({ length: messages }, (_, id) => ({ jsonrpc: '2.0', id, method: 'ping' }));
    const refused = await send(batch(11), session);
    expect(refused.status).toBe(400);
    expect(refused.body).toMatchObject({
      jsonrpc: '2.0',
      id: null,
      error: { code: -32600, message: expect.stringContaining('a batch may have 10 messages, and this one has 11') },
    });
    for (let count = 0; count < 2; count++) {
      const { status, text } = await send(batch(10), session);
      expect([status, text.match(/"result":/g)?.length]).toEqual([200, 10]);
    }
    expectRefusal(await send(batch(10), session), 429, 'Too many requests', /30 requests a minute/);
  });

  test('forgets a client that says goodbye', async () => {
    const id = (await post(INITIALIZE)).headers.get('mcp-session-id') ?? '';
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
    expect((await post(ping, { 'mcp-session-id': id })).status).toBe(200);
    const goodbye = { method: 'DELETE', headers: { 'x-auth-token': agent.token, 'mcp-session-id': id } };
    expect((await agent.request('/mcp', goodbye)).status).toBe(200);
    expectRefusal(await post(ping, { 'mcp-session-id': id }), 404, 'Session not found');
  });

  test('serves many clients: the one silent for longest makes room', async () => {
    await using busy = await startAgent();
    const first = await McpClient.overHttp(busy);
    const clients = [];
    // A token alone has three quarters of 100.
    for (let count = 0; count < 75; count++) clients.push(await McpClient.overHttp(busy));
    await expect(first.call('server_info')).rejects.toThrow(/over/);
    expect((await clients[0]?.call('server_info'))?.isError).toBe(false);
  });

  test('does not hold up the end of the agent', async () => {
    await using mortal = await startAgent();
    await using other = await McpClient.overHttp(mortal);
    const cancel = new AbortController();
    using trigger = new Trigger();
    const cancelled = other
      .call('shell', { cmd: `${trigger.arrive}; sleep 300` }, { signal: cancel.signal })
      .catch(() => {});
    await trigger.arrived();
    cancel.abort();
    await cancelled;
    const running = other.call('shell', { cmd: 'echo begun; sleep 300' });
    await eventually('the command', async () =>
      (await mortal.call('list_sessions', { status: 'running' })).text.includes('begun'),
    );
    const stopped = mortal.stop();
    expect((await running).answer.status).toBe('running');
    expect(await stopped).toBe(0);
    expect(mortal.logs.find((line) => line['msg'] === 'stopped')).toMatchObject({ dropped: 0 });
  });
});
