import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { gone, isAlive, pidIn } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { readPages } from '../../helpers/streams.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_KILL_GRACE_SECONDS: '1' });
const hasty = await startAgent({
  AGENT3_REPLY_SECONDS: '1',
  AGENT3_MAX_EXEC_SECONDS: '5',
  AGENT3_KILL_GRACE_SECONDS: '1',
});
afterAll(() => Promise.all([agent[Symbol.asyncDispose](), hasty[Symbol.asyncDispose]()]));

const ended = (session: string) =>
  eventually('the command ends', async () => {
    const answer = await hasty.read({ session, wait: 1 });
    return answer.status !== 'running' && answer;
  });

describe('a command that reaches its execution limit', () => {
  test.concurrent('is answered timeout and 124', async () => {
    const answer = await agent.shell({ cmd: 'sleep 300', timeout: 0.5 });
    expect(answer).toMatchObject({ status: 'timeout', exit_code: 124, stdout: '', truncated: false });
    expect(answer.duration_ms).toBeGreaterThanOrEqual(500);
    expect(answer.message).toMatch(/./);
  });

  test.concurrent('keeps what it wrote', async () => {
    const answer = await agent.shell({ cmd: 'echo before; echo err >&2; sleep 300', timeout: 1.5 });
    expect(answer).toMatchObject({ status: 'timeout', stdout: 'before\n', stderr: 'err\n' });
  });

  test.concurrent('keeps what it wrote without a line break, and while it was told to end', async () => {
    const cmd = "trap 'printf after; exit 0' TERM; printf before,; sleep 300 & wait";
    const answer = await agent.shell({ cmd, timeout: 1.5 });
    expect(answer).toMatchObject({ status: 'timeout', exit_code: 124, stdout: 'before,after' });
  });

  test.concurrent('is killed when it ignores SIGTERM', async () => {
    const cmd = "trap '' TERM; echo $$; sleep 300; sleep 300";
    const answer = await within('the answer', agent.shell({ cmd, timeout: 1.5 }));
    expect(answer).toMatchObject({ status: 'timeout', exit_code: 124 });
    expect(isAlive(pidIn(answer.stdout))).toBe(false);
  });

  test.concurrent('stays timeout for read_session', async () => {
    const { session } = await agent.shell({ cmd: 'echo before; sleep 300', timeout: 1.5 });
    expect(await agent.read({ session })).toMatchObject({
      status: 'timeout',
      exit_code: 124,
      eof: true,
      stdout: 'before\n',
    });
  });
});

describe('when the reply window closes', () => {
  test.concurrent('the command is answered running, with what it wrote so far', async () => {
    using trigger = new Trigger();
    const answer = await within('the answer', hasty.shell({ cmd: `echo so far; ${trigger.wait}` }), 30_000);
    expect(answer).toMatchObject({ status: 'running', exit_code: null, stdout: 'so far\n', stdout_bytes: 7 });
    expect(answer.message).toContain('read_session');
    expect(answer.message).toMatch(/will be stopped in [45] s at its limit of 5 s/);
    expect(answer.message).toContain('on_timeout: "background"');
    trigger.open();
  });

  test.concurrent('the command continues to its end', async () => {
    using trigger = new Trigger();
    const { session } = await hasty.shell({ cmd: `echo one; ${trigger.wait}; echo two; exit 9` });
    trigger.open();
    const answer = await ended(session);
    expect(answer).toMatchObject({ status: 'done', exit_code: 9 });
    expect((await hasty.read({ session })).stdout).toBe('one\ntwo\n');
  });

  test.concurrent('the command continues to its execution limit', async () => {
    const { session, status, stdout } = await hasty.shell({ cmd: 'echo $$; sleep 300', timeout: 2 });
    expect(status).toBe('running');
    expect(await ended(session)).toMatchObject({ status: 'timeout', exit_code: 124 });
    await gone(pidIn(stdout));
  });

  test.concurrent('the command continues to the limit of the settings when none was asked for', async () => {
    const { session } = await hasty.shell({ cmd: 'echo $$; sleep 300' });
    expect(await ended(session)).toMatchObject({ status: 'timeout', exit_code: 124 });
  });

  test.concurrent('a long output so far is cut as any other', async () => {
    const { session, stdout_bytes: bytes, omitted, truncated } = await hasty.shell({ cmd: 'seq 50000; sleep 3' });
    expect({ bytes, truncated }).toEqual({ bytes: 288_894, truncated: true });
    expect(omitted?.stdout?.offset).toBeGreaterThan(0);
    const pages = await readPages(hasty, { session, wait: 1 });
    expect(pages.map((page) => page.stdout).join('')).toEndWith('\n49999\n50000\n');
  });

  test.concurrent('a command that is being stopped is not waited for', async () => {
    const cmd = "trap '' TERM; sleep 300; sleep 300";
    const answer = await within('the answer', hasty.shell({ cmd, timeout: 0.9 }), 30_000);
    expect(['running', 'timeout']).toContain(answer.status);
    expect(await ended(answer.session)).toMatchObject({ status: 'timeout', exit_code: 124 });
  });
});

describe('a timeout beyond AGENT3_MAX_EXEC_SECONDS', () => {
  test.concurrent('is allowed, up to that of a command in the background', async () => {
    const { session, status, message } = await hasty.shell({ cmd: 'sleep 7; echo late', timeout: 60 });
    expect(status).toBe('running');
    expect(message).toContain('its limit of 60 s');
    expect(await ended(session)).toMatchObject({ status: 'done', stdout: 'late\n' });
    expectRefusal(await hasty.call('shell', { cmd: 'true', timeout: 3601 }), 400, 'Invalid args', /timeout.*3600/);
  });

  test.concurrent('is refused where there is no background', async () => {
    await using strict = await startAgent({ AGENT3_MAX_BACKGROUND_SECONDS: '0', AGENT3_MAX_EXEC_SECONDS: '5' });
    const reply = await strict.call('shell', { cmd: 'true', timeout: 5.1 });
    expectRefusal(reply, 400, 'Invalid args', /timeout must be a number up to 5, not 5\.1/);
    expect((await strict.call('shell', { cmd: 'true', timeout: 5 })).status).toBe(200);
  });
});

describe('more commands at once than AGENT3_MAX_RUNNING', () => {
  test.concurrent('are refused with 429 and Retry-After, and run when there is room again', async () => {
    await using narrow = await startAgent({ AGENT3_MAX_RUNNING: '2' });
    using trigger = new Trigger();
    using other = new Trigger();
    const running = [trigger, other].map(({ arrive, wait }) => narrow.shell({ cmd: `${arrive}; ${wait}; echo ran` }));
    await Promise.all([trigger.arrived(), other.arrived()]);

    const refused = await narrow.call('shell', { cmd: 'echo ran' });
    expectRefusal(refused, 429, 'Too many requests', /2 commands of this token .* kill_session/);
    for (const one of [trigger, other]) expect(refused.body.message).toContain(`${await one.arrived()} (`);
    expect(refused.body.message).toMatch(/Silent for the longest time: [0-9a-f-]{36} \(\d+ s: .+\), [0-9a-f-]{36} /);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(narrow.sessionsOnDisk()).toHaveLength(2);
    expect((await narrow.read({ session: await trigger.arrived() })).status).toBe('running');

    trigger.open();
    other.open();
    for (const answer of await Promise.all(running)) expect(answer.stdout).toBe('ran\n');
    expect((await narrow.shell({ cmd: 'echo ran' })).stdout).toBe('ran\n');
  });
});
