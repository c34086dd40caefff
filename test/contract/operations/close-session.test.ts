import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { gone, isAlive, pidIn } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { within } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_KILL_GRACE_SECONDS: '1' });
const hasty = await startAgent({ AGENT3_REPLY_SECONDS: '1', AGENT3_KILL_GRACE_SECONDS: '1' });
afterAll(() => Promise.all([agent[Symbol.asyncDispose](), hasty[Symbol.asyncDispose]()]));

describe('close_session', () => {
  test.concurrent('is answered with nothing but its status', async () => {
    const { session } = await agent.shell({ cmd: 'true' });
    const reply = await agent.call('close_session', { session });
    expect({ status: reply.status, text: reply.text }).toEqual({ status: 200, text: '{"status":"closed"}' });
  });

  test.concurrent('removes the output from the disk', async () => {
    const { session } = await agent.shell({ cmd: 'echo secret' });
    const output = join(agent.sessionsDir, session, 'stdout');
    expect(existsSync(output)).toBe(true);
    await agent.call('close_session', { session });
    expect(existsSync(output)).toBe(false);
    expect(agent.sessionsOnDisk()).not.toContain(session);
  });

  test.concurrent('leaves a session that nobody knows any more', async () => {
    const { session } = await agent.shell({ cmd: 'true' });
    await agent.call('close_session', { session });
    expectRefusal(await agent.call('read_session', { session }), 404, 'Session not found');
    expectRefusal(await agent.call('close_session', { session }), 404, 'Session not found');
  });

  test.concurrent('leaves other sessions alone', async () => {
    const [kept, closed] = [await agent.shell({ cmd: 'echo kept' }), await agent.shell({ cmd: 'echo closed' })];
    await agent.call('close_session', { session: closed.session });
    expect((await agent.read({ session: kept.session })).stdout).toBe('kept\n');
  });

  test.concurrent('stops the command, and everything it started, before it answers', async () => {
    const cmd = 'echo $$; sleep 300 & echo $!; setsid sleep 300 & echo $!; wait';
    const { session, stdout } = await hasty.shell({ cmd });
    const pids = stdout.trim().split('\n').map(pidIn);
    expect(pids).toHaveLength(3);
    expect(pids.every(isAlive)).toBe(true);
    expect((await hasty.call('close_session', { session })).text).toBe('{"status":"closed"}');
    expect(pids.some(isAlive)).toBe(false);
  });

  test.concurrent('stops a command that ignores SIGTERM', async () => {
    const { session, stdout } = await hasty.shell({ cmd: "trap '' TERM; echo $$; sleep 300; sleep 300" });
    await within('close_session', hasty.call('close_session', { session }));
    await gone(pidIn(stdout));
  });

  test.concurrent('lets the command tidy up', async () => {
    using trigger = new Trigger();
    const { session } = await hasty.shell({ cmd: `trap '${trigger.arrive}; exit' TERM; sleep 300 & wait` });
    await hasty.call('close_session', { session });
    await trigger.arrived();
  });

  test.concurrent('twice at once stops the command once', async () => {
    const { session } = await hasty.shell({ cmd: 'sleep 300' });
    const replies = await Promise.all([1, 2].map(() => hasty.call('close_session', { session })));
    for (const { status } of replies) expect([200, 404]).toContain(status);
    expect(replies.some(({ status }) => status === 200)).toBe(true);
  });

  test.concurrent('wants a session', async () => {
    expectRefusal(await agent.call('close_session', {}), 400, 'Invalid args', /session/);
    expectRefusal(await agent.call('close_session', { session: 5 }), 400, 'Invalid args', /session/);
  });
});

describe('a shell call that waits for the command', () => {
  test.concurrent('is answered killed, with its exit code', async () => {
    using trigger = new Trigger();
    const call = agent.shell({ cmd: `echo before; ${trigger.arrive}; exec sleep 300` });
    const session = await trigger.arrived();
    await agent.call('close_session', { session });
    expect(await within('the answer', call)).toMatchObject({ status: 'killed', exit_code: 143, session });
  });
});
