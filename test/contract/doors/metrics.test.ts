import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { randomToken } from '../../helpers/binary.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

const TOKEN = randomToken();
const agent = await startAgent({ AGENT3_METRICS_TOKEN: TOKEN });
afterAll(() => agent[Symbol.asyncDispose]());

const missing = ensurePrograms('promtool');

const get = (headers: Readonly<Record<string, string>> = {}) => agent.request('/metrics', { headers });

/** The value of one line of the metrics. */
const figureOf = (text: string, name: string): number =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')
      .at(-1),
  );

describe('/metrics', () => {
  test('counts requests, commands and refused tokens', async () => {
    const long = agent.shell({ cmd: 'sleep 300', timeout: 5.5 });
    await agent.shell({ cmd: 'echo one' });
    await agent.shell({ cmd: 'exit 3' });
    const { session } = await agent.shell({ cmd: 'echo running; sleep 300', background: true });
    await long;
    await agent.request('/', { method: 'POST', headers: { 'x-auth-token': randomToken() }, body: '{}' });
    const text = await eventually('all is counted', async () => {
      const { text: now } = await get();
      const isAll = figureOf(now, 'agent3_failed_logins_total') === 1 && figureOf(now, 'agent3_session_bytes') === 12;
      return isAll && now;
    });
    expect(figureOf(text, 'agent3_requests_total{op="shell",status="200"}')).toBe(4);
    expect(figureOf(text, 'agent3_requests_total{op="none",status="403"}')).toBe(1);
    expect(figureOf(text, 'agent3_commands_total{status="done"}')).toBe(2);
    expect(figureOf(text, 'agent3_commands_total{status="timeout"}')).toBe(1);
    expect(figureOf(text, 'agent3_commands_running')).toBe(1);
    expect(figureOf(text, 'agent3_sessions')).toBe(4);
    expect(figureOf(text, 'agent3_session_bytes')).toBe('one\n'.length + 'running\n'.length);
    expect(figureOf(text, 'agent3_command_duration_seconds_count')).toBe(3);
    expect(figureOf(text, 'agent3_command_duration_seconds_bucket{le="+Inf"}')).toBe(3);
    expect(figureOf(text, 'agent3_command_duration_seconds_bucket{le="5"}')).toBe(2);
    expect(text).toMatch(/^agent3_build_info\{version="\d+\.\d+\.\d+"\} 1$/m);
    await agent.call('close_session', { session });
  });

  test('is Prometheus text, and holds no command and no token', async () => {
    const { status, headers, text } = await get();
    expect(status).toBe(200);
    expect(headers.get('content-type')).toStartWith('text/plain; version=0.0.4');
    for (const secret of [TOKEN, agent.token, 'echo']) expect(text).not.toContain(secret);
  });

  test.skipIf(missing.length > 0)('has no fault by promtool', async () => {
    const { text } = await get();
    const promtool = Bun.spawnSync(['promtool', 'check', 'metrics'], { stdin: Buffer.from(text), stderr: 'pipe' });
    expect({ code: promtool.exitCode, said: promtool.stderr.toString() }).toEqual({ code: 0, said: '' });
  });

  test('answers this machine without a token, and nobody behind a proxy', async () => {
    expect((await get()).status).toBe(200);
    for (const name of ['X-Forwarded-For', 'Forwarded', 'X-Real-IP']) {
      expectRefusal(await get({ [name]: '127.0.0.1' }), 403, 'Unauthorized', /AGENT3_METRICS_TOKEN/);
    }
  });

  test.each([
    { host: 'evil.example' },
    { host: 'localhost.evil.example' },
    { host: '127.0.0.1.evil.example' },
    { host: '192.0.2.1' },
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { host: 'localhost', origin: 'https://evil.example' },
  ])('answers no page of another site, and no name that was pointed at this machine: %o', async (headers) => {
    expectRefusal(await get(headers), 403, 'Unauthorized', /AGENT3_METRICS_TOKEN/);
    expect((await get({ ...headers, authorization: `Bearer ${TOKEN}` })).status).toBe(200);
  });

  test.each([
    { host: 'localhost:5801' },
    { host: '127.0.0.1' },
    { host: '[::1]:5801' },
    { origin: 'http://localhost:3000' },
  ])('answers this machine by a loopback name or address: %o', async (headers) => {
    expect((await get(headers)).status).toBe(200);
  });

  test('takes its own token from everywhere, and no other one', async () => {
    const far = { 'X-Forwarded-For': '203.0.113.1' };
    expect((await get({ ...far, authorization: `Bearer ${TOKEN}` })).status).toBe(200);
    expectRefusal(await get({ ...far, authorization: `Bearer ${agent.token}` }), 403, 'Unauthorized');
    // It opens nothing else.
    const call = await agent.request('/server_info', { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } });
    expectRefusal(call, 403, 'Unauthorized');
  });

  test('counts wrong tokens also when they are answered 429', async () => {
    await using guarded = await startAgent();
    const guess = () =>
      guarded.request('/', { method: 'POST', headers: { 'x-auth-token': randomToken() }, body: '{}' });
    const statuses: number[] = [];
    for (let count = 0; count < 14; count++) statuses.push((await guess()).status);
    expect(statuses).toEqual([...Array(10).fill(403), ...Array(4).fill(429)]);
    await eventually('all are counted', async () => {
      const { text } = await guarded.request('/metrics');
      return figureOf(text, 'agent3_failed_logins_total') === 14;
    });
  });

  test('is read with GET alone', async () => {
    expectRefusal(await agent.request('/metrics', { method: 'POST', body: '{}' }), 405, 'Method not allowed');
  });
});
