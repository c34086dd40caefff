import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { readReply } from '../../helpers/answer.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const tokens = directory.join('tokens.json');
const create = async (name: string): Promise<string> =>
  (await agent3(['token', 'create', name, '--profile', 'full'], { AGENT3_TOKENS_FILE: tokens })).stdout.trim();
const other = await create('other');
afterAll(() => directory[Symbol.dispose]());

describe('requests of one token', () => {
  test('beyond its number a minute are answered 429, with when to come again; others go on', async () => {
    await using agent = await startAgent({ AGENT3_TOKENS_FILE: tokens, AGENT3_MAX_REQUESTS_PER_MINUTE: '30' });
    const replies = await Promise.all(Array.from({ length: 100 }, () => agent.call('list_sessions')));
    expect(replies.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(30);
    const refused = replies.find(({ status }) => status === 429);
    // One comes back every 2 s, and the first of them may be nearly there.
    const seconds = Number(refused?.headers.get('retry-after'));
    expect([1, 2]).toContain(seconds);
    expect(refused?.body).toMatchObject({
      error: 'Too many requests',
      message: expect.stringContaining(`This token sent more than 30 requests in a minute. Wait ${seconds} seconds`),
    });
    const headers = { 'x-auth-token': other };
    const reply = await readReply(await fetch(`${agent.url}/list_sessions`, { method: 'POST', headers }));
    expect(reply.status).toBe(200);
    await Bun.sleep(seconds * 1000 + 100);
    expect((await agent.call('list_sessions')).status).toBe(200);
  });
});

describe('text of one token', () => {
  const MIB = 1_048_576;
  const large = 'A'.repeat(98_000);
  const ways: readonly (readonly [way: string, path: string, body: unknown])[] = [
    ['cmd', '/', { op: 'shell', args: { cmd: `true #${large}` } }],
    ['cmd that rules would deny or that is none', '/shell', { cmd: `( #${large}` }],
    ['stdin', '/shell', { cmd: 'true', stdin: large }],
    ['env', '/', { op: 'shell', args: { cmd: 'true', env: { LARGE: large } } }],
    ['input of a session that is none', '/write_session', { session: crypto.randomUUID(), input: large }],
    ['an argument that nobody knows', '/list_sessions', { content: large }],
    ['a message of MCP', '/mcp', { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: large } }],
    ['no JSON', '/', large],
  ];

  test.each(ways)('beyond 64 MiB a minute is answered 429, with what to do: %s', async (way, path, body) => {
    await using agent = await startAgent({ AGENT3_TOKENS_FILE: tokens });
    const send = async (token: string, to: string, text: string | ReadableStream) => {
      const headers = { 'x-auth-token': token, accept: 'application/json, text/event-stream' };
      return readReply(await fetch(agent.url + to, { method: 'POST', headers, body: text }));
    };
    const filling = JSON.stringify({ content: 'A'.repeat(MIB - 100) });
    // What a slow machine takes a while for comes back meanwhile, 1 MiB a second: the rest is sent all at once.
    for (let count = 0; count < 63; count++) {
      expect((await send(agent.token, '/list_sessions', filling)).status).toBe(200);
    }
    const refusalOf = async (atOnce: number, make: () => string | ReadableStream) => {
      const refused = async () => {
        const replies = await Promise.all(Array.from({ length: atOnce }, () => send(agent.token, path, make())));
        return replies.find(({ status, text }) => status === 429 && text.includes('64 MiB'));
      };
      return eventually(`${way} is refused`, async () => {
        for (let count = 0; (await send(agent.token, '/list_sessions', filling)).status === 200; count++)
          expect(count).toBeLessThan(600);
        return refused();
      });
    };
    const refused = await refusalOf(40, () => JSON.stringify(body));
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(refused.text).toContain('This token sent more than 64 MiB in a minute');
    const chunked = () =>
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode(filling));
          controller.close();
        },
      });
    expect((await refusalOf(6, chunked)).status).toBe(429);
    // What is small fits, and so does what another token sends.
    expect((await agent.call('shell', { cmd: 'echo small' })).body.stdout).toBe('small\n');
    expect((await send(other, '/list_sessions', filling)).status).toBe(200);
  });
});

describe('more commands at once than may run', () => {
  const settings = { AGENT3_TOKENS_FILE: tokens, AGENT3_MAX_RUNNING: '2' };

  test('wait for their turn', async () => {
    await using agent = await startAgent(settings);
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, index) => agent.call('shell', { cmd: `sleep 0.2; echo ${index}` })),
    );
    expect(answers.map(({ status, body }) => [status, body.stdout])).toEqual(
      Array.from({ length: 6 }, (_, index) => [200, `${index}\n`]),
    );
  });

  test('are refused after 5 s, with when to come again', async () => {
    await using agent = await startAgent(settings);
    for (let count = 0; count < 2; count++) await agent.call('shell', { cmd: 'sleep 30', background: true });
    const start = performance.now();
    const reply = await agent.call('shell', { cmd: 'true' });
    expect(reply.status).toBe(429);
    expect(reply.headers.get('retry-after')).toBe('2');
    expect(performance.now() - start).toBeGreaterThan(4900);
    expect((await agent.call('list_sessions')).status).toBe(200);
  });

  test('of one token leave the places of others free', async () => {
    await using agent = await startAgent({ ...settings, AGENT3_MAX_RUNNING_PER_TOKEN: '1' });
    await agent.call('shell', { cmd: 'sleep 30', background: true });
    const waiting = agent.call('shell', { cmd: 'true' });
    const headers = { 'x-auth-token': other };
    const body = JSON.stringify({ cmd: 'echo free' });
    const reply = await readReply(await fetch(`${agent.url}/shell`, { method: 'POST', headers, body }));
    expect(reply.body.stdout).toBe('free\n');
    expect((await waiting).body).toMatchObject({
      message: expect.stringContaining('1 commands of this token are running already'),
    });
  });

  test('with one key run once, also when the second call waits as well', async () => {
    await using agent = await startAgent({ ...settings, AGENT3_MAX_RUNNING: '1' });
    using trigger = new Trigger();
    const holding = agent.call('shell', { cmd: `${trigger.arrive}; ${trigger.wait}` });
    await trigger.arrived();
    const file = directory.join('runs');
    const calls = [1, 2, 3].map(() => agent.call('shell', { cmd: `echo run >> ${file}; echo done`, key: 'one' }));
    await eventually('they wait', async () => (await agent.request('/metrics')).text.includes('_queued 3\n'));
    trigger.open();
    const replies = await Promise.all(calls);
    await holding;
    expect(new Set(replies.map(({ body }) => body.session)).size).toBe(1);
    expect(await Bun.file(file).text()).toBe('run\n');
  });
});
