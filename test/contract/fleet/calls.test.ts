import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import SwaggerParser from '@apidevtools/swagger-parser';
import { Validator } from '@seriousme/openapi-schema-validator';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { TestNats } from '../../helpers/nats.ts';
import { linesOf } from '../../helpers/record.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const PROFILES = directory.join('profiles.d');
const APPROVALS = directory.join('approvals');
const TOKENS = directory.join('tokens.json');
const HUB_AUDIT = directory.join('hub.jsonl');
const WEB_AUDIT = directory.join('web1.jsonl');
mkdirSync(PROFILES);
mkdirSync(APPROVALS, { mode: 0o750 });
writeFileSync(`${PROFILES}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "touch"\n');
writeFileSync(
  `${PROFILES}/runs.toml`,
  'extends = "full"\noperations = ["list_servers", "run_on", "read_run", "shell"]\n',
);

let nats: TestNats;
let hub: Agent;
let web1: Agent;
let readonly: string;
let careful: string;

const env = { AGENT3_PROFILES_DIR: PROFILES, AGENT3_TOKENS_FILE: TOKENS };
const newToken = async (profile: string): Promise<string> =>
  (await agent3(['token', 'create', profile, '--profile', profile], env)).stdout.trim();

beforeAll(async () => {
  nats = await TestNats.start('web1', 'web2');
  [readonly, careful] = [await newToken('readonly'), await newToken('careful')];
  web1 = await startAgent({
    ...nats.serverSettings('web1', 'careful'),
    AGENT3_PROFILES_DIR: PROFILES,
    AGENT3_APPROVALS_DIR: APPROVALS,
    AGENT3_AUDIT_FILE: WEB_AUDIT,
  });
  hub = await startAgent({ ...nats.hubSettings, ...env, AGENT3_AUDIT_FILE: HUB_AUDIT });
  await eventually('web1 is connected', async () => (await serverNamed('web1'))?.['state'] === 'connected');
});
afterAll(async () => {
  await hub?.[Symbol.asyncDispose]();
  await web1?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

type Fields = Readonly<Record<string, unknown>>;

/** Calls a flat route of the hub. */
async function call(operation: string, args: Fields, token = hub.token): Promise<Fields> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify(args) };
  const { status, text } = await hub.request(`/${operation}`, init);
  return { status: undefined, ...(JSON.parse(text) as Fields), http: status };
}

async function serverNamed(name: string, token = hub.token): Promise<Fields | undefined> {
  const { servers } = await call('list_servers', {}, token);
  return (servers as Fields[]).find((one) => one['name'] === name);
}

describe('what a model reads before it calls', () => {
  test('is as short as for one server: the tools, and the document for a GPT', async () => {
    await using client = await McpClient.overHttp(hub);
    expect(client.tools).toHaveLength(17);
    expect(JSON.stringify(client.tools).length).toBeLessThanOrEqual(12_000);
    const document = JSON.parse((await hub.request('/openapi.json')).text);
    expect(JSON.stringify(document).length).toBeLessThanOrEqual(16_000);
    expect((await new Validator().validate(structuredClone(document))).errors).toBeUndefined();
    expect(await SwaggerParser.validate(document)).toBeDefined();
  });

  test('leaves out what a model seldom needs, which every door takes and the page describes', async () => {
    await using client = await McpClient.overHttp(hub);
    const listed = Object.fromEntries(client.tools.map(({ name, inputSchema }) => [name, inputSchema.properties]));
    const [flat, page] = await Promise.all(
      ['', '?door=docs'].map(async (query) => JSON.parse((await hub.request(`/openapi.json${query}`)).text).paths),
    );
    for (const [operation, name] of [
      ['shell', 'rows'],
      ['read_file', 'unit'],
      ['edit_file', 'expected_sha256'],
      ['run_on', 'parallel'],
    ] as const) {
      const inDocument = (paths: typeof page): object =>
        paths[`/${operation}`].post.requestBody.content['application/json'].schema.properties;
      expect(listed[operation]).not.toHaveProperty(name);
      expect(inDocument(flat)).not.toHaveProperty(name);
      expect(inDocument(page)).toHaveProperty(name);
    }
  });

  test('says that a server has to be named, how many are called at once, and how that is stopped', async () => {
    await using client = await McpClient.overHttp(hub);
    const tools = new Map(client.tools.map((tool) => [tool.name, tool]));
    for (const name of ['shell', 'look', 'list_sessions', 'read_file', 'write_file', 'edit_file', 'undo', 'upload'])
      expect([name, tools.get(name)?.inputSchema.required?.[0]]).toEqual([name, 'server']);
    expect(JSON.stringify(tools.get('shell')?.inputSchema.properties?.['server'])).toContain('never guess');
    for (const word of ['several servers', 'read_run', 'batches'])
      expect(tools.get('run_on')?.description).toContain(word);
    expect(JSON.stringify(tools.get('kill_session'))).toContain('of a run');
  });
});

describe('a call', () => {
  test('runs on the server that it names, and the answer says first where that was', async () => {
    const answer = await call('shell', { server: 'web1', cmd: 'echo $PPID' });
    expect(answer).toMatchObject({ server: 'web1', stdout: `${web1.pid}\n`, exit_code: 0 });
    const lean = await hub.request('/shell', {
      method: 'POST',
      headers: { 'x-auth-token': hub.token },
      body: JSON.stringify({ server: 'hub', cmd: 'echo $PPID' }),
    });
    expect(lean.text).toBe(JSON.stringify({ server: 'hub', stdout: `${hub.pid}\n`, exit_code: 0 }));
  });

  test('is not done on another server than it names, where an id says otherwise or nobody knows the argument', async () => {
    const { session } = await call('shell', { server: 'web1', cmd: 'echo mine', background: true });
    expect(await call('read_session', { session, server: 'web1', wait: 20 })).toMatchObject({
      http: 200,
      stdout: 'mine\n',
    });
    const wrong = await call('read_session', { session, server: 'web2' });
    expect(wrong).toMatchObject({ http: 400, message: expect.stringContaining('That is on web1, not on "web2"') });
    const file = directory.join('elsewhere');
    const body = JSON.stringify({ op: 'shell', args: { servers: ['web1'], cmd: `touch ${file}` } });
    const { status, text } = await hub.request('/', { method: 'POST', headers: { 'x-auth-token': hub.token }, body });
    expect([status, text]).toEqual([400, expect.stringContaining('nothing was done')]);
    expect(existsSync(file)).toBe(false);
  });

  test('that is too long for NATS, or nested without end, is refused, and nothing is run', async () => {
    const file = directory.join('too-long');
    const raw = async (junk: string) => {
      const body = `{"server":"web1","cmd":"touch ${file}","junk":${junk}}`;
      const init = { method: 'POST', headers: { 'x-auth-token': hub.token }, body };
      const { status, text } = await hub.request('/shell', init);
      return { status, text };
    };
    const long = await raw(`[${Array(130_000).fill('1e20').join(',')}]`);
    expect(long).toMatchObject({ status: 400, text: expect.stringContaining('Nothing was run') });
    const deep = await raw('['.repeat(100_000) + ']'.repeat(100_000));
    expect(deep).toMatchObject({ status: 400 });
    expect(existsSync(file)).toBe(false);
  });

  test('without a server is refused with the names in the lean doors, and is the hub in POST /', async () => {
    const file = directory.join('guessed');
    expect(await call('shell', { cmd: `touch ${file}` })).toMatchObject({
      http: 400,
      error: 'Invalid args',
      message: expect.stringContaining('server is required, one of hub, web1, web2.'),
    });
    for (const server of ['web3', 'WEB1', '', 7, ['web1']])
      expect((await call('shell', { server, cmd: `touch ${file}` }))['http']).toBe(400);
    expect((await call('upload', { path: file }))['http']).toBe(400);
    expect(existsSync(file)).toBe(false);
    const { body } = await hub.call('shell', { cmd: 'echo $PPID' });
    expect(body.stdout).toBe(`${hub.pid}\n`);
    expect(body).not.toHaveProperty('server');
    expect((await hub.call('shell', { cmd: 'echo $PPID', server: 'web1' })).body.stdout).toBe(`${web1.pid}\n`);
  });

  test('of a session goes where the id says', async () => {
    const started = await call('shell', { server: 'web1', cmd: 'echo here; sleep 60', background: true });
    const session = String(started['session']);
    expect(session).toMatch(/^[0-9a-f-]{36}@[a-z2-7]{8}$/);
    const read = await call('read_session', { session: session.toUpperCase(), wait: 20, until: 'output' });
    expect(read).toMatchObject({ server: 'web1', stdout: 'here\n', status: 'running' });
    expect(await call('kill_session', { session })).toMatchObject({ server: 'web1', http: 200 });
    expect(await call('read_session', { session: session.slice(0, 36) })).toMatchObject({ http: 404 });
    expect(await call('read_session', { session: `${session.slice(0, 37)}aaaaaaaa` })).toMatchObject({ http: 404 });
    const { sessions } = await call('list_sessions', { server: 'web1' });
    expect((sessions as Fields[]).map((one) => one['session'])).toContain(session);
    expect(await call('close_session', { session })).toMatchObject({ server: 'web1', http: 200 });
  });

  test('with a key that was used before runs nothing again', async () => {
    const args = { server: 'web1', cmd: 'date +%N', key: 'once' };
    const first = await call('shell', args);
    expect((await call('shell', args))['stdout']).toBe(first['stdout']);
  });

  test('has files, contexts and what a server refuses, as they are there', async () => {
    const path = directory.join('file');
    await call('write_file', { server: 'web1', path, content: 'text\n' });
    expect(await call('read_file', { server: 'web1', path })).toMatchObject({ server: 'web1', content: 'text\n' });
    expect(await call('read_file', { server: 'web1', path: `${path}.not` })).toMatchObject({
      http: 404,
      message: expect.stringMatching(/^web1: /),
    });
    await call('shell', { server: 'web1', cmd: 'cd /usr', context: 'work' });
    expect(await call('shell', { server: 'web1', cmd: 'pwd', context: 'work' })).toMatchObject({ stdout: '/usr\n' });
    const { tag } = { tag: nats.keyOf('web1').publicKey.slice(2, 10).toLowerCase() };
    expect(await call('close_session', { context: `work@${tag}` })).toMatchObject({ http: 200, server: 'web1' });
  });

  test('to a server that is not there says so at once, and that nothing was run', async () => {
    const from = performance.now();
    expect(await call('shell', { server: 'web2', cmd: 'true' })).toMatchObject({
      http: 503,
      error: 'Unreachable',
      message: expect.stringContaining('Nothing was run: web2 is not connected'),
    });
    expect(performance.now() - from).toBeLessThan(2000);
  });
});

describe('the server', () => {
  test('asks its own person, shows which server it is, and both records have the request', async () => {
    const file = directory.join('approved');
    const waiting = await call('shell', { server: 'web1', cmd: `touch ${file}` });
    expect(waiting).toMatchObject({ server: 'web1', status: 'waiting' });
    const id = String(waiting['session']).slice(0, 36);
    const places = { AGENT3_APPROVALS_DIR: APPROVALS, AGENT3_SESSIONS_DIR: web1.sessionsDir };
    const server = `web1@${String(waiting['session']).slice(37)}`;
    const shown = (await agent3(['approval', 'show', id], places)).stdout;
    expect(shown).toContain(`on the server ${server}`);
    const digest = /digest ([0-9a-f]{64})/.exec(shown)?.[1] ?? '';
    expect(existsSync(file)).toBe(false);
    expect((await agent3(['approval', 'approve', id, '--digest', digest], places)).code).toBe(0);
    expect(await call('read_session', { session: waiting['session'], wait: 20 })).toMatchObject({ exit_code: 0 });
    expect(existsSync(file)).toBe(true);
    const start = await eventually('the start is on record', () =>
      linesOf(WEB_AUDIT).find((line) => line['event'] === 'start' && line['session'] === id),
    );
    expect(start).toMatchObject({ server, token: 'hub/default', address: '127.0.0.1' });
    const asked = linesOf(HUB_AUDIT).find((line) => line['request'] === start['request']);
    expect(asked).toMatchObject({ event: 'operation', server, op: 'shell', token: 'default' });
  });

  test('lets a token of the hub that only reads change nothing, whatever the server allows the hub', async () => {
    const file = directory.join('narrow');
    expect(await call('shell', { server: 'web1', cmd: `echo x > ${file}` }, readonly)).toMatchObject({
      server: 'web1',
    });
    expect(existsSync(file)).toBe(false);
    expect((await serverNamed('web1', readonly))?.['may']).toBe('careful, read-only');
  });

  test('is not called for a token whose profile has rules of the hub', async () => {
    expect(await call('shell', { server: 'web1', cmd: 'true' }, careful)).toMatchObject({
      http: 403,
      error: 'Forbidden',
    });
    expect((await serverNamed('web1', careful))?.['may']).toStartWith('nothing');
  });

  test('is called with what the profile of the token names, of the operations of the fleet as well', async () => {
    const token = await newToken('runs');
    await eventually('the token is known', async () => (await call('list_servers', {}, token))['http'] === 200);
    const run = await call('run_on', { servers: ['web1'], cmd: 'echo here' }, token);
    expect(run).toMatchObject({ status: 'done', groups: [{ servers: ['web1'], stdout: 'here\n' }] });
    expect(await call('read_run', { run: run['run'] }, token)).toMatchObject({ http: 200 });
    expect(await call('read_file', { server: 'web1', path: '/etc/hostname' }, token)).toMatchObject({ http: 403 });
  });

  test('is not heard for a token that was revoked while it worked', async () => {
    using trigger = new Trigger();
    const token = await newToken('full');
    await eventually('the token is known', async () => (await call('list_servers', {}, token))['http'] === 200);
    const answer = call('shell', { server: 'web1', cmd: `${trigger.arrive}; ${trigger.wait}; echo done` }, token);
    const run = call('run_on', { servers: ['web1'], cmd: trigger.wait }, token);
    const waiting = await call('shell', { server: 'web1', cmd: `touch ${directory.join('late')}` }, token);
    expect(waiting['status']).toBe('waiting');
    await trigger.arrived();
    expect((await agent3(['token', 'revoke', 'full'], env)).code).toBe(0);
    await eventually('it is over', async () => (await call('list_servers', {}, token))['http'] === 403);
    trigger.open();
    // By the server, which hears of the end, or by the hub.
    expect(await answer).toMatchObject({ http: 403, message: expect.stringMatching(/answer( of web1)? is withheld/) });
    expect(await run).toMatchObject({ http: 403, message: expect.stringContaining('is withheld') });
    // The server hears of it: what waits there is not run any more, even when it is approved.
    const meta = `${web1.sessionsDir}/${String(waiting['session']).slice(0, 36)}/meta.json`;
    const { decision } = await eventually('it is denied there', () => {
      const record = JSON.parse(readFileSync(meta, 'utf8'));
      return record.status === 'denied' && record;
    });
    expect(decision.reason).toContain('its token has ended');
  });

  test('keeps the sessions of each token of the hub to itself', async () => {
    const { session } = await call('shell', { server: 'web1', cmd: 'echo mine', key: 'mine' });
    expect(await call('read_session', { session })).toMatchObject({ stdout: 'mine\n' });
    expect(await call('read_session', { session }, readonly)).toMatchObject({ http: 404 });
  });
});

test('MCP asks for the server before the command, and its answers name it', async () => {
  const mcp = async (method: string, params: Fields): Promise<Fields> => {
    const { text } = await hub.request('/mcp', {
      method: 'POST',
      headers: { authorization: `Bearer ${hub.token}`, accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    return (JSON.parse(text) as { result: Fields }).result;
  };
  for (const [path, chars] of [
    ['/openapi.json', 19_200],
    ['/openapi.json?door=docs', 80_000],
  ] as const) {
    const document = await hub.request(path);
    expect(document.status).toBe(200);
    expect(document.text).toContain('"/list_servers"');
    expect(document.text.length).toBeLessThanOrEqual(chars);
  }
  const tools = (await mcp('tools/list', {}))['tools'] as { name: string; inputSchema: { required?: string[] } }[];
  expect(JSON.stringify(tools).length).toBeLessThanOrEqual(14_600);
  expect(tools.find(({ name }) => name === 'run_on')?.inputSchema.required).toEqual(['cmd']);
  expect(tools.find(({ name }) => name === 'list_servers')).toBeDefined();
  expect(tools.find(({ name }) => name === 'shell')?.inputSchema.required?.[0]).toBe('server');
  expect(await mcp('tools/call', { name: 'shell', arguments: { server: 'web1', cmd: 'echo hi' } })).toMatchObject({
    content: [{ text: 'hi\n' }, { text: '{"server":"web1"}' }],
  });
  expect(await mcp('tools/call', { name: 'shell', arguments: { cmd: 'echo hi' } })).toMatchObject({ isError: true });
});
