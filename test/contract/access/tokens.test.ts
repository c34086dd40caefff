import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const FILE = directory.join('tokens.json');
const agent = await startAgent({ AGENT3_TOKENS_FILE: FILE, AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const cli = (...argv: string[]) => agent3(['token', ...argv], { AGENT3_TOKENS_FILE: FILE });

/** Makes a token and returns it. */
const create = async (name: string, ...options: string[]): Promise<string> => {
  const { code, stdout } = await cli('create', name, '--profile', 'full', ...options);
  expect(code).toBe(0);
  return stdout.trim();
};

/** Another client each time: many wrong tokens of one would be answered 429. */
let clients = 0;
const anotherAddress = (): string => `198.51.${++clients >> 8}.${clients & 255}`;

const call = (token: string, op: string, args: unknown = {}, headers: Readonly<Record<string, string>> = {}) =>
  agent.request('/', {
    method: 'POST',
    headers: { 'x-auth-token': token, 'x-forwarded-for': anotherAddress(), ...headers },
    body: JSON.stringify({ op, args }),
  });

const statusOf = async (token: string, headers: Readonly<Record<string, string>> = {}): Promise<number> =>
  (await call(token, 'server_info', {}, headers)).status;

const becomes = (token: string, status: number) =>
  eventually(`the token is answered ${status}`, async () => (await statusOf(token)) === status);

describe('a token of the file', () => {
  test('works without a restart, until it is revoked', async () => {
    const token = await create('reports');
    expect(token).toMatch(/^[\w-]{43}$/);
    await becomes(token, 200);
    expect((await cli('revoke', 'reports')).code).toBe(0);
    await becomes(token, 403);
    expect(await statusOf(agent.token)).toBe(200);
  });

  test('is shown once: the file has its hash alone, and is its owner’s', async () => {
    const token = await create('hidden');
    expect(readFileSync(FILE, 'utf8')).not.toContain(token);
    expect(statSync(FILE).mode & 0o777).toBe(0o600);
    expect(existsSync(`${FILE}.new`)).toBe(false);
    const { stdout } = await cli('list', '--json');
    expect(stdout).not.toContain(token);
    expect(stdout).not.toContain('sha256');
    expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ name: 'hidden', expires_at: null, ips: [] }));
    expect((await cli('list')).stdout).toContain('hidden');
  });

  test('is replaced at once with --overlap 0s, and that of the settings is not revoked here', async () => {
    const token = await create('leaked');
    await becomes(token, 200);
    expect((await cli('rotate', 'leaked', '--overlap', '0s')).stderr).toContain('the old token no longer works');
    await becomes(token, 403);
    expect((await cli('rotate', '--help')).stdout).toContain('24h');
    expect((await cli('list')).stdout).toMatch(/^leaked .* since \S+ \S+ UTC /m);
    expect(await cli('revoke', 'default')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('AGENT3_API_TOKEN'),
    });
  });

  test('that was promised time by a rotation keeps it through the next one, unless that ends the old one at once', async () => {
    const first = await create('twice');
    const [second, third] = [await cli('rotate', 'twice', '--overlap', '1h'), await cli('rotate', 'twice')];
    await becomes(third.stdout.trim(), 200);
    for (const token of [first, second.stdout.trim()]) expect(await statusOf(token)).toBe(200);
    const last = (await cli('rotate', 'twice', '--overlap', '0s')).stdout.trim();
    await becomes(last, 200);
    for (const token of [first, second.stdout.trim(), third.stdout.trim()]) await becomes(token, 403);
  });

  test('sees its own sessions alone', async () => {
    const [anna, bert] = [await create('anna'), await create('bert')];
    await becomes(bert, 200);
    const { session } = (await call(anna, 'shell', { cmd: 'echo mine', key: 'same' })).body;
    expect((await call(anna, 'read_session', { session })).body).toMatchObject({ stdout: 'mine\n' });
    for (const token of [bert, agent.token]) {
      expectRefusal(await call(token, 'read_session', { session }), 404, 'Session not found');
      expectRefusal(await call(token, 'kill_session', { session }), 404, 'Session not found');
      expectRefusal(await call(token, 'close_session', { session }), 404, 'Session not found');
      const stream = await agent.request(`/sessions/${session}/stream`, { headers: { 'x-auth-token': token } });
      expectRefusal(stream, 404, 'Session not found');
      expect((await call(token, 'list_sessions', { limit: 100 })).text).not.toContain(session);
    }
    // Keys belong to one token: another token can use the same one.
    expect((await call(bert, 'shell', { cmd: 'echo other', key: 'same' })).body.stdout).toBe('other\n');
  });

  test('does not come into the sessions of an earlier one of its name', async () => {
    const before = await create('again');
    await becomes(before, 200);
    const { session } = (await call(before, 'shell', { cmd: 'echo old' })).body;
    await cli('revoke', 'again');
    const after = await create('again');
    await becomes(after, 200);
    expectRefusal(await call(after, 'read_session', { session }), 404, 'Session not found');
  });

  test('ends when its time is over', async () => {
    const token = await create('short', '--expires', '4s');
    await becomes(token, 200);
    await becomes(token, 403);
  });

  test('is taken from its addresses alone, as a trusted proxy reports them', async () => {
    const token = await create('office', '--ip', '203.0.113.0/24', '--ip', '2001:db8::7');
    await eventually(
      'it works from there',
      async () => (await statusOf(token, { 'x-forwarded-for': `203.0.113.${++clients & 255}` })) === 200,
    );
    expect(await statusOf(token, { 'x-forwarded-for': '2001:db8::7' })).toBe(200);
    expect(await statusOf(token)).toBe(403);
  });

  test('follows a session until it is revoked or ends, and is told so', async () => {
    const revoked = async () => {
      expect((await cli('revoke', 'follower-1')).code).toBe(0);
    };
    const silenced = async () => {
      expect((await cli('revoke', 'follower-3')).code).toBe(0);
      silencedMs = performance.now();
    };
    const expired = () => Promise.resolve();
    let silencedMs = 0;
    const talking = 'while sleep 0.1; do echo on; done';
    for (const [name, options, end, cmd] of [
      ['follower-1', [], revoked, talking],
      ['follower-2', ['--expires', '5s'], expired, talking],
      ['follower-3', [], silenced, 'echo on; sleep 60'],
    ] as const) {
      const token = await create(name, ...options);
      await becomes(token, 200);
      const { session } = (await call(token, 'shell', { cmd, background: true })).body;
      const stream = await fetch(`${agent.url}/sessions/${session}/stream`, { headers: { 'x-auth-token': token } });
      const reading = stream.text();
      await end();
      const events = (await reading).trim().split('\n\n');
      expect(events.some((event) => event.startsWith('event: output'))).toBe(true);
      const [, data = ''] = /^event: refused\ndata: (.*)$/.exec(events.at(-1) ?? '') ?? [];
      expect(JSON.parse(data)).toEqual({
        status: 403,
        error: 'Unauthorized',
        message: expect.stringContaining('This token has ended or was revoked'),
      });
    }
    // 1 s, and as much for a busy machine: it was 10 s and more.
    expect(performance.now() - silencedMs).toBeLessThan(2000);
  });

  test('works next to the new one while it is rotated; the new one has its sessions', async () => {
    const before = await create('turning');
    await becomes(before, 200);
    const { session } = (await call(before, 'shell', { cmd: 'echo kept' })).body;
    const { stdout } = await cli('rotate', 'turning', '--overlap', '4s');
    const after = stdout.trim();
    await becomes(after, 200);
    expect(await statusOf(before)).toBe(200);
    expect((await call(after, 'read_session', { session })).body.stdout).toBe('kept\n');
    await becomes(before, 403);
    expect(await statusOf(after)).toBe(200);
  });

  test('is refused with the same answer as a wrong one and as none', async () => {
    const ended = await create('gone', '--expires', '4s');
    await becomes(ended, 200);
    await becomes(ended, 403);
    const [one, other] = [await call(ended, 'server_info'), await call('x'.repeat(43), 'server_info')];
    expect(one.text).toBe(other.text);
  });
});

