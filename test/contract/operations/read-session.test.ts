import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { within } from '../../helpers/waiting.ts';

const agent = await startAgent();
const hasty = await startAgent({ AGENT3_REPLY_SECONDS: '1' });
afterAll(() => Promise.all([agent[Symbol.asyncDispose](), hasty[Symbol.asyncDispose]()]));

const { session } = await agent.shell({ cmd: 'printf 0123456789; printf abcde >&2; exit 3' });

describe('the answer of read_session', () => {
  test.concurrent('has the fields of shell, and where to read on', async () => {
    expect(await agent.read({ session })).toEqual({
      stdout: '0123456789',
      stderr: 'abcde',
      exit_code: 3,
      session,
      status: 'done',
      duration_ms: expect.any(Number),
      stdout_bytes: 10,
      stderr_bytes: 5,
      truncated: false,
      next_offset: 10,
      eof: true,
    } as never);
  });

  test.concurrent('has no omitted, and no marker line among the bytes', async () => {
    const { session: long } = await agent.shell({ cmd: "head -c 200000 /dev/zero | tr '\\0' a" });
    const answer = await agent.read({ session: long });
    expect(answer).not.toHaveProperty('omitted');
    expect(/^a+$/.test(answer.stdout)).toBe(true);
    expect(answer).toMatchObject({ truncated: true, eof: false, next_offset: answer.stdout.length });
  });
});

describe('offset and limit', () => {
  const slices: [Record<string, number>, string, number, boolean][] = [
    [{ offset: 4 }, '456789', 10, true],
    [{ limit: 4 }, '0123', 4, false],
    [{ offset: 3, limit: 4 }, '3456', 7, false],
    [{ offset: 6, limit: 4 }, '6789', 10, true],
    [{ offset: -3 }, '789', 10, true],
    [{ offset: -3, limit: 2 }, '78', 9, false],
    [{ offset: -100, limit: 2 }, '01', 2, false],
    [{ offset: 10 }, '', 10, true],
    [{ offset: 0, limit: 10_000_000 }, '0123456789', 10, true],
  ];
  test.concurrent.each(slices)('%p give the slice', async (args, stdout, next, eof) => {
    expect(await agent.read({ session, ...args })).toMatchObject({ stdout, next_offset: next, eof });
  });

  test.concurrent('beyond the end give nothing, and eof', async () => {
    expect(await agent.read({ session, offset: 1_000_000 })).toMatchObject({ stdout: '', eof: true, exit_code: 3 });
  });

  test.concurrent('speak of stderr when stream says so', async () => {
    const answer = await agent.read({ session, stream: 'stderr', offset: 1, limit: 2 });
    expect(answer).toMatchObject({ stderr: 'bc', stdout: '0123456789', next_offset: 3, eof: false, truncated: true });
  });
});

describe('the other stream', () => {
  test.concurrent('comes whole where it fits', async () => {
    expect(await agent.read({ session, offset: 8 })).toMatchObject({ stdout: '89', stderr: 'abcde' });
  });

  test.concurrent('comes with its end where it does not', async () => {
    const { session: long } = await agent.shell({ cmd: 'seq 30000 >&2; echo out' });
    const answer = await agent.read({ session: long });
    expect(answer.stdout).toBe('out\n');
    expect(answer.stderr).toEndWith('\n29999\n30000\n');
    expect(Buffer.byteLength(answer.stdout + answer.stderr)).toBeLessThanOrEqual(92_160 + 100);
    expect(answer.truncated).toBe(true);
  });
});

describe('encoding base64', () => {
  test.concurrent('gives the exact bytes', async () => {
    const { session: binary } = await agent.shell({ cmd: String.raw`printf '\xff\x00\xc3\x28'` });
    const answer = await agent.read({ session: binary, encoding: 'base64' });
    expect([...Buffer.from(answer.stdout, 'base64')]).toEqual([0xff, 0, 0xc3, 0x28]);
    expect(answer).toMatchObject({ next_offset: 4, eof: true });
  });

  test.concurrent('cuts anywhere', async () => {
    const { session: emoji } = await agent.shell({ cmd: 'printf 😀' });
    const answer = await agent.read({ session: emoji, encoding: 'base64', offset: 1, limit: 2 });
    expect([...Buffer.from(answer.stdout, 'base64')]).toEqual([0x9f, 0x98]);
    expect(answer).toMatchObject({ next_offset: 3, eof: false });
  });
});

