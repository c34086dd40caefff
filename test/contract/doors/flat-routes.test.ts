import { afterAll, describe, expect, test } from 'bun:test';
import { hostname } from 'node:os';
import { startAgent } from '../../helpers/agent.ts';
import { expectRefusal } from '../../helpers/refusals.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const post = (path: string, body?: string) =>
  agent.request(path, {
    method: 'POST',
    headers: { 'x-auth-token': agent.token },
    ...(body !== undefined && { body }),
  });

describe('one route per operation', () => {
  test('takes the arguments as the body, and answers without what says nothing', async () => {
    const flat = await post('/shell', '{"cmd":"echo flat"}');
    expect(flat.status).toBe(200);
    expect(flat.headers.get('content-type')).toBe('application/json');
    expect(flat.text).toBe('{"stdout":"flat\\n","exit_code":0}');
    const kept = await post('/shell', '{"cmd":"echo flat; echo err >&2","key":"kept"}');
    const { session } = kept.body;
    expect(kept.body as object).toEqual({ stdout: 'flat\n', stderr: 'err\n', exit_code: 0, session });
    expect(session).toMatch(/^[0-9a-f-]{36}$/);
    expect((await post('/close_session', JSON.stringify({ session }))).body as object).toEqual({ status: 'closed' });
  });

  test('reads the stream that was asked for, and nothing of the other but its size', async () => {
    const cmd = 'echo out; echo err >&2';
    const { session } = (await post('/shell', JSON.stringify({ cmd, key: 'read' }))).body;
    const read = (args: object) => post('/read_session', JSON.stringify({ session, ...args }));
    expect((await read({})).body as object).toEqual({ stdout: 'out\n', exit_code: 0, session, stderr_bytes: 4 });
    expect((await read({ stream: 'stderr' })).body as object).toEqual({
      stderr: 'err\n',
      exit_code: 0,
      session,
      stdout_bytes: 4,
    });
    expect((await read({ limit: 1 })).body as object).toMatchObject({ stdout: 'o', next_offset: 1, eof: false });
    expect((await read({ match: 'u' })).body as object).toMatchObject({ matches: [{ line: 1, text: 'out' }] });
  });

  test('needs no body where an operation needs no argument', async () => {
    expect((await post('/list_sessions')).status).toBe(200);
    expect((await post('/server_info', '')).status).toBe(200);
    expect((await post('/server_info', '{}')).status).toBe(200);
  });

  test('has the errors of POST /', async () => {
    expectRefusal(await post('/shell', '{}'), 400, 'Missing cmd', /such as "uptime"\.$/);
    expectRefusal(
      await post('/shell', '{"cmd":"true","timeout":5000}'),
      400,
      'Invalid args',
      /Send at most 3600, or split/,
    );
    expectRefusal(await post('/shell', '[]'), 400, 'Invalid args');
    expectRefusal(await post('/shell', '{'), 400, 'Invalid JSON');
    expectRefusal(await post('/no_operation', '{}'), 404, 'Not found');
    expectRefusal(await agent.request('/shell', { method: 'POST', body: '{}' }), 403, 'Unauthorized');
    const get = await agent.request('/shell', { headers: { 'x-auth-token': agent.token } });
    expectRefusal(get, 405, 'Method not allowed');
    expect(get.headers.get('allow')).toBe('POST');
  });
});

describe('server_info', () => {
  test('tells what a model should know, in under 2 KB', async () => {
    const { body, text } = await agent.call('server_info');
    expect(text.length).toBeLessThan(2048);
    expect(body as unknown as object).toMatchObject({
      hostname: hostname(),
      os: expect.stringContaining('Debian'),
      architecture: process.arch,
      shell: '/bin/bash',
      load: [expect.any(Number), expect.any(Number), expect.any(Number)],
      limits: {
        reply_seconds: 40,
        execution_seconds: 45,
        background_seconds: 3600,
        output_bytes: 92_160,
        session_bytes: 1_073_741_824,
      },
    });
    const { stdout } = await agent.shell({
      cmd: "id -un; pwd; awk '/MemTotal/ {print int($2 / 1024 + 0.5)}' /proc/meminfo",
    });
    const info = body as unknown as { user: string; home: string; memory_mib: { total: number; available: number } };
    expect(`${info.user}\n${info.home}\n${info.memory_mib.total}\n`).toBe(stdout);
    expect(info.memory_mib.available).toBeGreaterThan(0);
  });
});
