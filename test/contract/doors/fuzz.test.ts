import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const REQUESTS = 100_000;
const AT_ONCE = 16;

const directory = new TemporaryDirectory();
const tokens = directory.join('tokens.json');
const settings = { AGENT3_TOKENS_FILE: tokens, AGENT3_MAX_REQUESTS_PER_MINUTE: '100000000' };
const anna = (await agent3(['token', 'create', 'anna', '--profile', 'full'], settings)).stdout.trim();
const bert = (await agent3(['token', 'create', 'bert', '--profile', 'full'], settings)).stdout.trim();
const agent = await startAgent({ ...settings, AGENT3_MAX_RUNNING: '4', AGENT3_SESSION_TTL_SECONDS: '20' });
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Anna's secret, which Bert must never see. */
const SECRET = `secret-${crypto.randomUUID()}`;
const call = async (token: string, op: string, args: unknown): Promise<Record<string, unknown>> => {
  const body = JSON.stringify({ op, args });
  const response = await fetch(`${agent.url}/`, { method: 'POST', headers: { 'x-auth-token': token }, body });
  return (await response.json()) as Record<string, unknown>;
};
const annas = String((await call(anna, 'shell', { cmd: `echo ${SECRET}`, key: 'anna' }))['session']);
const berts = String((await call(bert, 'shell', { cmd: 'seq 1000', key: 'bert' }))['session']);

const OPS = [
  'shell',
  'read_session',
  'list_sessions',
  'write_session',
  'kill_session',
  'close_session',
  'read_file',
  'write_file',
  'edit_file',
  'undo',
  'upload',
  'download',
  'server_info',
];
/** Everything that a client could get wrong, and some that is right. */
const odd = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.integer(),
  fc.double(),
  fc.constantFrom<unknown>(
    null,
    '',
    0,
    -1,
    1e308,
    '9'.repeat(400),
    [],
    {},
    true,
    '\u0000',
    '\ud800',
    '__proto__',
    annas,
    berts,
  ),
);
const session = fc.oneof(
  fc.constantFrom(annas, berts, annas.toUpperCase(), `${annas}/../${berts}`, `../${annas}`),
  odd,
);
const field = (valid: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 20, arbitrary: valid }, { weight: 1, arbitrary: odd });
const args = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      {
        // What is run is harmless; what is around it is anything.
        cmd: fc.constantFrom<unknown>(
          'true',
          'echo hi',
          'exit 3',
          '',
          null,
          7,
          ['ls'],
          'printf "\\xff\\0"',
          ' ',
          `cat </dev/null`,
        ),
        session: field(session),
        offset: field(fc.integer({ min: -2000, max: 5000 })),
        limit: field(fc.integer({ min: 1, max: 5000 })),
        stream: field(fc.constantFrom('stdout', 'stderr')),
        encoding: field(fc.constantFrom('utf8', 'base64')),
        wait: fc.constantFrom<unknown>(0, 0.01, -1, 'x', null),
        timeout: field(fc.constantFrom(1, 2)),
        max_output: field(fc.integer({ min: 1, max: 5000 })),
        keep: field(fc.constantFrom('both', 'head', 'tail')),
        env: field(fc.dictionary(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }))),
        cwd: field(fc.constantFrom('/', '/tmp', '/none')),
        stdin: field(fc.string({ maxLength: 100 })),
        key: fc.constantFrom<unknown>('anna', 'bert', 'k', null, 7),
        signal: field(fc.constantFrom('TERM', 'CONT', 'HUP')),
        input: field(fc.string({ maxLength: 50 })),
        match: field(fc.constantFrom('^1', 'secret', '(', '(a+)+$')),
        status: field(fc.constantFrom('done', 'running')),
        before: field(session),
        constructor: fc.anything(),
      },
      { requiredKeys: [] },
    ),
  },
  { weight: 1, arbitrary: odd },
);
const text = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(field(fc.constantFrom(...OPS)), args).map(([op, given]) => JSON.stringify({ op, args: given })),
  },
  { weight: 4, arbitrary: args.map((given) => JSON.stringify(given) ?? '') },
  {
    weight: 2,
    arbitrary: fc
      .tuple(field(fc.constantFrom('tools/call', 'tools/list', 'initialize', 'ping')), fc.constantFrom(...OPS), args)
      .map(([method, name, given]) =>
        JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { name, arguments: given } }),
      ),
  },
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constantFrom(
    '',
    '{',
    '[]',
    'null',
    '{"op":',
    '{"op":"shell","args":{"cmd":"true"}',
    '['.repeat(20_000),
    '{"a":'.repeat(5000),
    '"\\ud800"',
  ),
);
const path = fc.oneof(
  { weight: 6, arbitrary: fc.constant('/') },
  { weight: 6, arbitrary: fc.constantFrom(...OPS.filter((op) => op !== 'close_session').map((op) => `/${op}`)) },
  { weight: 2, arbitrary: fc.constant('/mcp') },
  fc.constantFrom(
    '/healthz',
    '/openapi.json',
    '/openapi.json?door=rpc',
    '/metrics',
    '/docs',
    `/sessions/${annas}/stream`,
    `/sessions/${berts}/stream?stdout=x`,
    '/sessions//stream',
    '//',
    '/%00',
    '/..%2f',
    '/shell/',
    '/?op=shell',
  ),
  fc.webPath({ size: 'small' }),
);
const request = fc.record({
  method: fc.oneof(
    { weight: 12, arbitrary: fc.constant('POST') },
    fc.constantFrom('GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'),
  ),
  path,
  token: fc.oneof({ weight: 10, arbitrary: fc.constant(bert) }, fc.constantFrom(anna, '')),
  headers: fc.oneof(
    { weight: 6, arbitrary: fc.constant({}) },
    fc.constantFrom<Record<string, string>>(
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      { 'content-encoding': 'gzip' },
      { 'x-forwarded-for': '1.2.3.4, x' },
      { origin: 'https://evil.example' },
      { 'last-event-id': '9999999999,1' },
      { 'mcp-session-id': 'x', 'mcp-protocol-version': 'x' },
      { 'x-request-id': 'a'.repeat(2000) },
    ),
  ),
  text,
});
type FuzzedRequest = typeof request extends fc.Arbitrary<infer T> ? T : never;

