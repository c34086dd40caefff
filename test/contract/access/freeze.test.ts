import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { isAlive, pidIn, readProc } from '../../helpers/processes.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const APPROVALS = directory.join('approvals');
const PROFILES = directory.join('profiles.d');
const AUDIT = directory.join('audit.jsonl');
mkdirSync(APPROVALS, { mode: 0o750 });
mkdirSync(PROFILES);
writeFileSync(`${PROFILES}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "touch"\n');
writeFileSync(`${PROFILES}/other.toml`, 'extends = "full"\nuser = "nobody"\n');
const TOKENS = directory.join('tokens.json');
const REASON = 'I look at the backup';
const SECRET = `whsec_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')}`;
const env = { AGENT3_APPROVALS_DIR: APPROVALS };
const isRoot = process.geteuid?.() === 0;

let agent: Agent;
/** A token whose commands need approval. */
let careful: string;
/** One whose files are read by a process of another user. */
let other: string;
let receiver: ReturnType<typeof Bun.serve>;
const told: { type: string; data: Record<string, unknown> }[] = [];

const newToken = async (profile: string): Promise<string> => {
  const places = { AGENT3_PROFILES_DIR: PROFILES, AGENT3_TOKENS_FILE: TOKENS };
  return (await agent3(['token', 'create', profile, '--profile', profile], places)).stdout.trim();
};

beforeAll(async () => {
  receiver = Bun.serve({
    port: 0,
    fetch: async (request) => {
      const body = await request.text();
      told.push(new Webhook(SECRET).verify(body, Object.fromEntries(request.headers)) as (typeof told)[number]);
      return new Response(null, { status: 204 });
    },
  });
  careful = await newToken('careful');
  other = await newToken('other');
  agent = await startAgent({
    ...env,
    AGENT3_PROFILES_DIR: PROFILES,
    AGENT3_TOKENS_FILE: TOKENS,
    AGENT3_AUDIT_FILE: AUDIT,
    AGENT3_NOTIFY_URL: `http://127.0.0.1:${receiver.port}/`,
    AGENT3_NOTIFY_SECRET: SECRET,
    AGENT3_KILL_GRACE_SECONDS: '30',
  });
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await receiver.stop(true);
  directory[Symbol.dispose]();
});

const freeze = async (...reason: string[]): Promise<string> => {
  const { code, stdout, stderr } = await agent3(['freeze', ...reason], env);
  if (code !== 0) throw new Error(stderr);
  return stdout;
};
const thaw = async (): Promise<string> => (await agent3(['thaw'], env)).stdout;
const as = (token: string, op: string, args: unknown) =>
  agent.post(JSON.stringify({ op, args }), { 'x-auth-token': token });
const asCareful = (op: string, args: unknown) => as(careful, op, args);
const approve = async (session: string): Promise<string> => {
  const places = { AGENT3_SESSIONS_DIR: agent.sessionsDir, ...env };
  const shown = (await agent3(['approval', 'show', session], places)).stdout;
  const [, digest = ''] = /digest +(\w+)/.exec(shown) ?? [];
  return (await agent3(['approval', 'approve', session, '--digest', digest], places)).stdout;
};
const stateOf = (pid: number): string | undefined => /^State:\s+(\w)/m.exec(readProc(`${pid}/status`) ?? '')?.[1];
const begin = async (cmd: string, more = {}): Promise<{ session: string; pid: number }> => {
  const { session } = await agent.shell({ cmd: `echo $$; ${cmd}`, background: true, ...more });
  const { stdout } = await agent.read({ session, wait: 20, until: 'output' });
  return { session: String(session), pid: pidIn(String(stdout).split('\n')[0] ?? '') };
};

describe.if(isRoot)('a frozen server', () => {
  test('stops what runs, with all that it started, and lets it continue where it was', async () => {
    const { session, pid } = await begin('setsid sleep 300 & echo $! > left; while :; do echo tick; sleep 0.05; done', {
      cwd: directory.path,
    });
    await eventually('the command ticks', async () => (await agent.read({ session })).stdout.includes('tick'));
    const left = pidIn(readFileSync(directory.join('left'), 'utf8'));
    expect(await freeze(REASON)).toContain('The server is frozen');
    await eventually('both stand still', () => stateOf(pid) === 'T' && stateOf(left) === 'T');
    const { stdout_bytes: size } = await agent.read({ session });
    expect(await agent.read({ session })).toMatchObject({ status: 'running', frozen: true, stdout_bytes: size });
    expect(await thaw()).toContain('everything resumes');
    await eventually('it ticks again', async () => Number((await agent.read({ session })).stdout_bytes) > Number(size));
    await eventually('so does what it started', () => stateOf(left) === 'S');
    expect(await agent.read({ session })).not.toHaveProperty('frozen');
    await agent.call('close_session', { session });
  });

  test('leaves asleep what was stopped before', async () => {
    const { session, pid } = await begin('sleep 300; true');
    await agent.call('kill_session', { session, signal: 'STOP' });
    await eventually('it is stopped', () => stateOf(pid) === 'T');
    const other = await begin('sleep 300; true');
    await freeze();
    await eventually('the other is stopped too', () => stateOf(other.pid) === 'T');
    await thaw();
    await eventually('the other continues', () => stateOf(other.pid) === 'S');
    expect(stateOf(pid)).toBe('T');
    for (const one of [session, other.session]) await agent.call('close_session', { session: one });
  });

  test('begins and changes nothing in any door, and says why', async () => {
    const { session } = await begin('cat', { interactive: true });
    const link = (await agent.call('upload', { path: directory.join('sent') })).body as unknown as { url: string };
    await freeze(REASON);
    const calls: [op: string, args: Record<string, unknown>][] = [
      ['shell', { cmd: 'true' }],
      ['look', { cmd: 'true' }],
      ['write_session', { session, input: 'x\n' }],
      ['write_file', { path: directory.join('x'), content: 'x' }],
      ['edit_file', { path: directory.join('x'), edits: [{ old: 'x', new: 'y' }] }],
      ['undo', {}],
      ['upload', { path: directory.join('x') }],
      ['download', { path: AUDIT }],
    ];
    for (const [op, args] of calls) {
      const refused = { status: 503, body: { error: 'Frozen', message: expect.stringContaining(`(${REASON})`) } };
      expect([op, await agent.call(op, args)]).toMatchObject([op, refused]);
      const init = { method: 'POST', headers: { 'x-auth-token': agent.token }, body: JSON.stringify(args) };
      expect([op, await agent.request(`/${op}`, init)]).toMatchObject([op, refused]);
    }
    const { body: mcp } = await agent.request('/mcp', {
      method: 'POST',
      headers: { 'x-auth-token': agent.token, 'content-type': 'application/json' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'shell', arguments: { cmd: 'true' } },
      }),
    });
    expect(mcp).toMatchObject({ result: { isError: true, content: [{ text: expect.stringContaining(REASON) }] } });
    const put = await fetch(link.url, { method: 'PUT', body: 'x' });
    expect([put.status, await put.json()]).toMatchObject([503, { error: 'Frozen' }]);
    await thaw();
    expect((await fetch(link.url, { method: 'PUT', body: 'x' })).status).toBe(201);
    await agent.call('close_session', { session });
  });

  test('is read from, and says in every answer that it is frozen', async () => {
    const { session } = await begin('sleep 300; true');
    expect((await as(other, 'read_file', { path: '/etc/hostname' })).status).toBe(200);
    await freeze(REASON);
    expect(await agent.read({ session, wait: 40 })).toMatchObject({ status: 'running', frozen: true });
    const { body: list } = await agent.call('list_sessions', { status: 'running' });
    expect(list).toMatchObject({ sessions: [{ session, frozen: true }] });
    expect((await agent.call('server_info')).body).toMatchObject({ frozen: { reason: REASON } });
    expect((await agent.call('read_file', { path: `${PROFILES}/careful.toml` })).status).toBe(200);
    expect(await as(other, 'read_file', { path: '/etc/hostname' })).toMatchObject({
      status: 503,
      body: { error: 'Frozen', message: expect.stringContaining('a separate process') },
    });
    expect((await agent.request('/healthz')).body).toMatchObject({ status: 'ok', frozen: true });
    expect((await agent.request('/metrics')).text).toContain('\nagent3_frozen 1\n');
    await thaw();
    expect((await agent.request('/healthz')).body).not.toHaveProperty('frozen');
    await agent.call('close_session', { session });
  });

  test('says so in the stream of a session', async () => {
    const { session } = await begin('sleep 300; true');
    const stream = await fetch(`${agent.url}/sessions/${session}/stream`, { headers: { 'x-auth-token': agent.token } });
    let shown = '';
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const bytes of stream.body ?? []) shown += decoder.decode(bytes, { stream: true });
    })();
    await eventually('the stream is open', () => shown.includes('event: output'));
    await freeze();
    await eventually('it says frozen', () => shown.includes('event: frozen\ndata: {"frozen":true}\n'));
    await thaw();
    await eventually('it says thawed', () => shown.includes('event: frozen\ndata: {"frozen":false}\n'));
    await agent.call('close_session', { session });
    await reading;
  });

  test('answers at once who waits meanwhile', async () => {
    const running = agent.call('shell', { cmd: 'sleep 300; true', timeout: 600 });
    await eventually('it runs', async () =>
      (await agent.request('/metrics')).text.includes('agent3_commands_running 1'),
    );
    await freeze();
    const { status, body } = await running;
    expect([status, body]).toMatchObject([200, { status: 'running', frozen: true, exit_code: null }]);
    expect(body['message']).not.toContain('restarted');
    await thaw();
    await agent.call('close_session', { session: body['session'] });
  });

  test('ends what is killed and closed, which never runs again', async () => {
    const file = directory.join('woken');
    const killed = await begin(`trap 'touch ${file}' TERM CONT; while :; do sleep 0.1; done`);
    const closed = await begin(`trap 'touch ${file}' TERM CONT; while :; do sleep 0.1; done`);
    await freeze();
    await eventually('both stand still', () => [killed, closed].every(({ pid }) => stateOf(pid) === 'T'));
    const gentle = await agent.call('kill_session', { session: killed.session });
    expect(gentle).toMatchObject({ status: 503, body: { message: expect.stringContaining('only signal KILL') } });
    expect((await agent.call('kill_session', { session: killed.session, signal: 'KILL' })).body).toMatchObject({
      status: 'killed',
      exit_code: 137,
    });
    expect((await agent.call('close_session', { session: closed.session })).status).toBe(200);
    expect([killed, closed].map(({ pid }) => isAlive(pid))).toEqual([false, false]);
    expect(await Bun.file(file).exists()).toBe(false);
    await thaw();
  });

  test('starts after the thaw what was approved meanwhile', async () => {
    const file = directory.join('approved');
    const { session } = (await asCareful('shell', { cmd: `touch ${file}` })).body;
    await freeze();
    expect(await approve(String(session))).toContain('approved: it runs when the server is thawed');
    const read = async () => (await asCareful('read_session', { session, wait: 1 })).body;
    expect(await read()).toMatchObject({ status: 'waiting', frozen: true });
    expect(await Bun.file(file).exists()).toBe(false);
    await thaw();
    await eventually('it ran', async () => (await read()).status === 'done');
    expect(await Bun.file(file).exists()).toBe(true);
  });

  test('takes no approved command up that was taken back meanwhile', async () => {
    const file = directory.join('taken-back');
    const { session } = (await asCareful('shell', { cmd: `touch ${file}` })).body;
    await freeze();
    await approve(String(session));
    expect((await asCareful('kill_session', { session })).body).toMatchObject({ status: 'denied' });
    await thaw();
    expect(await Bun.file(file).exists()).toBe(false);
  });

  test('stays frozen when the agent is restarted or killed, and its commands continue after the thaw', async () => {
    const { session, pid } = await begin('while :; do echo tick; sleep 0.05; done');
    await freeze(REASON);
    await eventually('it is stopped', () => stateOf(pid) === 'T');
    await agent.kill9();
    await agent.restart();
    expect(await agent.read({ session })).toMatchObject({ status: 'running', frozen: true });
    expect(stateOf(pid)).toBe('T');
    expect((await agent.call('shell', { cmd: 'true' })).status).toBe(503);
    const { stdout_bytes: size } = await agent.read({ session });
    await thaw();
    await eventually('it ticks again', async () => Number((await agent.read({ session })).stdout_bytes) > Number(size));
    await agent.call('close_session', { session });
  });

  test('continues when it was thawed while no agent ran', async () => {
    const { session, pid } = await begin('while :; do echo tick; sleep 0.05; done');
    await freeze();
    await eventually('it is stopped', () => stateOf(pid) === 'T');
    await agent.kill9();
    await thaw();
    await agent.restart();
    await eventually('it runs again', () => stateOf(pid) !== 'T');
    await agent.call('close_session', { session });
  });

  test('stands still with its time limits, also through a restart of the agent', async () => {
    // On a busy machine, a freeze may come after the limit: it is tried with a longer one then.
    const frozenBefore = async (timeout: number): Promise<string> => {
      const { session } = await begin('sleep 300; true', { timeout });
      const { duration_ms } = await agent.read({ session });
      await freeze();
      const { status } = await agent.read({ session });
      if (status !== 'running' && timeout < 60) {
        await thaw();
        return frozenBefore(timeout * 4);
      }
      await agent.restart();
      // Past the time limit on every clock.
      await Bun.sleep(Math.max(0, timeout * 1000 + 1000 - duration_ms));
      return session;
    };
    const session = await frozenBefore(3);
    expect(await agent.read({ session })).toMatchObject({ status: 'running', frozen: true });
    await thaw();
    expect(await agent.read({ session })).toMatchObject({ status: 'running' });
    expect(await agent.read({ session, wait: 40 })).toMatchObject({ status: 'timeout', exit_code: 124 });
  });

  test('is on record, with who and why, and the owner is told', async () => {
    await freeze(REASON);
    await agent.call('shell', { cmd: 'echo refused' });
    await thaw();
    await eventually('both are on record', () => {
      const lines = readFileSync(AUDIT, 'utf8')
        .trim()
        .split('\n')
        .slice(-4)
        .map((line) => JSON.parse(line));
      return lines.some(({ what }) => what === 'thawed');
    });
    const lines = readFileSync(AUDIT, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const [frozen, refused, thawed] = lines.slice(-3);
    expect(frozen).toMatchObject({ event: 'agent', what: 'frozen', by: 'root', reason: REASON });
    expect(refused).toMatchObject({
      op: 'shell',
      refused: expect.stringContaining(`Frozen: The owner has frozen this`),
    });
    expect(thawed).toMatchObject({ event: 'agent', what: 'thawed', by: 'root', reason: REASON });
    await eventually('the owner is told', () => told.at(-1)?.type === 'server.thawed');
    expect(told.find(({ type }) => type === 'server.frozen')?.data).toMatchObject({ reason: REASON, by: 'root' });
  });

  test('stays so under its first reason, and a thaw of nothing says so', async () => {
    await freeze(REASON);
    expect(await freeze('another')).toMatch(new RegExp(`already frozen, since \\S+, by root \\(${REASON}\\)`));
    await thaw();
    expect(await thaw()).toBe('The server is not frozen.\n');
  });

  test('takes nobody else for its owner', async () => {
    chmodSync(APPROVALS, 0o777);
    const { code, stderr } = await agent3(['freeze'], env);
    expect([code, stderr]).toEqual([1, expect.stringContaining('users other than root may write to')]);
    writeFileSync(`${APPROVALS}/frozen`, JSON.stringify({ freezes: [{ since: 1, by: 'x', reason: 'x' }] }));
    expect((await agent.call('shell', { cmd: 'true' })).status).toBe(200);
    chmodSync(APPROVALS, 0o750);
    await thaw();
  });
});

test.each(['freeze', 'thaw'])('only root may %s', (verb) => {
  using place = new TemporaryDirectory();
  chmodSync(place.path, 0o755);
  const binary = place.join('agent3');
  copyFileSync(BINARY, binary);
  chmodSync(binary, 0o755);
  const nobody = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  const { exitCode, stderr } = Bun.spawnSync([...nobody, binary, verb], { env: { ...BASE_ENVIRONMENT, ...env } });
  expect([exitCode, stderr.toString()]).toEqual([2, `agent3: only root may do this: sudo agent3 ${verb}\n`]);
});