describe('the file', () => {
  test('has every token of many that are made at once', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `parallel-${at}`);
    const made = await Promise.all(names.map((name) => create(name)));
    expect(new Set(made).size).toBe(12);
    const { stdout } = await cli('list', '--json');
    const listed = JSON.parse(stdout).map(({ name }: { name: string }) => name);
    expect(names.filter((name) => !listed.includes(name))).toEqual([]);
    await Promise.all(names.map((name) => cli('revoke', name)));
    expect((await cli('list')).stdout).not.toContain('parallel-');
  });

  test('that cannot even be looked at changes nothing, and the log says so', async () => {
    const token = await create('looped');
    await becomes(token, 200);
    renameSync(FILE, `${FILE}.kept`);
    symlinkSync(FILE, FILE);
    const isTold = () => agent.logs.some(({ fault }) => String(fault).includes('ELOOP'));
    await eventually('the agent has looked', async () => {
      expect(await statusOf(token)).toBe(200);
      return isTold();
    });
    renameSync(`${FILE}.kept`, FILE);
    const later = await create('later');
    await becomes(later, 200);
  });

  test('that is damaged while the agent runs changes nothing, and the log says so', async () => {
    const token = await create('steady');
    await becomes(token, 200);
    const text = readFileSync(FILE, 'utf8');
    writeFileSync(FILE, text.slice(0, -20));
    await eventually('the agent has looked', async () => {
      expect(await statusOf(token)).toBe(200);
      return agent.logs.some(({ msg }) => String(msg).startsWith('the file of tokens cannot be used'));
    });
    const { code, stderr } = await cli('create', 'more', '--profile', 'full');
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('is not JSON') });
    writeFileSync(FILE, text);
  });

  test('that is damaged when the agent starts locks nobody out but its tokens, until it is mended', async () => {
    using other = new TemporaryDirectory();
    const path = other.join('tokens.json');
    const { stdout } = await agent3(['token', 'create', 'anna', '--profile', 'full'], { AGENT3_TOKENS_FILE: path });
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, '{"version":1,"tokens":[{"name":"X"}]}');
    await using started = await startAgent({ AGENT3_TOKENS_FILE: path });
    expect((await started.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
    const told = await started.log.find('the file', ({ fault }) => String(fault).includes('is not a file of tokens'));
    expect(told).toMatchObject({
      msg: 'the file of tokens cannot be used: only the token of the settings works',
    });
    const asAnna = async () => {
      const headers = { 'x-auth-token': stdout.trim() };
      return (await started.request('/server_info', { method: 'POST', headers, body: '{}' })).status;
    };
    expect(await asAnna()).toBe(403);
    writeFileSync(path, text);
    expect(await asAnna()).toBe(200);
  });
});

