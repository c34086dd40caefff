import { describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { readMarks } from '../../../src/sessions/timing-marks.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { gone, isAlive, pidIn, processesWith, readProc } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const settings = { AGENT3_REPLY_SECONDS: '1', AGENT3_KILL_GRACE_SECONDS: '1' };

/** Starts a command that is still running when its call is answered. */
async function leaveRunning(agent: Agent, args: Record<string, unknown>): Promise<Answer> {
  const answer = await agent.shell(args);
  expect(answer.status).toBe('running');
  return answer;
}

async function crashAndRestart(agent: Agent, between: () => void | Promise<void> = () => {}): Promise<void> {
  await agent.kill9();
  await between();
  await agent.restart();
}

/** From 6.15 on, Linux reports how a process ended also to one that is not its parent. */
function toldByKernel(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 15);
}

const endOf = (agent: Agent, session: string) =>
  eventually('the command ends', async () => {
    const answer = await agent.read({ session, wait: 1 });
    return answer.status !== 'running' && answer;
  });

function endSoftly(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has ended meanwhile.
  }
}

describe('after kill -9 of the agent and a new start', () => {
  test.concurrent('a session that had ended is as it was', async () => {
    await using agent = await startAgent(settings);
    const { session } = await agent.shell({ cmd: 'echo out; echo err >&2; exit 3' });
    const before = await agent.read({ session });
    await crashAndRestart(agent);
    expect(await agent.read({ session })).toEqual(before);
  });

  test.concurrent('a command that lives is found running, and can be read to its end', async () => {
    await using agent = await startAgent(settings);
    using trigger = new Trigger();
    const { session } = await leaveRunning(agent, { cmd: `echo before; ${trigger.wait}; echo after` });
    await crashAndRestart(agent);
    expect(await agent.read({ session })).toMatchObject({
      status: 'running',
      exit_code: null,
      stdout: 'before\n',
      eof: false,
    });
    trigger.open();
    const end = await endOf(agent, session);
    expect(['done', 'lost']).toContain(end.status);
    expect(await agent.read({ session })).toMatchObject({ stdout: 'before\nafter\n', eof: true });
    const timing = join(agent.sessionsDir, String(session), 'timing');
    await eventually('both agents have kept when it wrote', () => {
      const marks = existsSync(timing) ? readMarks(readFileSync(timing)) : [];
      return marks.at(-1)?.stdout === 'before\nafter\n'.length;
    });
  });

  test.concurrent.each([
    ['exit 7', { status: 'done', exit_code: 7 }],
    ['exec sh -c "exit 9"', { status: 'done', exit_code: 9 }],
    ['kill -KILL $$', { status: 'done', exit_code: 137 }],
  ])('the exit code of a foreground command that lives is known: %s', async (end, expected) => {
    await using agent = await startAgent(settings);
    using trigger = new Trigger();
    const { session } = await leaveRunning(agent, { cmd: `${trigger.wait}; ${end}` });
    await crashAndRestart(agent);
    trigger.open();
    const answer = await endOf(agent, session);
    expect(answer).toMatchObject(toldByKernel() ? expected : { status: 'lost', exit_code: null });
  });

  test.concurrent('the exit code of background work is kept, whatever is told to end with it', async () => {
    await using agent = await startAgent(settings);
    const begin = async () => {
      const { session } = await agent.shell({ cmd: 'echo $$; sleep 300; true', background: true });
      const { stdout } = await agent.read({ session, wait: 5, until: 'output' });
      return { session: String(session), pid: pidIn(stdout) };
    };
    const works = await Promise.all(Array.from({ length: 12 }, begin));
    await agent.kill9();
    // As systemd does: every process of the unit, and again while there are new ones.
    for (const { pid } of works) {
      const keeper = Number(readProc(`${pid}/stat`)?.split(') ')[1]?.split(' ')[1]);
      process.kill(pid, 'SIGTERM');
      while (isAlive(keeper)) {
        const children = readProc(`${keeper}/task/${keeper}/children`) ?? '';
        for (const one of [keeper, ...children.trim().split(' ').map(Number)]) if (one > 1) endSoftly(one);
      }
    }
    await agent.restart();
    for (const { session } of works)
      expect(await endOf(agent, session)).toMatchObject({ status: 'done', exit_code: 143 });
  });

  test.concurrent('a command that lives keeps its execution limit', async () => {
    await using agent = await startAgent(settings);
    const { session, stdout } = await leaveRunning(agent, { cmd: 'echo $$; sleep 300; true', timeout: 8 });
    await crashAndRestart(agent);
    await gone(pidIn(stdout));
    expect(await endOf(agent, session)).toMatchObject({ status: 'timeout', exit_code: 124 });
    expect(processesWith(`AGENT3_SESSION=${session}`)).toEqual([]);
  });

  test.concurrent('a command that is past its limit already is stopped', async () => {
    await using agent = await startAgent(settings);
    const { session, stdout } = await leaveRunning(agent, { cmd: 'echo $$; sleep 300; true', timeout: 8 });
    // The answer came after a second of the eight.
    await crashAndRestart(agent, () => Bun.sleep(7500));
    await gone(pidIn(stdout));
    expect((await endOf(agent, session)).status).toBe('timeout');
  });

  test.concurrent('a command that lives keeps its output limit', async () => {
    await using agent = await startAgent({ ...settings, AGENT3_MAX_SESSION_BYTES: String(8 * 1_048_576) });
    using trigger = new Trigger();
    const { session, stdout } = await leaveRunning(agent, { cmd: `echo $$; ${trigger.wait}; yes; true` });
    await crashAndRestart(agent);
    trigger.open();
    await gone(pidIn(stdout));
    expect((await endOf(agent, session)).status).toBe('output_limit');
  });

  test.concurrent('a command that lives is stopped by close_session, with what left its group', async () => {
    await using agent = await startAgent(settings);
    const cmd = 'echo $$; setsid sleep 300 & echo $!; wait';
    const { session, stdout } = await leaveRunning(agent, { cmd });
    const pids = stdout.trim().split('\n').map(pidIn);
    await crashAndRestart(agent);
    expect(pids.every(isAlive)).toBe(true);
    expect((await agent.call('close_session', { session })).text).toBe('{"status":"closed"}');
    for (const pid of pids) await gone(pid);
  });

  test.concurrent('a process left behind by a command that had ended is stopped by close_session', async () => {
    await using agent = await startAgent(settings);
    const { session } = await agent.shell({ cmd: 'setsid sleep 300 & echo $!' });
    const { stdout } = await agent.read({ session, wait: 10, until: 'output' });
    await crashAndRestart(agent);
    expect(isAlive(pidIn(stdout))).toBe(true);
    await agent.call('close_session', { session });
    await gone(pidIn(stdout));
  });

  test.concurrent('files of a session that a command has made pipes keep no agent from starting', async () => {
    await using agent = await startAgent(settings);
    const own = '$(dirname "$(readlink /proc/$$/fd/1)")';
    const cmd = `cd ${own}; for f in meta.json stdout stderr exit_code start.json; do rm -f $f; mkfifo $f; done; echo made > /dev/null`;
    await agent.call('shell', { cmd });
    await crashAndRestart(agent);
    expect((await agent.shell({ cmd: 'echo well' })).stdout).toBe('well\n');
    expect((await agent.call('list_sessions', {})).status).toBe(200);
  });

  test.concurrent('a command that died between two agents keeps its bytes; its exit code is known while nobody has waited for it', async () => {
    await using agent = await startAgent(settings);
    const { session, stdout } = await leaveRunning(agent, { cmd: 'echo $$; sleep 300; true' });
    await crashAndRestart(agent, async () => {
      process.kill(-pidIn(stdout), 'SIGKILL');
      await gone(pidIn(stdout));
    });
    const answer = await agent.read({ session });
    expect(answer).toMatchObject({ stdout, eof: true });
    expect([
      ['lost', null],
      ['done', 137],
    ]).toContainEqual([answer.status, answer.exit_code] as never);
  });

  test.concurrent('a pid that was handed out again is not mistaken for the command', async () => {
    await using agent = await startAgent(settings);
    await using bystander = Bun.spawn(['sleep', '300']);
    const { session, stdout } = await leaveRunning(agent, { cmd: 'echo $$; sleep 300; true' });
    await crashAndRestart(agent, async () => {
      process.kill(-pidIn(stdout), 'SIGKILL');
      await gone(pidIn(stdout));
      const file = join(agent.sessionsDir, session, 'meta.json');
      const meta = await Bun.file(file).text();
      expect(meta).toContain(`"pid":${pidIn(stdout)},`);
      writeFileSync(file, meta.replace(`"pid":${pidIn(stdout)},`, `"pid":${bystander.pid},`));
    });
    expect((await agent.read({ session })).status).toBe('lost');
    await agent.call('close_session', { session });
    expect(isAlive(bystander.pid)).toBe(true);
    bystander.kill('SIGKILL');
  });

  test.concurrent('a record cut short harms no other session', async () => {
    await using agent = await startAgent(settings);
    const [whole, cut, missing] = [
      await agent.shell({ cmd: 'echo whole' }),
      await agent.shell({ cmd: 'echo cut' }),
      await agent.shell({ cmd: 'echo missing' }),
    ];
    await crashAndRestart(agent, () => {
      writeFileSync(join(agent.sessionsDir, cut.session, 'meta.json'), '{"session":');
      rmSync(join(agent.sessionsDir, missing.session, 'meta.json'));
    });
    expect((await agent.read({ session: whole.session })).stdout).toBe('whole\n');
    // Nobody knows whose they were.
    for (const { session } of [cut, missing])
      expectRefusal(await agent.call('read_session', { session }), 404, 'Session not found');
    expect((await agent.call('list_sessions')).body).toMatchObject({ total: 1 });
    expect((await agent.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
  });

  test.concurrent('commands that live take their places', async () => {
    await using agent = await startAgent({ ...settings, AGENT3_MAX_RUNNING: '1' });
    const { session } = await leaveRunning(agent, { cmd: 'sleep 300' });
    await crashAndRestart(agent);
    expectRefusal(await agent.call('shell', { cmd: 'true' }), 429, 'Too many requests');
    await agent.call('close_session', { session });
    expect((await agent.call('shell', { cmd: 'true' })).status).toBe(200);
  });
});