/** Answers that are no JSON by design. */
const NO_JSON = /^\/(?:docs|metrics|sessions\/)/;
const STATUSES = [200, 202, 204, 304, 400, 401, 403, 404, 405, 406, 413, 415, 429];

/** What is wrong with the answer to a request; undefined: nothing. */
async function faultOf({ method, path, token, headers, text }: FuzzedRequest): Promise<string | undefined> {
  const hasBody = method !== 'GET' && method !== 'HEAD';
  const response = await fetch(agent.url + path, {
    method,
    headers: { ...headers, ...(token !== '' && { 'x-auth-token': token }) },
    redirect: 'manual',
    signal: AbortSignal.timeout(30_000),
    ...(hasBody && { body: text }),
  });
  const type = response.headers.get('content-type') ?? '';
  const answer = type.startsWith('text/event-stream') && path.startsWith('/sessions') ? '' : await response.text();
  if (answer === '' && type.startsWith('text/event-stream')) await response.body?.cancel();
  seen.set(response.status, (seen.get(response.status) ?? 0) + 1);
  if (!STATUSES.includes(response.status)) return `status ${response.status}: ${answer.slice(0, 300)}`;
  if ([204, 401].includes(response.status) && path !== '/mcp') return `status ${response.status} at ${path}`;
  if (response.status === 429 && !response.headers.has('retry-after')) return 'a 429 without Retry-After';
  if (token !== anna && answer.includes(SECRET)) return `the secret of another token: ${answer.slice(0, 300)}`;
  if (answer === '' || NO_JSON.test(path) || type.startsWith('text/event-stream')) return undefined;
  try {
    JSON.parse(answer);
    return undefined;
  } catch {
    return `no JSON: ${answer.slice(0, 300)}`;
  }
}

/** How often each status came. */
const seen = new Map<number, number>();

const rss = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1]) / 1024;

describe('whatever a client sends', () => {
  test(`is answered in JSON, without a fault and without what is another token's, ${REQUESTS} times`, async () => {
    const faults: string[] = [];
    let warm = 0;
    for (let sent = 0; sent < REQUESTS && faults.length < 5; ) {
      const batch = fc.sample(request, { numRuns: 500, seed: sent + 1 });
      const queue = batch[Symbol.iterator]();
      const work = async (): Promise<void> => {
        for (const one of queue) {
          sent++;
          const fault = await faultOf(one).catch((error) => String(error));
          if (fault !== undefined) faults.push(`${JSON.stringify(one).slice(0, 500)}\n→ ${fault}`);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      if (warm === 0 && sent >= REQUESTS / 4) warm = rss();
    }
    expect(faults).toEqual([]);
    const end = rss();
    console.log(`statuses: ${[...seen].map(([status, count]) => `${status}: ${count}`).join(', ')}`);
    console.log(`${REQUESTS} requests; RSS ${warm.toFixed(1)} MiB after a quarter, ${end.toFixed(1)} MiB at the end`);
    // All of it was reached: what runs, what is refused, and what is not there.
    for (const status of [200, 400, 403, 404, 405]) expect(seen.get(status) ?? 0).toBeGreaterThan(REQUESTS / 200);
    // The records of sessions until their time is over, and what the allocator keeps.
    expect(end - warm).toBeLessThan(48);
    expect((await call(anna, 'shell', { cmd: 'echo still' }))['stdout']).toBe('still\n');
  }, 1_200_000);
});