test('what is not there is told: places in the settings at start, a workspace when a token is made for it', async () => {
  using other = new TemporaryDirectory();
  const nowhere = { AGENT3_PROFILES_DIR: '/nope', AGENT3_APPROVALS_DIR: '/nope', AGENT3_TOKENS_FILE: '/nope/x' };
  await using started = await startAgent(nowhere);
  for (const name of Object.keys(nowhere))
    await started.log.find(name, ({ msg }) => String(msg).startsWith(`${name}: `));
  writeFileSync(other.join('ws.toml'), 'extends = "workspace"\ndirectory = "/srv/agent3-nope"');
  const own = { AGENT3_TOKENS_FILE: other.join('tokens.json'), AGENT3_PROFILES_DIR: other.path };
  expect(await agent3(['token', 'create', 'w', '--profile', 'ws'], own)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('its commands cannot run on this machine: '),
  });
});

test('list begins with the token of the settings and its profile, which it never shows', async () => {
  const own = { AGENT3_TOKENS_FILE: FILE, AGENT3_API_TOKEN: 'x'.repeat(32), AGENT3_PROFILE: 'readonly' };
  const { code, stdout } = await agent3(['token', 'list'], own);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^default +readonly +AGENT3_API_TOKEN of the settings\n\S/),
  });
  expect(stdout).not.toContain('xxx');
  expect(JSON.parse((await agent3(['token', 'list', '--json'], own)).stdout)[0]).toEqual({
    name: 'default',
    profile: 'readonly',
    expires_at: null,
    ips: [],
  });
});

