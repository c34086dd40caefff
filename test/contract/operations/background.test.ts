import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { gone, pidIn, processesWith } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_MAX_EXEC_SECONDS: '2' });
afterAll(() => agent[Symbol.asyncDispose]());

describe('background: true', () => {
  test.concurrent('answers at once, and the command continues beyond the limit of others', async () => {
    const answer = await agent.shell({ cmd: 'echo begun; sleep 3; echo ended; exit 7', background: true });
    expect(answer).toMatchObject({ status: 'running', exit_code: null });
    expect(answer.message).toContain('read_session');
    const { session } = answer;
    const first = await agent.read({ session, wait: 5, until: 'output' });
    expect(first).toMatchObject({ stdout: 'begun\n', status: 'running', eof: false });
    const rest = await agent.read({ session, offset: first.next_offset, wait: 40 });
    expect(rest).toMatchObject({ stdout: 'ended\n', status: 'done', exit_code: 7, eof: true });
  });

  test.concurrent('is stopped at the timeout it was given', async () => {
    const { session } = await agent.shell({ cmd: 'sleep 300', background: true, timeout: 1 });
    await eventually('the end', async () => (await agent.read({ session, wait: 2 })).eof);
    expect(await agent.read({ session })).toMatchObject({ status: 'timeout', exit_code: 124 });
  });

  test.concurrent('can be killed, with its whole tree', async () => {
    const { session } = await agent.shell({ cmd: 'sleep 300 & echo $!; wait', background: true });
    const pid = pidIn((await agent.read({ session, wait: 5, until: 'output' })).stdout);
    expect((await agent.call('kill_session', { session })).body).toMatchObject({ status: 'killed', exit_code: 143 });
    await gone(pid);
  });

  test.concurrent('keeps standard input, environment and directory', async () => {
    const { session } = await agent.shell({
      cmd: 'cat; echo "$A"; pwd; echo "it\'s \\"$0\\""',
      stdin: 'in\n',
      env: { A: 'a b' },
      cwd: '/usr',
      background: true,
    });
    await eventually('the end', async () => (await agent.read({ session, wait: 2 })).eof);
    expect((await agent.read({ session })).stdout).toBe('in\na b\n/usr\nit\'s "/bin/bash"\n');
  });

  test.concurrent('has its exit code in a file that only its user can read', async () => {
    const { session } = await agent.shell({ cmd: 'exit 3', background: true });
    await eventually('the end', async () => (await agent.read({ session })).eof);
    const file = join(agent.sessionsDir, session, 'exit_code');
    expect(readFileSync(file, 'utf8')).toBe('3\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test.concurrent('with a key runs once', async () => {
    const args = { cmd: 'echo x; sleep 1', background: true, key: 'once' };
    const first = await agent.shell(args);
    expect((await agent.shell(args)).session).toBe(first.session);
  });
});

describe('more time', () => {
  test.concurrent('may be asked for in the foreground, up to that of the background', async () => {
    const args = { cmd: 'sleep 3; echo ran', timeout: 120 };
    expect(await agent.shell(args)).toMatchObject({ stdout: 'ran\n', status: 'done' });
    const reply = await agent.call('shell', { cmd: 'true', timeout: 3601 });
    expectRefusal(reply, 400, 'Invalid args', /timeout must be a number up to 3600, not 3601/);
  });

  test.concurrent('than the background has is refused', async () => {
    const reply = await agent.call('shell', { cmd: 'true', timeout: 4000, background: true });
    expectRefusal(reply, 400, 'Invalid args', /up to 3600 in the background, not 4000/);
  });

  test.concurrent('is named when a command was stopped for the lack of it', async () => {
    const answer = await agent.shell({ cmd: 'sleep 60' });
    expect(answer.status).toBe('timeout');
    expect(answer.message).toContain('With background: true it may run up to 3600 s');
  });
});

describe('on_timeout: background', () => {
  test.concurrent('answers at the timeout, and kills nothing', async () => {
    using trigger = new Trigger();
    const cmd = `echo a; ${trigger.wait}; echo b`;
    const answer = await agent.shell({ cmd, timeout: 1.5, on_timeout: 'background' });
    expect(answer).toMatchObject({ status: 'running', stdout: 'a\n' });
    trigger.open();
    const { session } = answer;
    await eventually('the end', async () => (await agent.read({ session, wait: 5 })).eof);
    expect(await agent.read({ session })).toMatchObject({ stdout: 'a\nb\n', status: 'done', exit_code: 0 });
  });

  test.concurrent('changes nothing for a command that ends in time', async () => {
    expect(await agent.shell({ cmd: 'exit 4', on_timeout: 'background' })).toMatchObject({
      status: 'done',
      exit_code: 4,
    });
  });

  test.concurrent('can be the rule of a server, and a call may say otherwise', async () => {
    await using patient = await startAgent({ AGENT3_MAX_EXEC_SECONDS: '1', AGENT3_ON_TIMEOUT: 'background' });
    expect((await patient.shell({ cmd: 'sleep 30' })).status).toBe('running');
    expect((await patient.shell({ cmd: 'sleep 30', on_timeout: 'kill' })).status).toBe('timeout');
  });
});

describe('a server without background', () => {
  test.concurrent('says so', async () => {
    await using strict = await startAgent({ AGENT3_MAX_BACKGROUND_SECONDS: '0', AGENT3_MAX_EXEC_SECONDS: '1' });
    const reply = await strict.call('shell', { cmd: 'true', background: true });
    expectRefusal(reply, 400, 'Invalid args', /background is switched off/);
    expect(reply.headers.get('agent3-code')).toBe('background-off');
    expect((await strict.shell({ cmd: 'sleep 9', on_timeout: 'background' })).status).toBe('timeout');
  });
});

describe('after kill -9 of the agent', () => {
  test('background work continues, ends under the next agent, and its exit code is known', async () => {
    await using mortal = await startAgent();
    using meanwhile = new Trigger();
    using later = new Trigger();
    const { session } = await mortal.shell({ cmd: `${later.wait}; echo done; exit 9`, background: true });
    const short = await mortal.shell({ cmd: `${meanwhile.wait}; exit 8`, background: true });
    await mortal.kill9();
    meanwhile.open();
    await eventually('the end of one', () => processesWith(`AGENT3_SESSION=${short.session}`).length === 0);
    await mortal.restart();
    expect(await mortal.read({ session: short.session })).toMatchObject({ status: 'done', exit_code: 8, eof: true });
    expect((await mortal.read({ session })).status).toBe('running');
    later.open();
    await eventually('the end', async () => (await mortal.read({ session, wait: 3 })).eof);
    expect(await mortal.read({ session })).toMatchObject({ stdout: 'done\n', status: 'done', exit_code: 9 });
  });
});
