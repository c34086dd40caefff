import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { type Reply, readReply } from '../../helpers/answer.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import type { FloodOrder } from '../../helpers/flood-client.ts';
import type { GreedyOrder } from '../../helpers/greedy-client.ts';
import { postText, RawConnection } from '../../helpers/sockets.ts';
import { eventually } from '../../helpers/waiting.ts';

/** Two tokens of one agent: `default`, whose answers are masked and which takes all that it can get, and another. */
const directory = new TemporaryDirectory();
writeFileSync(directory.join('masked.toml'), 'extends = "full"\nmask = true\n');
const RULES = [
  'command = "rm"\nflags = ["-r"]\naction = "deny"',
  'arguments = ["/etc/*"]\naction = "deny"',
  'command = ["dd", "mkfs*"]\naction = "confirm"',
  'writes = ["/etc/*", "/boot/*"]\naction = "confirm"',
];
const rules = RULES.map((rule) => `[[rules]]\n${rule}\n`).join('');
writeFileSync(directory.join('ruled.toml'), `extends = "full"\nunreadable = "deny"\n${rules}`);
const tokens = directory.join('tokens.json');
let agent: Agent;
let other: string;
/** Of a profile with rules. */
let ruled: string;

beforeAll(async () => {
  const settings = { AGENT3_TOKENS_FILE: tokens, AGENT3_PROFILES_DIR: directory.path };
  const create = async (name: string, profile: string): Promise<string> =>
    (await agent3(['token', 'create', name, '--profile', profile], settings)).stdout.trim();
  other = await create('other', 'full');
  ruled = await create('ruled', 'ruled');
  agent = await startAgent({
    AGENT3_TOKENS_FILE: tokens,
    AGENT3_PROFILES_DIR: directory.path,
    AGENT3_PROFILE: 'masked',
    AGENT3_MAX_RUNNING: '8',
  });
});

afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

async function call(token: string, op: string, args: unknown = {}): Promise<Reply> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify({ op, args }) };
  return readReply(await fetch(`${agent.url}/`, init));
}

const LINE = 'Nov 28 20:00:00 host app[123]: user=bob password=hunter2secret path=/var/log/x status=200';

/** A session of `default` with so many bytes of lines that have a secret each. */
async function longSession(bytes: number): Promise<string> {
  const { body } = await call(agent.token, 'shell', { cmd: `yes '${LINE}' | head -c ${bytes}`, max_output: 256 });
  return body.session;
}

const CLIENT = { name: 'test', version: '1' };
const INITIALIZE = {
  method: 'initialize',
  params: { protocolVersion: '2025-03-26', capabilities: {}, clientInfo: CLIENT },
};

/** The headers of a client of MCP that has introduced itself. */
async function introduced(token: string): Promise<Record<string, string>> {
  const headers = {
    'x-auth-token': token,
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, ...INITIALIZE });
  const response = await fetch(`${agent.url}/mcp`, { method: 'POST', headers, body });
  await response.text();
  return { ...headers, 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' };
}