describe('what cannot be done is said:', () => {
  const refusals: readonly [argv: string[], code: number, message: RegExp][] = [
    [['create', 'Anna', '--profile', 'full'], 2, /lower-case letters/],
    [['create', 'default', '--profile', 'full'], 2, /AGENT3_API_TOKEN/],
    [
      ['create', 'x'],
      2,
      /--profile is required: it sets what the token may do\. There are: full, readonly; .*AGENT3_PROFILES_DIR/,
    ],
    [['create', 'x', '--profile', 'deploy'], 2, /there is no profile deploy\. There are: full, readonly;/],
    [['create', 'x', '--profile', 'workspace'], 2, /workspace needs a profile of your own/],
    [['create', 'x', '--profile', '\u001b[2J'], 2, /there is no profile \\u\{1b\}\[2J/],
    [['create', 'x', '--expires', 'soon'], 2, /30d/],
    [['create', 'x', '--ip', '10.0.0.0/99'], 2, /not an IP address/],
    [['revoke', 'nobody'], 1, /there is no token nobody/],
    [['rotate', 'nobody'], 1, /agent3 token list/],
    [['create', 'hidden', '--profile', 'full'], 1, /agent3 token rotate hidden/],
  ];
  test.each(refusals)('%j', async (argv, code, message) => {
    const told = await cli(...argv);
    expect(told.code).toBe(code);
    expect(told.stderr).toMatch(message);
    expect(told.stdout).toBe('');
  });

  test('with a directory of profiles, whose names are told', async () => {
    using profiles = new TemporaryDirectory();
    writeFileSync(profiles.join('deploy.toml'), 'extends = "full"');
    const environment = { AGENT3_TOKENS_FILE: FILE, AGENT3_PROFILES_DIR: profiles.path };
    const made = await agent3(['token', 'create', 'deployer', '--profile', 'deploy'], environment);
    expect({ code: made.code, stdout: made.stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^[\w-]{43}\n$/),
    });
    const { code, stderr } = await agent3(['token', 'create', 'other', '--profile', 'deply'], environment);
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('There are: full, readonly, deploy; '),
    });
    expect(stderr).toContain(profiles.path);
    // What is wrong with a file is told, and does not keep from other profiles.
    writeFileSync(profiles.join('faulty.toml'), 'extends = "root"');
    const faulty = await agent3(['token', 'create', 'other', '--profile', 'faulty'], environment);
    expect({ code: faulty.code, stderr: faulty.stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('faulty.toml'),
    });
    expect((await agent3(['token', 'create', 'other', '--profile', 'deploy'], environment)).code).toBe(0);
  });

  test('to rotate a token that has ended, without a new end', async () => {
    const before = await create('ended', '--expires', '4s');
    await becomes(before, 200);
    await becomes(before, 403);
    const { code, stdout, stderr } = await cli('rotate', 'ended');
    expect({ code, stdout, stderr }).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('--expires'),
    });
    const rotated = await cli('rotate', 'ended', '--expires', '1h', '--overlap', '1h');
    expect(rotated).toMatchObject({ code: 0, stderr: expect.stringContaining('the old token no longer works') });
    await becomes(rotated.stdout.trim(), 200);
    expect(await statusOf(before)).toBe(403);
  });

  test('without a file', async () => {
    const { code, stderr } = await agent3(['token', 'list']);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('AGENT3_TOKENS_FILE') });
  });
});
