import { describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { hasCgroups, TestCgroup } from '../../helpers/cgroups.ts';
import { gone, isAlive, pidIn, readProc } from '../../helpers/processes.ts';
import { eventually } from '../../helpers/waiting.ts';

/** A process that no environment, group, session or parent ties to its command. */
const ESCAPE = `(env -i setsid sh -c 'sleep 300 & echo $!' & wait)`;

/** The cgroup of a test; the suite runs only where there is one. */
function makeCgroup(): TestCgroup {
  const cgroup = TestCgroup.make();
  if (cgroup === undefined) throw new Error('no cgroup could be made');
  return cgroup;
}

test('an agent without a cgroup for its commands says once what that means', async () => {
  await using agent = await startAgent();
  await agent.shell({ cmd: 'true' });
  expect(agent.logs.filter(({ msg }) => String(msg).includes('commands have no cgroup'))).toEqual([
    expect.objectContaining({ level: 'info', msg: expect.stringContaining('AGENT3_CGROUP') }),
  ]);
});

describe.if(hasCgroups())('in a cgroup of its own', () => {
  test('a command runs from its first instruction, and its cgroup goes when it ends', async () => {
    using cgroup = makeCgroup();
    await using agent = await startAgent({ AGENT3_CGROUP: cgroup.path });
    const { stdout, session } = await agent.shell({ cmd: 'cat /proc/self/cgroup' });
    expect(stdout).toEndWith(`/${session}\n`);
    await eventually('the cgroup is removed', () => cgroup.names().length === 0);
  });

  test('a process that clears its environment and forks away is counted, and stopped by close_session', async () => {
    using cgroup = makeCgroup();
    await using agent = await startAgent({ AGENT3_CGROUP: cgroup.path });
    const { stdout, session, message } = await agent.shell({ cmd: ESCAPE });
    const pid = pidIn(stdout);
    expect(readProc(`${pid}/environ`)).not.toContain(session);
    expect(message).toContain('1 process');
    expect((await agent.call('close_session', { session })).status).toBe(200);
    await gone(pid);
    await eventually('the cgroup is removed', () => cgroup.names().length === 0);
  });

  test('such a process is found again by the next agent', async () => {
    using cgroup = makeCgroup();
    await using agent = await startAgent({ AGENT3_CGROUP: cgroup.path });
    const { stdout, session } = await agent.shell({ cmd: ESCAPE });
    await agent.kill9();
    await agent.restart();
    const pid = pidIn(stdout);
    expect(isAlive(pid)).toBe(true);
    expect((await agent.call('close_session', { session })).status).toBe(200);
    await gone(pid);
  });

  test('a command that makes cgroups below its own is stopped with all of them', async () => {
    using cgroup = makeCgroup();
    await using agent = await startAgent({ AGENT3_CGROUP: cgroup.path, AGENT3_KILL_GRACE_SECONDS: '0.2' });
    const own = `${cgroup.path}/$AGENT3_SESSION`;
    const cmd = `mkdir -p ${own}/a/b; env -i setsid sh -c 'trap "" TERM; echo $$ > '${own}'/a/b/cgroup.procs; echo $$; while :; do sleep 1; done' & wait`;
    const { stdout, status } = await agent.shell({ cmd, timeout: 1 });
    expect(status).toBe('timeout');
    await gone(pidIn(stdout));
    await eventually('the cgroups are removed', () => cgroup.names().length === 0);
  });

  test('commands run without one where it is taken away, and the log says so', async () => {
    const cgroup = makeCgroup();
    await using agent = await startAgent({ AGENT3_CGROUP: cgroup.path });
    cgroup[Symbol.dispose]();
    expect(await agent.shell({ cmd: 'echo runs' })).toMatchObject({ stdout: 'runs\n', exit_code: 0 });
    await agent.log.find('warning', ({ msg }) => String(msg).startsWith('no cgroup is available for this command'));
  });
});

test('a cgroup that cannot be used is told at the start, and commands run', async () => {
  await using agent = await startAgent({ AGENT3_CGROUP: join('/sys/fs/cgroup', crypto.randomUUID()) });
  expect(await agent.shell({ cmd: 'echo runs' })).toMatchObject({ stdout: 'runs\n' });
  await agent.log.find('warning', ({ msg }) => String(msg).startsWith('the cgroup cannot be used'));
});
