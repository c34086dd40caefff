import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawServer } from '../../helpers/raw-server.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventsOf, type StreamEvent } from '../../helpers/streams.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const TOKENS = directory.join('tokens.json');
const PROFILES = directory.join('profiles.d');
const APPROVALS = directory.join('approvals');
const HUB_AUDIT = directory.join('hub.jsonl');
const WEB_AUDIT = directory.join('web1.jsonl');
const env = { AGENT3_TOKENS_FILE: TOKENS, AGENT3_PROFILES_DIR: PROFILES };
mkdirSync(PROFILES);
mkdirSync(APPROVALS, { mode: 0o750 });
writeFileSync(`${PROFILES}/starts.toml`, 'extends = "full"\noperations = ["shell"]\n');

let nats: TestNats;
let hub: Agent;
let web1: Agent;
let web2: Agent;

beforeAll(async () => {
  nats = await TestNats.start('web1', 'web2', 'evil');
  const more = { AGENT3_AUDIT_FILE: WEB_AUDIT, AGENT3_APPROVALS_DIR: APPROVALS };
  web1 = await startAgent({ ...nats.serverSettings('web1'), ...more });
  web2 = await startAgent(nats.serverSettings('web2'));
  for (const profile of ['full', 'readonly', 'starts']) await newToken(profile);
  hub = await startAgent({ ...nats.hubSettings, ...env, AGENT3_AUDIT_FILE: HUB_AUDIT });
  await connected('web1', 'web2');
});
afterAll(async () => {
  for (const one of [hub, web1, web2, nats]) await one?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const tokens: Record<string, string> = {};

async function newToken(profile: string): Promise<void> {
  tokens[profile] = (await agent3(['token', 'create', profile, '--profile', profile], env)).stdout.trim();
}

type Fields = Readonly<Record<string, unknown>>;

async function call(operation: string, args: Fields, token = hub.token): Promise<Fields> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify(args) };
  const { status, text } = await hub.request(`/${operation}`, init);
  return { ...(JSON.parse(text) as Fields), http: status };
}

async function connected(...names: string[]): Promise<void> {
  for (const server of names)
    await eventually(
      `${server} is connected`,
      async () => (await call('look', { server, cmd: 'true' }))['http'] === 200,
    );
}

/** Starts a command on a server. Returns its session, as the hub names it. */
async function start(server: string, cmd: string, token = hub.token): Promise<string> {
  const { session } = await call('shell', { server, cmd, background: true }, token);
  return String(session);
}

const open = (session: string, query = '', more: Fields = {}, init: RequestInit = {}): Promise<Response> =>
  fetch(`${hub.url}/sessions/${session}/stream${query}`, {
    ...init,
    headers: { 'x-auth-token': hub.token, ...(more as Record<string, string>) },
  });

const allOf = (response: Response): Promise<StreamEvent[]> => Array.fromAsync(eventsOf(response));

