import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { randomToken } from '../../helpers/binary.ts';
import { expectRefusal } from '../../helpers/refusals.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const body = JSON.stringify({ op: 'shell', args: { cmd: 'echo in' } });
const post = (headers: Record<string, string>, text = body) =>
  agent.request('/', { method: 'POST', body: text, headers });

describe('the token', () => {
  test('is read from X-Auth-Token', async () => {
    const reply = await post({ 'X-Auth-Token': agent.token });
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: 'in\n' });
  });

  test('is read from Authorization: Bearer', async () => {
    const reply = await post({ Authorization: `Bearer ${agent.token}` });
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: 'in\n' });
  });

  test('is read whatever the case of the scheme', async () => {
    expect((await post({ authorization: `bearer ${agent.token}` })).status).toBe(200);
  });

  test('may not be missing', async () => {
    expectRefusal(await post({}), 403, 'Unauthorized');
  });

  test('may not be another', async () => {
    expectRefusal(await post({ 'x-auth-token': randomToken() }), 403, 'Unauthorized');
    expectRefusal(await post({ authorization: `Bearer ${randomToken()}` }), 403, 'Unauthorized');
  });

  test('may not be a beginning or a continuation of the right one', async () => {
    expectRefusal(await post({ 'x-auth-token': agent.token.slice(0, -1) }), 403, 'Unauthorized');
    expectRefusal(await post({ 'x-auth-token': `${agent.token}0` }), 403, 'Unauthorized');
  });

  test('may not be empty', async () => {
    expectRefusal(await post({ 'x-auth-token': '' }), 403, 'Unauthorized');
    expectRefusal(await post({ authorization: 'Bearer ' }), 403, 'Unauthorized');
  });

  test('is not read from another scheme', async () => {
    expectRefusal(await post({ authorization: agent.token }), 403, 'Unauthorized');
    expectRefusal(await post({ authorization: `Basic ${btoa(`agent:${agent.token}`)}` }), 403, 'Unauthorized');
  });

  test('is not read from the query', async () => {
    expectRefusal(await agent.request(`/?token=${agent.token}`, { method: 'POST', body }), 403, 'Unauthorized');
  });
});

describe('without the token', () => {
  test('a body that is no JSON is not even looked at', async () => {
    expectRefusal(await post({}, 'no json'), 403, 'Unauthorized');
  });

  test('an unknown path does not show that it is unknown', async () => {
    expectRefusal(await agent.request('/unknown'), 403, 'Unauthorized');
  });

  test('no command runs and no session is made', async () => {
    const before = agent.sessionsOnDisk();
    await post({ 'x-auth-token': 'wrong' });
    expect(agent.sessionsOnDisk()).toEqual(before);
  });
});

describe('too many wrong tokens', () => {
  type Guarded = Awaited<ReturnType<typeof startAgent>>;
  /** Guesses until it is answered otherwise than with 403. */
  const guess = async (guarded: Guarded) => {
    const one = () => guarded.request('/', { method: 'POST', body, headers: { 'x-auth-token': randomToken() } });
    let reply = await one();
    for (let guesses = 1; reply.status === 403 && guesses < 500; guesses++) reply = await one();
    return reply;
  };

  test('are answered 429 with Retry-After, and the right one too: no token is looked at', async () => {
    await using guarded = await startAgent();
    const reply = await guess(guarded);
    expectRefusal(reply, 429, 'Too many requests', /wrong tokens/);
    expect(reply.headers.get('agent3-code')).toBe('wrong-tokens');
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expectRefusal(await guarded.call('shell', { cmd: 'true' }), 429, 'Too many requests', /wrong tokens/);
    expect((await guarded.request('/healthz')).status).toBe(200);
  });

  test('do not lock out who sent the right one from the same address before', async () => {
    await using guarded = await startAgent();
    await guarded.shell({ cmd: 'true' });
    expect((await guess(guarded)).status).toBe(429);
    expect((await guarded.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
  });
});
