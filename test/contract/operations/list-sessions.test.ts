import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

interface Row {
  readonly session: string;
  readonly status: string;
  readonly cmd: string;
  readonly stdout_bytes: number;
}

interface List {
  readonly sessions: readonly Row[];
  readonly total: number;
  readonly next_before: string | null;
  readonly message?: string;
}

const list = async (args: Readonly<Record<string, unknown>> = {}): Promise<List> => {
  const { status, body } = await agent.call('list_sessions', args);
  expect(status).toBe(200);
  return body as unknown as List;
};

describe('list_sessions', () => {
  test('of a new agent is empty', async () => {
    expect(await list()).toEqual({ sessions: [], total: 0, next_before: null });
  });

  test('tells state, command, start, time, exit code and sizes, the youngest first', async () => {
    const first = await agent.shell({ cmd: 'echo one; exit 3' });
    const second = await agent.shell({ cmd: 'echo two >&2' });
    const { sessions, total } = await list();
    expect(total).toBe(2);
    expect(sessions[0]).toEqual({
      session: second.session,
      status: 'done',
      cmd: 'echo two >&2',
      started_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      duration_ms: expect.any(Number),
      exit_code: 0,
      stdout_bytes: 0,
      stderr_bytes: 4,
    } as unknown as Row);
    expect(sessions[1]).toMatchObject({ session: first.session, exit_code: 3, stdout_bytes: 4 } as unknown as Row);
  });

  test('goes page by page, and misses none', async () => {
    for (let count = 0; count < 5; count++) await agent.shell({ cmd: `echo ${count}` });
    const all = (await list({ limit: 100 })).sessions.map(({ session }) => session);
    const seen: string[] = [];
    let before: string | null | undefined;
    do {
      const page = await list({ limit: 2, ...(before && { before }) });
      seen.push(...page.sessions.map(({ session }) => session));
      before = page.next_before;
    } while (before !== null);
    expect(seen).toEqual(all);
  });

  test('keeps to a state', async () => {
    using trigger = new Trigger();
    const cmd = `echo begun; ${trigger.wait}`;
    const running = agent.shell({ cmd });
    const { sessions, total } = await eventually('it has begun', async () => {
      const found = await list({ status: 'running' });
      return found.sessions[0]?.stdout_bytes === 6 && found;
    });
    expect({ total, cmd: sessions[0]?.cmd }).toEqual({ total: 1, cmd });
    expect(sessions[0]).toMatchObject({ exit_code: null, stdout_bytes: 6 } as unknown as Row);
    trigger.open();
    await running;
    expect((await list({ status: 'timeout' })).total).toBe(0);
  });

  test('shows the beginning of a long command, and no half of a character', async () => {
    await agent.shell({ cmd: `: ${'x'.repeat(197)}😀${'y'.repeat(50_000)}` });
    const cmd = (await list({ limit: 1 })).sessions[0]?.cmd ?? '';
    expect(cmd).toBe(`: ${'x'.repeat(197)}…`);
  });

  test('fits an answer with a hundred commands of quotes', async () => {
    for (let count = 0; count < 30; count++) await agent.shell({ cmd: `: '${'"'.repeat(500)}'` });
    const { text } = await agent.call('list_sessions', { limit: 100 });
    expect(text.length).toBeLessThan(100_000);
  });

  test('forgets what was closed', async () => {
    const { session } = await agent.shell({ cmd: 'true', key: 'closed soon' });
    await agent.call('close_session', { session });
    expect((await list({ limit: 100 })).sessions.map((row) => row.session)).not.toContain(session);
  });

  test('is in the same order after a restart', async () => {
    const before = await list({ limit: 100 });
    await agent.restart();
    expect(await list({ limit: 100 })).toEqual(before);
  });

  test('names arguments that it does not know, and refuses wrong ones', async () => {
    expect((await list({ page: 2 })).message).toContain('Unknown argument "page".');
    expectRefusal(await agent.call('list_sessions', { limit: 101 }), 400, 'Invalid args', /limit must be/);
    expectRefusal(await agent.call('list_sessions', { status: 'over' }), 400, 'Invalid args', /status must be one of/);
    expect((await list({ before: 'yesterday' })).message).toContain('before is not a session id');
  });
});