describe('wait', () => {
  /** Reads from `offset` on until there is something: the reply window of this agent, 1 s, may close before. */
  const readPast = async (id: string, offset: number): Promise<Awaited<ReturnType<typeof hasty.read>>> => {
    const answer = await hasty.read({ session: id, offset, wait: 40, until: 'output' });
    return answer.stdout === '' ? readPast(id, offset) : answer;
  };

  test.concurrent('until: output ends when there is something past offset', async () => {
    using trigger = new Trigger();
    const running = await hasty.shell({ cmd: `echo one; ${trigger.wait}; echo two; sleep 30` });
    expect(await readPast(running.session, 0)).toMatchObject({ status: 'running', stdout: 'one\n' });
    trigger.open();
    const answer = await readPast(running.session, 4);
    expect(answer).toMatchObject({ stdout: 'two\n', next_offset: 8, eof: false, status: 'running', exit_code: null });
  });

  test.concurrent('ends when the command has ended', async () => {
    using trigger = new Trigger();
    const { session: waited } = await hasty.shell({ cmd: `${trigger.wait}; exit 7` });
    trigger.open();
    let answer = await hasty.read({ session: waited, wait: 40 });
    while (answer.status === 'running') answer = await hasty.read({ session: waited, wait: 40 });
    expect(answer).toMatchObject({ stdout: '', exit_code: 7, status: 'done', eof: true, next_offset: 0 });
  });

  test.concurrent('goes on until the end, whatever the command writes', async () => {
    using trigger = new Trigger();
    const cmd = `echo one; ${trigger.wait}; echo two; sleep 0.3; echo three; exit 7`;
    const { session: waited } = await agent.shell({ cmd, background: true });
    const answer = agent.read({ session: waited, wait: 40 });
    trigger.open();
    expect(await answer).toMatchObject({ stdout: 'one\ntwo\nthree\n', exit_code: 7, eof: true });
  });

  test.concurrent('ends when the command asks for input', async () => {
    using trigger = new Trigger();
    const cmd = `echo one; ${trigger.wait}; read -p 'name? ' name`;
    const { session: asking } = await agent.shell({ cmd, pty: true, background: true });
    const answer = agent.read({ session: asking, wait: 40 });
    const search = agent.read({ session: asking, wait: 40, match: 'never' });
    trigger.open();
    expect(await answer).toMatchObject({ stdout: 'one\nname? ', status: 'running' });
    expect((await answer).message).toContain('write_session');
    expect(await search).toMatchObject({ matches: [], status: 'running' } as object);
    await agent.call('close_session', { session: asking });
  });

  test.concurrent('with match and until: output looks once when something was written', async () => {
    using trigger = new Trigger();
    const { session: waited } = await agent.shell({ cmd: `${trigger.wait}; echo two; sleep 30`, background: true });
    const answer = agent.read({ session: waited, wait: 40, until: 'output', match: 'never' });
    trigger.open();
    expect(await answer).toMatchObject({ matches: [], status: 'running', next_offset: 4 } as object);
    await agent.call('close_session', { session: waited });
  });

  test.concurrent('is not longer than the reply window', async () => {
    const { session: quiet } = await hasty.shell({ cmd: 'sleep 30' });
    const answer = await within('the answer', hasty.read({ session: quiet, wait: 40 }), 30_000);
    expect(answer).toMatchObject({ stdout: '', status: 'running', eof: false, next_offset: 0, exit_code: null });
  });

  test.concurrent('until: output does not wait where there is something already', async () => {
    const { session: quiet } = await hasty.shell({ cmd: 'echo one; sleep 30' });
    expect((await readPast(quiet, 0)).stdout).toBe('one\n');
    expect((await within('the answer', hasty.read({ session: quiet, wait: 40, until: 'output' }), 30_000)).stdout).toBe(
      'one\n',
    );
  });

  test.concurrent('does not wait for a command that has ended', async () => {
    const answer = await within('the answer', agent.read({ session, offset: 10, wait: 40 }), 30_000);
    expect(answer).toMatchObject({ stdout: '', eof: true });
  });

  test.concurrent('ends when the session is closed', async () => {
    const { session: closing } = await hasty.shell({ cmd: 'sleep 30' });
    const read = hasty.call('read_session', { session: closing, wait: 40 });
    expect((await hasty.call('close_session', { session: closing })).body).toEqual({ status: 'closed' } as never);
    expect([200, 404]).toContain((await within('the answer', read, 30_000)).status);
  });

  test.concurrent.each([0, 0.5, 40])('may be %p', async (wait) => {
    expect((await agent.read({ session, wait })).eof).toBe(true);
  });
});

describe('read_session refuses', () => {
  const invalid: [string, Record<string, unknown>][] = [
    ['offset', { offset: 1.5 }],
    ['offset', { offset: '4.5' }],
    ['offset', { offset: 'end' }],
    ['limit', { limit: 0 }],
    ['limit', { limit: -1 }],
    ['limit', { limit: 2.5 }],
    ['limit', { limit: '0' }],
    ['stream', { stream: 'stdin' }],
    ['stream', { stream: 1 }],
    ['wait', { wait: -1 }],
    ['wait', { wait: 40.5 }],
    ['wait', { wait: 41 }],
    ['wait', { wait: '41' }],
    ['until', { until: 'match' }],
    ['encoding', { encoding: 'utf16' }],
    ['encoding', { encoding: 'UTF8' }],
  ];
  test.concurrent.each(invalid)('a wrong %s: %p', async (field, args) => {
    expectRefusal(await agent.call('read_session', { session, ...args }), 400, 'Invalid args', new RegExp(field));
  });

  const strange = [
    '',
    'x',
    '../../../etc',
    `${session}/..`,
    `${session}x`,
    '00000000-0000-7000-8000-000000000000',
    '\0',
    '\ud800',
  ];
  test.concurrent.each(strange)('an unknown session: %p', async (id) => {
    expectRefusal(await agent.call('read_session', { session: id }), 404, 'Session not found');
    expectRefusal(await agent.call('close_session', { session: id }), 404, 'Session not found');
  });

  test.concurrent('a session that is no string', async () => {
    expectRefusal(await agent.call('read_session', { session: 5 }), 400, 'Invalid args', /session/);
  });
});
