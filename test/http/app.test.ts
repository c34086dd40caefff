import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Access, ProfileBook } from '../../src/access/access.ts';
import { Followers } from '../../src/calls/follow.ts';
import { createApp } from '../../src/http/app.ts';
import type { Authenticator } from '../../src/http/auth.ts';
import { CallLimiter, RateLimiter } from '../../src/http/limiters.ts';
import { Metrics } from '../../src/http/metrics.ts';
import { AccessLog } from '../../src/http/respond.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Unauthorized } from '../../src/lib/errors.ts';
import { mcpDoor } from '../../src/mcp/door.ts';
import { allOperations } from '../../src/operations/index.ts';
import { buildDeps } from '../../src/server/deps.ts';
import { loadConfig } from '../../src/settings/config.ts';
import { NO_GAUGES } from '../helpers/gauges.ts';

/** Two tokens, which a server started with one setting cannot have. */
const twoTokens: Authenticator = {
  authenticate: (headers) => {
    const token = headers.get('x-auth-token');
    if (token === 'anna' || token === 'bert') return token;
    throw new Unauthorized();
  },
};

const directory = mkdtempSync(join(tmpdir(), 'agent3-app-'));
const config = loadConfig({ AGENT3_API_TOKEN: 'unused-in-this-test', AGENT3_SESSIONS_DIR: directory });
const logged: Record<string, unknown>[] = [];
const logger = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) });
const deps = buildDeps(
  config,
  logger,
  new Access(
    new ProfileBook(undefined, systemClock, logger),
    'full',
    { profileOf: () => 'full', isAwaiting: () => false, isToken: () => false },
    'default',
  ),
);
const operations = allOperations(deps);
const parts = {
  access: deps.access,
  operations: [
    ...operations,
    {
      ...operations[0],
      name: 'broken',
      invoke: () => Promise.reject(new Error('the secret of the bug')),
    } as (typeof operations)[number],
  ],
  followers: new Followers(deps),
  auth: twoTokens,
  mcpAuth: twoTokens,
  signIn: undefined,
  rateLimiter: new RateLimiter(1000, systemClock),
  calls: new CallLimiter(),
  turns: deps.turns,
  links: { open: (secret: string) => deps.transfers.open(secret) },
  accessLog: new AccessLog(logger, systemClock),
  shutdown: deps.shutdown,
  freeze: deps.freeze,
  replySeconds: 10,
  maxReplyChars: 100_000,
  trustedProxies: config.trustedProxies,
  publicUrl: undefined,
  allowedOrigins: [],
  version: 'test',
  metrics: new Metrics('test', NO_GAUGES),
  metricsAuth: undefined,
};
const app = createApp({ ...parts, mcp: mcpDoor(parts) });

async function call(token: string, op: string, args: unknown) {
  const request = new Request('http://localhost/', {
    method: 'POST',
    headers: { 'x-auth-token': token },
    body: JSON.stringify({ op, args }),
  });
  const response = await app.handle(request);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

beforeAll(() => {
  deps.store.open();
  deps.store.load();
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('a session that belongs to another token', () => {
  test('is not found, by any operation, and stays what it was', async () => {
    const { body } = await call('anna', 'shell', { cmd: 'echo mine' });
    for (const op of ['read_session', 'close_session']) {
      expect(await call('bert', op, { session: body['session'] })).toMatchObject({
        status: 404,
        body: { error: 'Session not found' },
      });
    }
    expect((await call('anna', 'read_session', { session: body['session'] })).body).toMatchObject({ stdout: 'mine\n' });
  });

  test('is not reached by its key: each token has keys of its own', async () => {
    const first = await call('anna', 'shell', { cmd: 'echo a', key: 'shared' });
    const second = await call('bert', 'shell', { cmd: 'echo b', key: 'shared' });
    expect(first.body['stdout']).toBe('a\n');
    expect(second.body['stdout']).toBe('b\n');
    expect((await call('anna', 'shell', { cmd: 'echo a', key: 'shared' })).body['session']).toBe(first.body['session']);
  });
});

describe('a route', () => {
  const OPEN = /^\/(?:healthz|openapi\.json|docs(?:\/[\w.-]+)?)$/;
  /** There clients look how to sign in, which they cannot do here. */
  const SIGN_IN = /^\/(?:\.well-known|oauth)\/\*$/;
  const closed = app.routes
    .filter(({ path }) => !OPEN.test(path) && !SIGN_IN.test(path))
    .map(({ method, path }) => [method === 'ALL' ? 'PATCH' : method, path.replace(':id', 'x').replace('*', 'nowhere')])
    .filter(([method, path]) => path !== '/metrics' || method === 'GET')
    // What a browser asks before it sends anything bears no token.
    .filter(([method, path]) => path !== '/mcp' || method === 'POST');
  test.each(closed)('%s %s is closed to who has no token', async (method, path) => {
    const response = await app.handle(new Request(`http://localhost${path}`, { method: method ?? '' }));
    // The clients of MCP begin their sign-in with 401.
    expect(response.status).toBe(path === '/mcp' ? 401 : 403);
  });

  test.each(['/.well-known/oauth-protected-resource', '/.well-known/oauth-authorization-server', '/oauth/token'])(
    '%s is not there without a sign-in',
    async (path) => {
      expect((await app.handle(new Request(`http://localhost${path}`, { method: 'POST' }))).status).toBe(404);
    },
  );
});

describe('a bug', () => {
  test('is answered as JSON without a word of it, and logged with its stack', async () => {
    const { status, body } = await call('anna', 'broken', {});
    expect(status).toBe(500);
    expect(body['error']).toBe('Internal error');
    expect(JSON.stringify(body)).not.toContain('secret');
    await new Promise((resolve) => setImmediate(resolve));
    const line = logged.find((entry) => entry['level'] === 'error' || entry['level'] === 50);
    expect(JSON.stringify(line)).toContain('the secret of the bug');
  });
});
