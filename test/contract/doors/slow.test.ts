import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { isAlive, pidIn } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

// What takes a minute by nature; all of it at once.

const MINUTE_MS = 60_000;
const MIB = 1_048_576;
const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

/** The sweep comes once a minute, at the full minute by the clock. */
const sweepAway = (mortal: Agent, session: string) =>
  eventually(`session ${session} is swept away`, () => !existsSync(join(mortal.sessionsDir, session)), 75_000);

describe('with the default settings', () => {
  test.concurrent(
    'a command of 60 s is answered running after 40 s of silence',
    async () => {
      const started = performance.now();
      const answer = await agent.shell({ cmd: 'echo so far; sleep 60' });
      const seconds = (performance.now() - started) / 1000;
      expect(answer).toMatchObject({ status: 'running', exit_code: null, stdout: 'so far\n' });
      expect(seconds).toBeGreaterThan(38);
      expect(seconds).toBeLessThan(44);
      const later = await agent.read({ session: answer.session, offset: 7, wait: 30 });
      expect(later).toMatchObject({ status: 'timeout', exit_code: 124, stdout: '', stdout_bytes: 7 });
    },
    2 * MINUTE_MS,
  );

  test.concurrent(
    'read_session waits 40 s in silence',
    async () => {
      using trigger = new Trigger();
      const call = agent.shell({ cmd: `${trigger.arrive}; sleep 44` });
      const session = await trigger.arrived();
      expect(await agent.read({ session, wait: 40 })).toMatchObject({ status: 'running', stdout: '', eof: false });
      expect((await call).status).toBe('running');
    },
    2 * MINUTE_MS,
  );
});

describe('once a minute', () => {
  test.concurrent(
    'sessions that ended longer ago than AGENT3_SESSION_TTL_SECONDS are removed, running ones are not',
    async () => {
      const lasting = { AGENT3_REPLY_SECONDS: '1', AGENT3_MAX_EXEC_SECONDS: '300' };
      await using mortal = await startAgent({ ...lasting, AGENT3_SESSION_TTL_SECONDS: '1' });
      const running = await mortal.shell({ cmd: 'echo $$; sleep 300; true' });
      const ended = await mortal.shell({ cmd: 'echo ended' });
      await sweepAway(mortal, ended.session);
      expectRefusal(await mortal.call('read_session', { session: ended.session }), 404, 'Session not found');
      expect(await mortal.read({ session: running.session })).toMatchObject({
        status: 'running',
        stdout: running.stdout,
      });
      expect(isAlive(pidIn(running.stdout))).toBe(true);
    },
    2 * MINUTE_MS,
  );

  test.concurrent(
    'the oldest ended sessions are removed until AGENT3_MAX_SESSIONS_BYTES are kept',
    async () => {
      const caps = { AGENT3_MAX_SESSIONS_BYTES: String(3.5 * MIB), AGENT3_MAX_SESSION_BYTES: String(2.5 * MIB) };
      await using small = await startAgent({ AGENT3_REPLY_SECONDS: '1', AGENT3_MAX_EXEC_SECONDS: '300', ...caps });
      const write = 'head -c 1M /dev/zero';
      const running = await small.shell({ cmd: `${write}; sleep 300; true` });
      const sessions: string[] = [];
      for (const _ of [1, 2, 3, 4]) sessions.push((await small.shell({ cmd: write })).session);
      const [oldest, older, newer, newest] = sessions;
      await sweepAway(small, older ?? '');
      await sweepAway(small, oldest ?? '');
      for (const session of [newer, newest]) {
        expect((await small.read({ session, limit: 1 })).stdout_bytes).toBe(MIB);
      }
      expect(await small.read({ session: running.session, limit: 1 })).toMatchObject({
        status: 'running',
        stdout_bytes: MIB,
      });
    },
    2 * MINUTE_MS,
  );
});