describe('what one token cannot take from others:', () => {
  test('streams', async () => {
    const streams = new AbortController();
    const session = (await call(agent.token, 'shell', { cmd: 'sleep 60', background: true })).body.session;
    const others = (await call(other, 'shell', { cmd: 'sleep 60', background: true })).body.session;
    const open = async (token: string, of: string): Promise<Response | Reply> => {
      const init = { headers: { 'x-auth-token': token }, signal: streams.signal };
      const response = await fetch(`${agent.url}/sessions/${of}/stream`, init);
      return response.status === 200 ? response : readReply(response);
    };
    // What nobody holds is collected, and its connection closed.
    const held: object[] = [];
    for (let count = 0; count < 75; count++) {
      const stream = await open(agent.token, session);
      expect(stream.status).toBe(200);
      held.push(stream);
    }
    const refusal = (await open(agent.token, session)) as Reply;
    expect(refusal.status).toBe(429);
    expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refusal.body.message).toContain('This token has 75 streams open, which is its share of the 100 at once');
    expect((await open(other, others)).status).toBe(200);
    expect(held).toHaveLength(75);
    streams.abort();
    for (const [token, id] of [
      [agent.token, session],
      [other, others],
    ] as const)
      await call(token, 'close_session', { session: id });
  });

  test('commands that run', async () => {
    const sessions: string[] = [];
    for (let count = 0; count < 6; count++)
      sessions.push((await call(agent.token, 'shell', { cmd: 'sleep 60', background: true })).body.session);
    const [refused, answered] = await Promise.all([
      call(agent.token, 'shell', { cmd: 'true' }),
      call(other, 'shell', { cmd: 'echo free' }),
    ]);
    expect(answered.body.stdout).toBe('free\n');
    expect(refused.status).toBe(429);
    expect(refused.body.message).toContain(
      '6 commands of this token are running already, which is its share of the 8 that run at once',
    );
    for (const session of sessions) await call(agent.token, 'close_session', { session });
  });

  test('calls that wait', async () => {
    const session = (await call(agent.token, 'shell', { cmd: 'sleep 8', background: true })).body.session;
    using stack = new DisposableStack();
    const body = JSON.stringify({ op: 'read_session', args: { session, wait: 30 } });
    const connections = await Promise.all(Array.from({ length: 470 }, () => RawConnection.open(agent)));
    for (const connection of connections) stack.use(connection).send(postText(agent, body));
    const refused = await eventually('the token has its share', async () => {
      const reply = await call(agent.token, 'read_session', { session });
      return reply.status === 429 && reply;
    });
    expect(refused.body.message).toContain('This token has 450 calls running, its share of at most 600');
    expect((await call(other, 'shell', { cmd: 'echo free' })).body.stdout).toBe('free\n');
    await eventually('they are answered when the command has ended', async () => {
      return (await call(agent.token, 'read_session', { session })).status === 200;
    });
  });

  test('room for bodies', async () => {
    using stack = new DisposableStack();
    const length = 1_000_000;
    const body = JSON.stringify({ op: 'shell', args: { cmd: 'sleep 5', stdin: 'B'.repeat(length) } });
    const connections = await Promise.all(Array.from({ length: 40 }, () => RawConnection.open(agent)));
    // All but the last byte, so that nothing is done with them yet.
    for (const connection of connections)
      stack.use(connection).send(postText(agent, body.slice(0, -1), Buffer.byteLength(body)));
    const refused = await Promise.race(connections.map((connection) => connection.until(/ 429 /)));
    expect(refused).toContain('bodies of this token');
    const stdin = 'C'.repeat(length);
    const { body: answer } = await call(other, 'shell', { cmd: 'wc -c', stdin });
    expect(answer.stdout.trim()).toBe(String(length));
  });
});

/** Slower than this is a fault of the agent on the busiest machine: it took 9 to 34 s before work was done in turns. */
const TIMEOUT_MS = 4000;
/** A call is more than the start of a process: what the machine itself is slow at counts so many times. */
const TIMES_BARE = 20;

/**
 * Starts `true` without the agent, again and again, while something is measured: a busy machine slows down both. The
 * returned function ends that and returns how long the slowest start took, in milliseconds.
 */
function startsBare(): () => Promise<number> {
  let isOver = false;
  const measure = async (slowest = 0): Promise<number> => {
    const start = performance.now();
    await Bun.spawn(['/bin/sh', '-c', 'true'], { stdio: ['ignore', 'ignore', 'ignore'] }).exited;
    const longest = Math.max(slowest, performance.now() - start);
    await Bun.sleep(10);
    return isOver ? longest : measure(longest);
  };
  const measured = measure();
  return () => {
    isOver = true;
    return measured;
  };
}

test('looks at why a command is silent, many at once, leave the agent to others', async () => {
  const cmd = `for i in $(seq 38); do sleep 60 & done; wait`;
  const { session } = (await call(agent.token, 'shell', { cmd, background: true })).body;
  await Bun.sleep(4000);
  const looks = Array.from({ length: 150 }, () => call(agent.token, 'read_session', { session }));
  const bareMs = startsBare();
  const start = performance.now();
  expect((await call(other, 'shell', { cmd: 'echo free' })).body.stdout).toBe('free\n');
  const took = performance.now() - start;
  expect(took).toBeLessThan(TIMEOUT_MS + TIMES_BARE * (await bareMs()));
  for (const { status } of await Promise.all(looks)) expect(status).toBe(200);
  await call(agent.token, 'close_session', { session });
});

test('commands that rules take long to read leave the agent to others', async () => {
  const pieces = ['ls;', 'x=$y;', 'sudo ', 'echo "$(ls)" ', '> f;', 'ls | cat;', 'sshpass -p x ', '$('];
  const commands = pieces.map((piece) => `exit;\n${piece.repeat(99_900 / piece.length)}`);
  const calls = commands.map((cmd) => call(ruled, 'shell', { cmd, timeout: 1 }));
  let done = false;
  const replies = Promise.all(calls).finally(() => {
    done = true;
  });
  let slowest = 0;
  const bareMs = startsBare();
  while (!done) {
    const start = performance.now();
    expect((await fetch(`${agent.url}/healthz`)).status).toBe(200);
    slowest = Math.max(slowest, performance.now() - start);
    await Bun.sleep(5);
  }
  for (const { status } of await replies) expect(status).toBe(200);
  // Each held the agent up for half a second.
  expect(slowest).toBeLessThan(200 + TIMES_BARE * (await bareMs()));
});

