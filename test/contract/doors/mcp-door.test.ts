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
  test('begins a sign-in with 401 for a client without a token, as no other route does', async () => {
    const wrong = await post(INITIALIZE, { authorization: 'Bearer wrong-token-of-32-characters-x' });
    expectRefusal(wrong, 401, 'Unauthorized');
    expect(wrong.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    const none = await agent.request('/mcp', { method: 'POST', body: JSON.stringify(INITIALIZE) });
    expectRefusal(none, 401, 'Unauthorized');
    expect(none.headers.get('www-authenticate')).toBe('Bearer');
    const other = await agent.request('/', { method: 'POST', body: '{"op":"server_info"}' });
    expectRefusal(other, 403, 'Unauthorized');
    expect(other.headers.get('www-authenticate')).toBeNull();
    await expect(McpClient.overHttp(agent, { authorization: 'Bearer wrong' })).rejects.toThrow(/401|Unauthorized/i);
  });

  test.each([
    'http://evil.example',
    'https://evil.example',
    'null',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil',
  ])('refuses what a page of %s sends', async (origin) => {
    expectRefusal(await post(INITIALIZE, { origin }), 403, 'Origin not allowed');
    const asked = await agent.request('/mcp', { method: 'OPTIONS', headers: { origin } });
    expectRefusal(asked, 403, 'Origin not allowed');
    expect(asked.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('refuses a page whose name was pointed at this machine', async () => {
    const rebound = { host: 'evil.example', origin: 'http://evil.example' };
    expectRefusal(await post(INITIALIZE, rebound), 403, 'Origin not allowed');
  });

  test.each([
    ...['http://localhost', 'http://localhost:6274', 'http://127.0.0.1:1', 'http://[::1]:8080'],
    ...['https://chatgpt.com', 'https://claude.ai', 'https://claude.com'],
  ])('takes what a page of %s sends', async (origin) => {
    const { status, headers } = await post(INITIALIZE, { origin });
    expect([status, headers.get('access-control-allow-origin'), headers.get('vary')]).toEqual([200, origin, 'Origin']);
    const refused = await post(INITIALIZE, { origin, authorization: 'Bearer wrong-token-of-32-characters-x' });
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, origin]);
    const asked = await agent.request('/mcp', { method: 'OPTIONS', headers: { origin } });
    expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([204, origin]);
    expect(asked.headers.get('access-control-allow-headers')).toContain('mcp-protocol-version');
  });

  test('takes what a page of its own address sends', async () => {
    await using named = await startAgent({
      AGENT3_PUBLIC_URL: 'https://agent.example.org/',
      AGENT3_ALLOWED_ORIGINS: 'https://a.example,https://b.example:8443',
    });
    const fromPage = (origin: string) => McpClient.overHttp(named, { origin });
    await using own = await fromPage('https://agent.example.org');
    expect(own.tools).not.toEqual([]);
    await using allowed = await fromPage('https://b.example:8443');
    expect(allowed.tools).not.toEqual([]);
    await expect(fromPage('https://example.org')).rejects.toThrow(/Origin not allowed/);
  });

  test('has the answers of other routes for what it does not take', async () => {
    const get = await agent.request('/mcp', { headers: { 'x-auth-token': agent.token } });
    expectRefusal(get, 405, 'Method not allowed');
    expect(get.headers.get('allow')).toBe('POST, OPTIONS');
    expectRefusal(await post('{'), 400, 'Invalid JSON');
    expectRefusal(await post(`"${'x'.repeat(1_048_576)}"`), 413, 'Request too large');
  });

  test.each(['id', 'progressToken'])('refuses an %s that is too long to send back', async (label) => {
    const long = 'x'.repeat(300);
    const params = { name: 'shell', arguments: { cmd: 'true' }, ...(label !== 'id' && { _meta: { [label]: long } }) };
    const { status, text } = await post({
      jsonrpc: '2.0',
      id: label === 'id' ? long : 1,
      method: 'tools/call',
      params,
    });
    expect([status, text.length < 300, JSON.parse(text).error.message]).toEqual([
      400,
      true,
      expect.stringContaining('256 characters'),
    ]);
  });

  const TRUE = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'shell', arguments: { cmd: 'echo x' } } };

  test('loses no client: without introduction, with a session of an agent that is gone, after a restart', async () => {
    for (const headers of [{}, { 'mcp-session-id': crypto.randomUUID() }, { 'mcp-protocol-version': '2025-06-18' }]) {
      const { status, text } = await post(TRUE, headers);
      expect([status, JSON.parse(text).result]).toEqual([200, { content: [{ type: 'text', text: 'x\n' }] }]);
    }
    await using first = await startAgent();
    const clients = [await McpClient.overHttp(first), await McpClient.overHttp(first, {}, 'newer')];
    await first.stop();
    await using _second = await startAgent({ AGENT3_PORT: new URL(first.url).port, AGENT3_API_TOKEN: first.token });
    for (const client of clients) {
      expect((await client.call('shell', { cmd: 'echo again' })).text).toBe('again\n');
      await client[Symbol.asyncDispose]();
    }
  });

  test.each(['application/json', 'text/event-stream', '*/*', 'text/html', ''])(
    'answers in JSON whatever a client accepts, such as %p, unless progress was asked for',
    async (accept) => {
      const plain = await post(TRUE, { accept });
      expect(plain.headers.get('content-type')).toStartWith('application/json');
      const params = { ...TRUE.params, _meta: { progressToken: 1 } };
      const streamed = await post({ ...TRUE, params }, { accept });
      const isStream = accept === 'text/event-stream' || accept === '*/*';
      const type = isStream ? 'text/event-stream' : 'application/json';
      expect([streamed.status, streamed.headers.get('content-type')]).toEqual([200, expect.stringContaining(type)]);
    },
  );

  test.each(['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'])('speaks the revision %s', async (revision) => {
    const params = { ...INITIALIZE.params, protocolVersion: revision };
    const { status, text, headers } = await post({ ...INITIALIZE, params });
    expect([status, JSON.parse(text).result.protocolVersion]).toEqual([200, revision]);
    expect(headers.get('mcp-session-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('speaks 2026-07-28 without a handshake', async () => {
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    };
    const send = (method: string, params: object, headers: Readonly<Record<string, string>> = {}) =>
      post(
        { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } },
        { 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...headers },
      );
    const discovered = await send('server/discover', {});
    expect(JSON.parse(discovered.text).result).toMatchObject({ supportedVersions: ['2026-07-28'] });
    const call = { name: 'shell', arguments: { cmd: 'echo x' } };
    const called = await send('tools/call', call, { 'mcp-name': 'shell' });
    expect(JSON.parse(called.text).result).toMatchObject({ content: [{ type: 'text', text: 'x\n' }] });
    const misnamed = await send('tools/call', call, { 'mcp-name': 'server_info' });
    expect([misnamed.status, JSON.parse(misnamed.text).error.code]).toEqual([400, -32_020]);
  });

  test('takes back what the same client began, and nothing of another', async () => {
    using trigger = new Trigger();
    const session = (await post(INITIALIZE)).headers.get('mcp-session-id') ?? '';
    const cmd = `${trigger.arrive}; ${trigger.wait}; echo went on`;
    const call = { ...TRUE, id: 7, params: { name: 'shell', arguments: { cmd, key: 'taken-back' } } };
    const answered = post(call, { 'mcp-session-id': session });
    const id = await trigger.arrived();
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } };
    for (const other of [{}, { 'mcp-session-id': crypto.randomUUID() }]) {
      expect((await post(cancel, other)).status).toBe(202);
    }
    expect((await agent.read({ session: id })).status).toBe('running');
    expect((await post(cancel, { 'mcp-session-id': session })).status).toBe(202);
    await answered;
    expect((await agent.read({ session: id })).status).toBe('killed');
  });

  test('takes back nothing where two clients without a session id have the same request id', async () => {
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } };
    const begin = (trigger: Trigger, client: string) => {
      const cmd = `${trigger.arrive}; ${trigger.wait}; echo went on`;
      return post({ ...TRUE, id: 7, params: { name: 'shell', arguments: { cmd } } }, { 'user-agent': client });
    };
    using first = new Trigger();
    using second = new Trigger();
    using third = new Trigger();
    const calls = [begin(first, 'twin'), begin(second, 'twin'), begin(third, 'other')];
    const ids = [await first.arrived(), await second.arrived(), await third.arrived()];
    const statuses = () => Promise.all(ids.map(async (session) => (await agent.read({ session })).status));
    expect((await post(cancel, { 'user-agent': 'twin' })).status).toBe(202);
    expect(await statuses()).toEqual(['running', 'running', 'running']);
    second.open();
    expect(JSON.stringify(await calls[1])).toContain('went on');
    expect((await post(cancel, { 'user-agent': 'twin' })).status).toBe(202);
    await calls[0];
    expect(await statuses()).toEqual(['killed', 'done', 'running']);
    third.open();
    await calls[2];
  });

  // A usual call does without the package, which the same call in a batch of its own goes through.
  test.each([
    ['a command', { name: 'shell', arguments: { cmd: 'echo out; echo err >&2; exit 3' } }, 'id-1'],
    ['a refused call', { name: 'shell', arguments: { cmd: 'true', cwd: '/nowhere' } }, 7],
    ['no arguments', { name: 'shell' }, 0],
    [
      'a call with notes of its client',
      { name: 'shell', arguments: { cmd: 'echo noted' }, _meta: { 'client/use': 'x' } },
      1,
    ],
    ['an unknown tool', { name: 'nothing', arguments: {} }, 1],
    ['arguments that are none', { name: 'shell', arguments: ['true'] }, 1],
    ['a name that is none', { name: 5, arguments: {} }, 1],
    ['something to come later', { name: 'shell', arguments: { cmd: 'true' }, task: {} }, 1],
  ])('answers %s alone as in a batch', async (_, params, id) => {
    const call = { jsonrpc: '2.0', id, method: 'tools/call', params };
    const [alone, batch] = [await post(call), await post([call])];
    expect([alone.status, JSON.parse(alone.text)]).toEqual([batch.status, [JSON.parse(batch.text)].flat()[0]]);
    expect(alone.headers.get('content-type')).toBe(batch.headers.get('content-type'));
  });

  test('refuses a call of a revision that nobody knows, and one with an id that is none', async () => {
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'server_info' } };
    expect((await post(call, { 'mcp-protocol-version': '2001-01-01' })).status).toBe(400);
    expect((await post({ ...call, id: 1.5 })).status).toBe(400);
  });

  test.each([
    ['ping', null],
    ['tools/list', null],
    ['tools/list', { cursor: null, _meta: null }],
    ['tools/call', { name: 'server_info', arguments: null, _meta: { progressToken: null } }],
    [
      'initialize',
      { ...INITIALIZE.params, capabilities: { roots: null }, clientInfo: { name: 'x', version: '1', title: null } },
    ],
  ])('takes null for what is not given in a message: %s %j', async (method, params) => {
    const { status, text } = await post({ jsonrpc: '2.0', id: 1, method, params });
    expect([status, JSON.parse(text)]).toEqual([200, { jsonrpc: '2.0', id: 1, result: expect.any(Object) }] as never);
  });

  test('takes a batch of 10 messages, each counted as a request, and refuses more', async () => {
    await using counting = await startAgent({ AGENT3_MAX_REQUESTS_PER_MINUTE: '30' });
    const send = (body: unknown) =>
      counting.request('/mcp', {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: `Bearer ${counting.token}`,
        },
        body: JSON.stringify(body),
      });
    const batch = (messages: number) =>
      Array.from({ length: messages }, (_, id) => ({ jsonrpc: '2.0', id, method: 'ping' }));
    const refused = await send(batch(11));
    expect(refused.status).toBe(400);
    expect(refused.body).toMatchObject({
      jsonrpc: '2.0',
      id: null,
      error: { code: -32600, message: expect.stringContaining('a batch may have at most 10 messages, not 11') },
    });
    for (let count = 0; count < 2; count++) {
      const { status, text } = await send(batch(10));
      expect([status, text.match(/"result":/g)?.length]).toEqual([200, 10]);
    }
    expectRefusal(await send(batch(10)), 429, 'Too many requests', /30 requests in a minute/);
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
    expect(await mortal.log.find('its end', (line) => line['msg'] === 'stopped')).toMatchObject({ dropped: 0 });
  });
});