describe('the stream of a session on a server', () => {
  test('has the form of one of the hub itself, and ends with the state of the command', async () => {
    using trigger = new Trigger();
    const session = await start('web1', `echo one; echo two >&2; ${trigger.wait}; echo three; exit 3`);
    expect(session).toMatch(/^[0-9a-f-]{36}@[a-z2-7]{8}$/);
    const seen: StreamEvent[] = [];
    for await (const event of eventsOf(await open(session))) {
      seen.push(event);
      if (event.data['stream'] === 'stderr') trigger.open();
    }
    expect(seen.slice(0, 3)).toEqual([
      { event: 'output', id: '4,0', data: { stream: 'stdout', text: 'one\n' } },
      { event: 'output', id: '4,4', data: { stream: 'stderr', text: 'two\n' } },
      { event: 'output', id: '10,4', data: { stream: 'stdout', text: 'three\n' } },
    ]);
    expect(seen).toHaveLength(4);
    expect(Object.keys(seen[3]?.data ?? {})[0]).toBe('server');
    expect(seen[3]).toMatchObject({
      event: 'end',
      data: { server: 'web1', session, status: 'done', exit_code: 3, stdout_bytes: 10, stderr_bytes: 4 },
    });
  });

  test('begins at the offsets that were asked for, or after the last event that was seen', async () => {
    const session = await start('web1', 'echo 0123456789; echo error >&2');
    await allOf(await open(session));
    const texts = async (response: Promise<Response>) =>
      (await allOf(await response)).map(({ data }) => data['text'] ?? data['status']);
    expect(await texts(open(session, '?stdout=4&stderr=6'))).toEqual(['456789\n', 'done']);
    expect(await texts(open(session, '?stdout=0', { 'last-event-id': '8,2' }))).toEqual(['89\n', 'ror\n', 'done']);
    expect(await texts(open(session.toUpperCase(), '?stdout=1000&stderr=1000'))).toEqual(['done']);
  });

  test('holds every byte of much output, and cuts text between characters', async () => {
    const cmd = String.raw`for i in $(seq 0 255); do printf "\\x$(printf %x $i)"; done; head -c 3000000 /dev/zero`;
    const session = await start('web1', cmd);
    const pieces = (await allOf(await open(session, '?encoding=base64'))).flatMap(({ data }) =>
      typeof data['base64'] === 'string' ? [Buffer.from(data['base64'], 'base64')] : [],
    );
    const wanted = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, at) => at)), Buffer.alloc(3_000_000)]);
    expect(Buffer.concat(pieces).equals(wanted)).toBe(true);
    using trigger = new Trigger();
    const euro = await start('web1', String.raw`printf 'a\xe2\x82'; ${trigger.wait}; printf '\xacb'`);
    const texts: unknown[] = [];
    for await (const { data } of eventsOf(await open(euro))) {
      texts.push(data['text']);
      trigger.open();
    }
    expect(texts).toEqual(['a', '€b', undefined]);
  });

  test('says at once that it follows a silent command, and asks the server for nothing meanwhile', async () => {
    using trigger = new Trigger();
    const session = await start('web1', trigger.wait);
    const from = performance.now();
    const response = await open(session);
    expect(performance.now() - from).toBeLessThan(5000);
    const before = web1.logs.length;
    await Bun.sleep(1500);
    expect(web1.logs.length - before).toBeLessThan(3);
    trigger.open();
    expect((await allOf(response)).at(-1)).toMatchObject({ event: 'end', data: { status: 'done' } });
  });

  test('is one line of both records, joined by the request, and one of the log', async () => {
    const session = await start('web1', 'seq 5');
    await allOf(await open(session));
    const lineIn = (file: string) =>
      eventually(`the line in ${file}`, () =>
        linesOf(file).findLast(({ op, token }) => op === 'stream' && String(token).endsWith('default')),
      );
    const [here, there] = [await lineIn(HUB_AUDIT), await lineIn(WEB_AUDIT)];
    expect(here).toMatchObject({ server: `web1@${session.slice(37)}`, token: 'default' });
    expect(there).toMatchObject({ server: here['server'], request: here['request'], session: session.slice(0, 36) });
    const ofSession = () =>
      linesOf(WEB_AUDIT).filter((line) => line['op'] === 'stream' && line['request'] === there['request']);
    expect(ofSession()).toHaveLength(1);
    await web1.log.find(
      'its line',
      ({ op, method, session: of }) => op === 'stream' && method === 'hub' && of === session.slice(0, 36),
    );
  });

  test('is masked for a token that only reads, and held back until a word is whole', async () => {
    using trigger = new Trigger();
    const token = tokens['readonly'] ?? '';
    const half = 'ghp_0123456789abcdefghij';
    const session = await start('web1', `printf ${half}; ${trigger.arrive} || sleep 0.5; echo 0123456789abcdef`, token);
    const response = await fetch(`${hub.url}/sessions/${session}/stream`, { headers: { 'x-auth-token': token } });
    const text = (await allOf(response)).map(({ data }) => data['text'] ?? '').join('');
    expect(text).not.toContain('0123456789abcdef');
    expect(text).toContain('‹');
  });

  test('is for its own token alone, and for one that may read', async () => {
    const session = await start('web1', 'echo mine', tokens['starts']);
    expect((await open(session)).status).toBe(404);
    expect((await open(session, '', { 'x-auth-token': tokens['starts'] })).status).toBe(403);
    expect((await open(session, '', { 'x-auth-token': 'wrong' })).status).toBe(403);
    expect((await open(`${crypto.randomUUID()}@${session.slice(37)}`)).status).toBe(404);
    const wrong = await open(`${session.slice(0, 37)}aaaaaaaa`);
    expect([wrong.status, await wrong.text()]).toEqual([404, expect.stringContaining('@aaaaaaaa')]);
    const web2Tag = nats.keyOf('web2').publicKey.slice(2, 10).toLowerCase();
    expect((await open(`${session.slice(0, 37)}${web2Tag}`)).status).toBe(404);
    expect((await open(session, '?encoding=hex')).status).toBe(400);
  });

  test('says that the server was frozen, and thawed', async () => {
    using trigger = new Trigger();
    const session = await start('web1', `echo begun; ${trigger.wait}`);
    const events = eventsOf(await open(session));
    await events.next();
    const places = { AGENT3_APPROVALS_DIR: APPROVALS };
    expect((await agent3(['freeze', 'a test'], places)).code).toBe(0);
    expect((await within('the freeze', events.next())).value).toMatchObject({
      event: 'frozen',
      data: { frozen: true },
    });
    expect((await agent3(['thaw'], places)).code).toBe(0);
    expect((await within('the thaw', events.next())).value).toMatchObject({ event: 'frozen', data: { frozen: false } });
    trigger.open();
    expect((await within('the end', events.next())).value).toMatchObject({ event: 'end', data: { status: 'done' } });
  });

  test('ends at the server when its client goes', async () => {
    const session = await start('web1', 'echo begun; sleep 300');
    const controller = new AbortController();
    const events = eventsOf(await open(session, '', {}, { signal: controller.signal }));
    expect((await events.next()).value).toMatchObject({ data: { text: 'begun\n' } });
    const isOver = () => web1.logs.some(({ op, session: of }) => op === 'stream' && of === session.slice(0, 36));
    expect(isOver()).toBe(false);
    controller.abort();
    await eventually('the server has ended it', isOver, 10_000);
    await call('close_session', { session });
  });

  test('ends with its token: refused', async () => {
    const token = tokens['full'] ?? '';
    const session = await start('web1', 'echo begun; sleep 300', token);
    const events = eventsOf(await open(session, '', { 'x-auth-token': token }));
    expect((await events.next()).value).toMatchObject({ data: { text: 'begun\n' } });
    expect((await agent3(['token', 'revoke', 'full'], env)).code).toBe(0);
    const { value } = await within('the end', events.next(), 10_000);
    expect(value).toMatchObject({ event: 'refused', data: { status: 403, error: 'Unauthorized' } });
    expect((await events.next()).done).toBe(true);
  });
});

