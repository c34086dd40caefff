import { afterAll, describe, expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { readProc } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventsOf, type StreamEvent } from '../../helpers/streams.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const headers = { 'x-auth-token': agent.token };

const open = (session: string, query = '', more: Readonly<Record<string, string>> = {}): Promise<Response> =>
  fetch(`${agent.url}/sessions/${session}/stream${query}`, { headers: { ...headers, ...more } });

const allOf = (response: Response): Promise<StreamEvent[]> => Array.fromAsync(eventsOf(response));

const start = async (cmd: string): Promise<string> => (await agent.shell({ cmd, background: true })).session;

describe('the stream of a session', () => {
  test.concurrent('gives output as it is written, then the end', async () => {
    using trigger = new Trigger();
    const session = await start(`echo one; echo two >&2; ${trigger.wait}; echo three; exit 3`);
    const response = await open(session);
    expect(response.headers.get('content-type')).toStartWith('text/event-stream');
    const seen: StreamEvent[] = [];
    for await (const event of eventsOf(response)) {
      seen.push(event);
      if (event.data['stream'] === 'stderr') trigger.open();
    }
    expect(seen.slice(0, 3)).toEqual([
      { event: 'output', id: '4,0', data: { stream: 'stdout', text: 'one\n' } },
      { event: 'output', id: '4,4', data: { stream: 'stderr', text: 'two\n' } },
      { event: 'output', id: '10,4', data: { stream: 'stdout', text: 'three\n' } },
    ]);
    expect(seen[3]?.data).toMatchObject({ session, status: 'done', exit_code: 3, stdout_bytes: 10, stderr_bytes: 4 });
    expect(seen).toHaveLength(4);
  });

  test.concurrent('begins at the offsets that were asked for, or after the last event that was seen', async () => {
    const { session } = await agent.shell({ cmd: 'echo 0123456789; echo error >&2' });
    const texts = async (response: Promise<Response>) =>
      (await allOf(await response)).map(({ data }) => data['text'] ?? data['status']);
    expect(await texts(open(session, '?stdout=4&stderr=6'))).toEqual(['456789\n', 'done']);
    expect(await texts(open(session, '?stdout=0', { 'last-event-id': '8,2' }))).toEqual(['89\n', 'ror\n', 'done']);
    expect(await texts(open(session, '?stdout=1000&stderr=1000'))).toEqual(['done']);
  });

  test.concurrent('holds every byte with encoding=base64', async () => {
    const cmd = String.raw`for i in $(seq 0 255); do printf "\\x$(printf %x $i)"; done; head -c 300000 /dev/zero`;
    const { session } = await agent.shell({ cmd });
    const pieces = (await allOf(await open(session, '?encoding=base64'))).flatMap(({ data }) =>
      typeof data['base64'] === 'string' ? [Buffer.from(data['base64'], 'base64')] : [],
    );
    const wanted = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, at) => at)), Buffer.alloc(300_000)]);
    expect(Buffer.concat(pieces).equals(wanted)).toBe(true);
  });

  test.concurrent('is cut between characters', async () => {
    using trigger = new Trigger();
    const session = await start(String.raw`printf 'a\xe2\x82'; ${trigger.wait}; printf '\xacb'`);
    const texts: unknown[] = [];
    for await (const { data } of eventsOf(await open(session))) {
      texts.push(data['text']);
      trigger.open();
    }
    expect(texts).toEqual(['a', '€b', undefined]);
  });

  test.concurrent('ends when the session is closed', async () => {
    const session = await start('echo begun; sleep 300');
    const events = eventsOf(await open(session));
    expect((await events.next()).value).toMatchObject({ data: { text: 'begun\n' } });
    await agent.call('close_session', { session });
    const rest = await Array.fromAsync(events);
    expect(rest.at(-1)).toMatchObject({ event: 'end', data: { status: 'killed' } });
  });

  test.concurrent('is logged when it is over', async () => {
    const { session } = await agent.shell({ cmd: 'echo logged' });
    await allOf(await open(session));
    const line = await agent.log.find('the line', ({ op, session: of }) => op === 'stream' && of === session);
    expect(line).toMatchObject({ status: 200, method: 'GET' });
  });
});

test('refusals of a stream are JSON', async () => {
  const { session } = await agent.shell({ cmd: 'true' });
  const get = (path: string, init: RequestInit = { headers }) => agent.request(path, init);
  expectRefusal(await get(`/sessions/${session}/stream`, {}), 403, 'Unauthorized');
  expectRefusal(await get(`/sessions/${crypto.randomUUID()}/stream`), 404, 'Session not found');
  expectRefusal(await get(`/sessions/${session}/stream?stdout=-1`), 400, 'Invalid args', /stdout must be/);
  expectRefusal(await get(`/sessions/${session}/stream?encoding=hex`), 400, 'Invalid args', /encoding/);
  expectRefusal(await get(`/sessions/${session}/stream`, { method: 'POST', headers }), 405, 'Method not allowed');
});

test('a hundred followers are the most, and room comes when one has gone', async () => {
  const session = await start('sleep 300');
  const followers = Array.from({ length: 100 }, () => new AbortController());
  await Promise.all(
    followers.map(({ signal }) => fetch(`${agent.url}/sessions/${session}/stream`, { headers, signal })),
  );
  const refused = await agent.request(`/sessions/${session}/stream`, { headers });
  expectRefusal(refused, 429, 'Too many requests', /read_session/);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  followers[0]?.abort();
  await eventually('there is room', async () => {
    const controller = new AbortController();
    const { status } = await fetch(`${agent.url}/sessions/${session}/stream`, { headers, signal: controller.signal });
    controller.abort();
    return status === 200;
  });
  for (const follower of followers) follower.abort();
  await agent.call('close_session', { session });
});

/** How many files the agent watches (inotify(7)). */
const watches = (): number =>
  readdirSync(`/proc/${agent.pid}/fdinfo`)
    .map((fd) => readProc(`${agent.pid}/fdinfo/${fd}`)?.match(/^inotify /gm)?.length ?? 0)
    .reduce((sum, count) => sum + count, 0);

test('who leaves in the middle of output leaves no watch behind', async () => {
  const { session } = await agent.shell({ cmd: 'yes | head -c 20000000; sleep 300', background: true });
  const before = watches();
  for (let count = 0; count < 3; count++) {
    const controller = new AbortController();
    const response = await fetch(`${agent.url}/sessions/${session}/stream`, { headers, signal: controller.signal });
    const reader = response.body?.getReader();
    for (let pieces = 0; pieces < 2; pieces++) await reader?.read();
    controller.abort();
  }
  await eventually('the watches are gone', () => watches() <= before);
  await agent.call('close_session', { session });
});

test('the agent stops although somebody follows, who continues with the next one', async () => {
  await using other = await startAgent();
  using trigger = new Trigger();
  const cmd = `echo before; ${trigger.wait}; echo after`;
  const { session } = await other.shell({ cmd, background: true });
  const follow = () => fetch(`${other.url}/sessions/${session}/stream`, { headers: { 'x-auth-token': other.token } });
  const events = eventsOf(await follow());
  expect((await events.next()).value).toMatchObject({ data: { text: 'before\n' } });
  expect(await other.stop()).toBe(0);
  expect((await events.next()).done).toBe(true);
  await other.restart();
  trigger.open();
  const rest = await allOf(await follow());
  expect(rest.map(({ data }) => data['text'] ?? data['status'])).toContain('done');
});
