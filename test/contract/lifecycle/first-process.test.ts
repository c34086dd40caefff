import { expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;

test.skipIf(!isRoot)('as the first process of a container, the agent leaves no zombies', async () => {
  // With a /run of its own, as a container has: agents elsewhere keep their views there, by numbers that mean nothing here.
  const own = 'mount -t tmpfs none /run; exec "$@"';
  const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', own, 'sh'];
  await using agent = await startAgent({}, container);
  const zombies = async (): Promise<number> => Number((await agent.shell({ cmd: 'ps -eo stat= | grep -c ^Z' })).stdout);
  const orphans = 'for i in $(seq 20); do (setsid sleep 0.1 &); done';
  const cmds = [orphans, `${orphans}; sleep 0.3; exit 3`, `(${orphans}) & sleep 0.2; kill -9 $$`];
  for (const [index, cmd] of cmds.entries()) {
    const { exit_code } = await agent.shell({ cmd, background: index === 1, pty: index === 1 });
    expect(exit_code).toBe([0, null, 137][index] ?? null);
    expect((await agent.shell({ cmd: 'exit 5' })).exit_code).toBe(5);
  }
  // Those that ended just now are reaped at the second look.
  expect(await eventually('all are reaped', async () => (await zombies()) === 0)).toBe(true);
});