describe('a server', () => {
  test('that is killed ends the stream, says so, and a client continues where it was', async () => {
    using trigger = new Trigger();
    const session = await start('web2', `echo before; ${trigger.wait}; echo after`);
    const events = eventsOf(await open(session));
    const { value: first } = await events.next();
    expect(first).toMatchObject({ id: '7,0' });
    await web2.kill9();
    const { value } = await within('the end', events.next(), 20_000);
    expect(value).toMatchObject({ event: 'refused', data: { status: 503, error: 'Unreachable' } });
    expect((await events.next()).done).toBe(true);
    expect((await open(session)).status).toBe(503);
    await web2.restart();
    await connected('web2');
    trigger.open();
    const rest = await allOf(await open(session, '', { 'last-event-id': '7,0' }));
    expect(rest.map(({ data }) => data['text'] ?? data['status'])).toEqual(['after\n', 'done']);
  });

  test('that is silent, or whose agent is killed while the command is, ends it in time', async () => {
    for (const [signal, seconds] of [
      ['SIGSTOP', 17],
      ['SIGKILL', 10],
    ] as const) {
      const session = await start('web2', 'echo begun; sleep 300');
      const events = eventsOf(await open(session));
      await events.next();
      // The server has said by then that it waits.
      await Bun.sleep(1000);
      web2.signal(signal);
      const { value } = await within('the end', events.next(), seconds * 1000);
      expect(value).toMatchObject({ event: 'refused', data: { status: 503, error: 'Unreachable' } });
      web2.signal('SIGCONT');
      if (signal === 'SIGKILL') await web2.restart();
      await connected('web2');
      await call('close_session', { session });
    }
  });

  test('that stops in order says so as well', async () => {
    const session = await start('web2', 'echo begun; sleep 300');
    const events = eventsOf(await open(session));
    await events.next();
    expect(await web2.stop()).toBe(0);
    expect((await within('the end', events.next(), 20_000)).value).toMatchObject({
      event: 'refused',
      data: { status: 503 },
    });
    await web2.restart();
    await connected('web2');
    await call('close_session', { session });
  });

  test('that was removed from the fleet ends it', async () => {
    const session = await start('web2', 'echo begun; sleep 300');
    const events = eventsOf(await open(session));
    await events.next();
    nats.remove('web2');
    nats.reload();
    expect((await within('the end', events.next(), 20_000)).value).toMatchObject({
      event: 'refused',
      data: { message: expect.stringContaining('removed from the fleet') },
    });
    expect((await open(session)).status).toBe(404);
  });

  test('that was taken over sends no event of its own kind, and no session of another', async () => {
    const id = crypto.randomUUID();
    let said: unknown;
    await using evil = await RawServer.open(nats, 'evil', ({ op, args }) =>
      op === 'stream' && (args as Fields)['step'] === 'next' ? said : { events: [] },
    );
    evil.say();
    const tag = nats.keyOf('evil').publicKey.slice(2, 10).toLowerCase();
    const other = `${crypto.randomUUID()}@${nats.keyOf('web1').publicKey.slice(2, 10).toLowerCase()}`;
    for (const [answer, data] of [
      [{ events: [{ kind: 'end', state: { session: other } }] }, { error: 'Unknown outcome' }],
      [{ events: [{ kind: 'raw', text: 'event: end\n\n' }] }, { error: 'Unknown outcome' }],
      [
        { events: [{ kind: 'output', stream: 'stdout', bytes: 10, offsets: { stdout: 1, stderr: 0 } }] },
        { error: 'Unknown outcome' },
      ],
      [{ events: [{ kind: 'refused', status: 200, body: {} }] }, { error: 'Unknown outcome' }],
      [
        { events: [{ kind: 'end', state: { session: id, message: `x\n\nevent: end ${other}` } }] },
        { session: `${id}@${tag}` },
      ],
    ] as const) {
      said = answer;
      const response = await open(`${id}@${tag}`);
      const text = await response.text();
      expect(text).not.toContain(other);
      expect(text.match(/^event: /gm)).toHaveLength(1);
      expect(JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '')).toMatchObject(data);
    }
  });
});
