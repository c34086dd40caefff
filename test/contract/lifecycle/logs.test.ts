import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY, randomToken } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

/** The log line of the request that made or read this session. */
const requestOf = (session: string, op: string) =>
  agent.log.find(
    `request ${op}`,
    (line) => line['msg'] === 'request' && line['session'] === session && line['op'] === op,
  );

const refusalLine = (status: number) =>
  agent.log.find(`request ${status}`, (line) => line['msg'] === 'request' && line['status'] === status);

describe('the log', () => {
  test('has one line per request, with what happened', async () => {
    const { session } = await agent.shell({ cmd: 'echo hello; exit 3' });
    expect(await requestOf(session, 'shell')).toMatchObject({
      level: 'info',
      msg: 'request',
      op: 'shell',
      session,
      status: 200,
      exit_code: 3,
      request_id: expect.any(String),
      duration_ms: expect.any(Number),
      bytes: expect.any(Number),
      address: '127.0.0.1',
    });
    expect(agent.log.requests('session', session)).toHaveLength(1);
  });

  test('tells the operations apart', async () => {
    const { session } = await agent.shell({ cmd: 'true' });
    await agent.read({ session });
    await agent.call('close_session', { session });
    expect((await requestOf(session, 'read_session'))['status']).toBe(200);
    expect((await requestOf(session, 'close_session'))['status']).toBe(200);
  });

  test('has another request_id in every line', async () => {
    await agent.shell({ cmd: 'true' });
    await agent.shell({ cmd: 'true' });
    const ids = agent.log.requests('op', 'shell').map((line) => line['request_id']);
    expect(ids.length).toBeGreaterThan(1);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('has a line for each refusal too', async () => {
    await agent.request('/', { method: 'POST', body: '{}' });
    await agent.post('no json');
    await agent.request('/unknown', { headers: { 'x-auth-token': agent.token } });
    await agent.request('/', { headers: { 'x-auth-token': agent.token } });
    await agent.post(' '.repeat(2_000_000));
    for (const status of [403, 400, 404, 405, 413]) {
      expect(await refusalLine(status)).toMatchObject({ msg: 'request', address: '127.0.0.1' });
    }
  });

  test('has neither the token, nor output, nor what was sent to a command', async () => {
    const { session } = await agent.shell({
      cmd: 'echo "out$((40+2))put"; echo "err$((40+2))or" >&2; cat',
      stdin: 'stdin-secret',
      env: { SECRET: 'env-secret' },
    });
    await requestOf(session, 'shell');
    for (const secret of [agent.token, 'out42put', 'err42or', 'stdin-secret', 'env-secret']) {
      expect(agent.log.text).not.toContain(secret);
    }
  });

  test('is JSON in every line, with time and level', async () => {
    await agent.shell({ cmd: 'true' });
    const lines = agent.log.text.trimEnd().split('\n');
    expect(agent.logs).toHaveLength(lines.length);
    for (const line of agent.logs) expect(line).toMatchObject({ level: expect.any(String), msg: expect.any(String) });
    for (const line of agent.logs) expect(line).toHaveProperty('time');
  });

  test('cannot be forged by a client', async () => {
    const forged = 'x\n{"level":"info","msg":"forged"}';
    await agent.post(JSON.stringify({ op: forged, args: {} }));
    await agent.call('read_session', { session: forged });
    await agent.shell({ cmd: 'true', key: forged });
    expect(agent.logs.filter((line) => line['msg'] === 'forged')).toEqual([]);
  });

  test('is for people when standard error is a terminal', async () => {
    using directory = new TemporaryDirectory();
    let shown = '';
    const settings = { AGENT3_API_TOKEN: randomToken(), AGENT3_PORT: '0' };
    await using serving = Bun.spawn([BINARY, 'serve'], {
      cwd: directory.path,
      env: { ...BASE_ENVIRONMENT, ...settings },
      terminal: {
        data: (_, bytes) => {
          shown += Buffer.from(bytes).toString();
        },
      },
    });
    await eventually('the agent listens', () => shown.includes('listening'));
    expect(shown).not.toContain('"msg":"listening"');
    serving.kill('SIGTERM');
    expect(await serving.exited).toBe(0);
  });
});

test('a command line that only informs writes no log', async () => {
  expect((await agent3(['--version'])).stderr).toBe('');
});
