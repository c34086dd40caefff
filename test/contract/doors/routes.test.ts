import { afterAll, describe, expect, test } from 'bun:test';
import manifest from '../../../package.json';
import { startAgent } from '../../helpers/agent.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { RawConnection } from '../../helpers/sockets.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const withToken = (path: string, method: string) =>
  agent.request(path, { method, headers: { 'x-auth-token': agent.token } });

describe('another method', () => {
  test.each(['GET', 'PUT', 'PATCH', 'DELETE'])('%s / is answered 405 with Allow', async (method) => {
    const reply = await withToken('/', method);
    expectRefusal(reply, 405, 'Method not allowed');
    expect(reply.headers.get('allow')).toContain('POST');
  });

  test('HEAD / is answered 405 with Allow and no body', async () => {
    const reply = await withToken('/', 'HEAD');
    expect({ status: reply.status, text: reply.text }).toEqual({ status: 405, text: '' });
    expect(reply.headers.get('allow')).toContain('POST');
  });

  test.each(['POST', 'PUT', 'DELETE'])('%s /healthz is answered 405 with Allow', async (method) => {
    const reply = await withToken('/healthz', method);
    expectRefusal(reply, 405, 'Method not allowed');
    expect(reply.headers.get('allow')).toContain('GET');
  });

  test('a word that is no method gets no HTML', async () => {
    using connection = await RawConnection.open(agent);
    connection.send(`BREW / HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${agent.token}\r\nConnection: close\r\n\r\n`);
    expect(await connection.until(/\r\n\r\n/)).not.toMatch(/<html/i);
  });
});

describe('an unknown path', () => {
  test.each(['/unknown', '/run', '/openapi', '/%00', '/..%2f..%2fetc/passwd'])('%s is answered 404', async (path) => {
    expectRefusal(await withToken(path, 'GET'), 404, 'Not found');
    expectRefusal(await withToken(path, 'POST'), 404, 'Not found');
  });

  test('with a query the path still counts alone', async () => {
    const body = '{"op":"shell","args":{"cmd":"echo ran"}}';
    const init = { method: 'POST', body, headers: { 'x-auth-token': agent.token } };
    expect((await agent.request('/?a=b', init)).body.stdout).toBe('ran\n');
  });
});

describe('a path that is almost one of the routes is another one:', () => {
  const paths = [
    '/healthz',
    '/openapi.json',
    '/docs',
    '/docs/swagger-ui.css',
    '/metrics',
    '/shell',
    '/server_info',
    '/mcp',
  ];
  const spellings = paths.flatMap((path) => [
    `${path}/`,
    `${path}//`,
    `/%${path.charCodeAt(1).toString(16)}${path.slice(2)}`,
    `${path}%2f`,
    path.toUpperCase(),
  ]);
  test.each([...spellings, '/sessions//stream', '/sessions/x/stream/'])('%s', async (path) => {
    for (const method of ['GET', 'POST']) {
      const body = method === 'GET' ? null : '{"cmd":"true"}';
      for (const forwarded of [{}, { 'x-forwarded-for': '203.0.113.1' }]) {
        expectRefusal(await agent.request(path, { method, body, headers: forwarded }), 403, 'Unauthorized');
        const headers = { 'x-auth-token': agent.token, ...forwarded };
        expectRefusal(await agent.request(path, { method, body, headers }), 404, 'Not found');
      }
    }
  });
});

// Bun's fetch takes one of two slashes away.
test.each(['//healthz', '//metrics', '//sessions/x/stream'])('so is %s', async (path) => {
  using connection = await RawConnection.open(agent);
  connection.send(
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${agent.token}\r\nConnection: close\r\n\r\n`,
  );
  expect(await connection.until(/\r\n\r\n.*\}/)).toContain('"error":"Not found"');
});

describe.each(['x', '::1', 'a b', ''])('for the Host "%s"', (host) => {
  const answer = async (request: string, headers = '', body = ''): Promise<string> => {
    using connection = await RawConnection.open(agent);
    const length = `Content-Length: ${body.length}`;
    connection.send(`${request} HTTP/1.1\r\nHost: ${host}\r\n${headers}Connection: close\r\n${length}\r\n\r\n${body}`);
    await connection.closed;
    return connection.received;
  };
  const token = `X-Auth-Token: ${agent.token}\r\n`;

  test('a session is found', async () => {
    const path = '/sessions/0190f0a0-0000-7000-8000-000000000000/stream?stdout=0';
    expect(await answer(`GET ${path}`, token)).toContain('"error":"Session not found"');
  });

  test('MCP answers', async () => {
    const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
    expect(await answer('POST /mcp', token, ping)).toContain('"result":{}');
  });

  test('who looks for a sign-in needs no token to learn that there is none', async () => {
    expect(await answer('GET /.well-known/oauth-authorization-server')).toContain('"error":"Not found"');
  });

  test('the document of one door is there', async () => {
    expect(await answer('GET /openapi.json?door=docs')).toStartWith('HTTP/1.1 200');
  });
});

describe('the open routes', () => {
  test('GET /healthz needs no token and reports the version', async () => {
    const reply = await agent.request('/healthz');
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.text)).toEqual({ status: 'ok', version: expect.stringContaining(manifest.version) });
  });

  test('HEAD /healthz is answered without a body', async () => {
    const reply = await agent.request('/healthz', { method: 'HEAD' });
    expect({ status: reply.status, text: reply.text }).toEqual({ status: 200, text: '' });
  });
});