test('everything that one token is given, all at once, leaves the agent to others', async () => {
  const session = await longSession(135_000_000);
  const order: GreedyOrder = {
    url: agent.url,
    token: agent.token,
    session,
    streams: 60,
    openers: 10,
    busy: 4,
    readers: 4,
    searchers: 4,
    senders: 4,
    commands: 300,
  };
  const greedy = Bun.spawn([process.execPath, join(import.meta.dir, '../../helpers/greedy-client.ts')], {
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: 'pipe',
  });
  try {
    const reader = greedy.stdout.getReader();
    await reader.read();
    const slowest = { shell: 0, healthz: 0 };
    const bareMs = startsBare();
    for (let count = 0; count < 40; count++) {
      const start = performance.now();
      expect((await call(other, 'shell', { cmd: 'true' })).status).toBe(200);
      const middle = performance.now();
      expect((await fetch(`${agent.url}/healthz`)).status).toBe(200);
      slowest.shell = Math.max(slowest.shell, middle - start);
      slowest.healthz = Math.max(slowest.healthz, performance.now() - middle);
    }
    const machineMs = TIMES_BARE * (await bareMs());
    expect(slowest.shell).toBeLessThan(TIMEOUT_MS + machineMs);
    expect(slowest.healthz).toBeLessThan(TIMEOUT_MS / 2 + machineMs);
  } finally {
    greedy.kill('SIGKILL');
  }
});

/** Requests that cost the agent more than others of their size. `ID` is another number each time. */
const COSTLY: readonly (readonly [
  string,
  method: string,
  path: string,
  messages: object | readonly object[] | undefined,
])[] = [
  ['100 lists of tools in a message', 'POST', '/mcp', Array(100).fill({ method: 'tools/list' })],
  ['10 lists of tools in a message', 'POST', '/mcp', Array(10).fill({ method: 'tools/list' })],
  [
    '10 calls in a message',
    'POST',
    '/mcp',
    Array(10).fill({ method: 'tools/call', params: { name: 'server_info', arguments: {} } }),
  ],
  ['a list of tools', 'POST', '/mcp', { method: 'tools/list' }],
  ['a method that is none', 'POST', '/mcp', { method: 'resources/list' }],
  ['a new client of MCP', 'POST', '/mcp', INITIALIZE],
  ['the document for ChatGPT', 'GET', '/openapi.json', undefined],
  ['the page for people', 'GET', '/docs/swagger-ui-bundle.js', undefined],
  ['the metrics', 'GET', '/metrics', undefined],
];

test.each(COSTLY)('on 30 connections leaves the agent to others: %s', async (_what, method, path, messages) => {
  const { 'mcp-session-id': session = '', ...headers } = await introduced(agent.token);
  const numbered = (message: object): object => ({ jsonrpc: '2.0', id: 'ID', ...message });
  const body = messages && (Array.isArray(messages) ? messages.map(numbered) : numbered(messages));
  const order: FloodOrder = {
    url: agent.url,
    path,
    method,
    headers: { ...headers, ...(messages !== INITIALIZE && { 'mcp-session-id': session }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    connections: 30,
    seconds: 2,
  };
  // A machine on which everything runs at once may hold one call up by itself: what holds twice is the agent's.
  const first = await slowestDuring(order);
  const { slowest, limit } = first.slowest < first.limit ? first : await slowestDuring(order);
  expect(slowest).toBeLessThan(limit);
});

/** The slowest call of another token during a flood, and its limit, in milliseconds. */
async function slowestDuring(order: FloodOrder): Promise<{ readonly slowest: number; readonly limit: number }> {
  await using flood = Bun.spawn([process.execPath, join(import.meta.dir, '../../helpers/flood-client.ts')], {
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: 'pipe',
  });
  await flood.stdout.getReader().read();
  let slowest = 0;
  const bareMs = startsBare();
  while (flood.exitCode === null) {
    const start = performance.now();
    expect((await call(other, 'shell', { cmd: 'true' })).status).toBe(200);
    slowest = Math.max(slowest, performance.now() - start);
  }
  expect(await flood.exited).toBe(0);
  return { slowest, limit: TIMEOUT_MS / 2 + TIMES_BARE * (await bareMs()) };
}
