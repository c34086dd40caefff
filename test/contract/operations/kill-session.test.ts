import { afterAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

/** A command runs on after so long, and kill_session has no less to see an end: on a busy machine, one takes over a second. */
const agent = await startAgent({ AGENT3_REPLY_SECONDS: '3' });
afterAll(() => agent[Symbol.asyncDispose]());

/** Starts a command that outlives the reply window, and returns its session. */
const running = async (cmd: string): Promise<string> => {
  const { session, status } = await agent.shell({ cmd });
  expect(status).toBe('running');
  return session;
};
const kill = async (args: Readonly<Record<string, unknown>>) => (await agent.call('kill_session', args)).body;

describe('kill_session', () => {
  test.concurrent('ends the whole tree by SIGTERM, and leaves the output', async () => {
    const session = await running('echo kept; sleep 300 & setsid sleep 300 & sleep 300');
    const answer = await kill({ session });
    expect(answer).toMatchObject({ session, status: 'killed', exit_code: 143 });
    expect((answer as unknown as { signalled: number }).signalled).toBeGreaterThanOrEqual(4);
    expect(await agent.read({ session })).toMatchObject({
      stdout: 'kept\n',
      status: 'killed',
      exit_code: 143,
      eof: true,
    });
  });

  test.concurrent('says when a command ignores the signal, and KILL ends it for sure', async () => {
    const session = await running("trap '' TERM; echo deaf; while :; do sleep 1; done");
    const answer = await kill({ session });
    expect(answer.status).toBe('running');
    expect(answer.message).toContain('signal KILL');
    expect(await kill({ session, signal: 'KILL' })).toMatchObject({ status: 'killed', exit_code: 137 });
  });

  test.concurrent.each(['SIGKILL', 'kill', 9, '9', ' Kill '])('takes %p for KILL', async (signal) => {
    const session = await running('sleep 300');
    expect(await kill({ session, signal })).toMatchObject({ status: 'killed', exit_code: 137 });
  });

  test.concurrent('INT is what Ctrl-C is', async () => {
    const session = await running("trap 'echo interrupted; exit 5' INT; sleep 300 & wait");
    const answer = await kill({ session, signal: 'INT' });
    expect((await agent.read({ session })).stdout).toBe('interrupted\n');
    expect(answer).toMatchObject({ status: 'done', exit_code: 5 });
  });

  test.concurrent('USR1 ends nothing by itself', async () => {
    const session = await running("trap 'echo told' USR1; while :; do sleep 0.1; done");
    expect((await kill({ session, signal: 'USR1' })).status).toBe('running');
    await eventually('the word', async () => (await agent.read({ session })).stdout.includes('told'));
    await kill({ session, signal: 'KILL' });
  });

  test.concurrent.each(['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2'])(
    'a command in the background that takes %s runs on until its own end, and has its own exit code',
    async (signal) => {
      const cmd = `trap 'echo told' ${signal}; echo ready; until [ -e "$0" ]; do sleep 0.05; done; exit 7`;
      using directory = new TemporaryDirectory();
      const file = directory.join('go');
      const { session } = await agent.shell({ cmd: cmd.replace('"$0"', file), background: true });
      await eventually('it is ready', async () => (await agent.read({ session })).stdout.includes('ready'));
      await kill({ session, signal });
      await eventually('the word', async () => (await agent.read({ session })).stdout.includes('told'));
      expect((await agent.read({ session })).status).toBe('running');
      writeFileSync(file, '');
      await eventually('its end', async () => (await agent.read({ session })).status !== 'running');
      expect(await agent.read({ session })).toMatchObject({ status: 'done', exit_code: 7 });
    },
  );

  test.concurrent('a command in the background that takes no signal is killed by it, as one that is waited for', async () => {
    const { session } = await agent.shell({ cmd: 'echo ready; sleep 300', background: true });
    await eventually('it is ready', async () => (await agent.read({ session })).stdout.includes('ready'));
    expect(await kill({ session })).toMatchObject({ status: 'killed', exit_code: 143 });
  });

  test.concurrent('reaches a command that was stopped', async () => {
    const session = await running('sleep 300');
    const stopped = await kill({ session, signal: 'STOP' });
    expect(stopped).toMatchObject({ status: 'running' });
    expect(stopped.message).toBe('The command is stopped: kill_session with signal CONT continues it.');
    expect((await agent.read({ session, wait: 5 })).message).toMatch(/\(SIGSTOP\): kill_session with signal CONT/);
    expect((await kill({ session, signal: 'CONT' })).message).toContain('still runs');
    await kill({ session, signal: 'STOP' });
    expect(await kill({ session })).toMatchObject({ status: 'killed', exit_code: 143 });
  });

  test.concurrent('of what has ended says so', async () => {
    const { session } = await agent.shell({ cmd: 'exit 4' });
    const answer = await kill({ session });
    expect(answer).toMatchObject({ status: 'done', exit_code: 4, signalled: 0 } as object);
    expect(answer.message).toContain('nothing was signalled');
  });

  test.concurrent('ends what a command has left behind', async () => {
    const { session } = await agent.shell({ cmd: 'sleep 300 & echo left' });
    const answer = await kill({ session });
    expect(answer).toMatchObject({ status: 'done', signalled: 1 } as object);
    expect(answer.message).toBeUndefined();
  });

  test.concurrent('refuses what it does not know', async () => {
    const { session } = await agent.shell({ cmd: 'true' });
    expectRefusal(await agent.call('kill_session', { session, signal: 'SEGV' }), 400, 'Invalid args', /signal must be/);
    expectRefusal(await agent.call('kill_session', { session, force: true }), 400, 'Invalid args', /Nothing was done/);
    expectRefusal(await agent.call('kill_session', { session: crypto.randomUUID() }), 404, 'Session not found');
  });
});
