import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
const directory = new TemporaryDirectory();
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Commands whose shell ends before the processes that write their last output. */
const COMMANDS: readonly [cmd: string, stdout: string][] = [
  [`exec > >(tee -a ${directory.join('log')}) 2>&1; echo hello`, 'hello\n'],
  ['echo hello > >(cat)', 'hello\n'],
  ['echo hello > >(sleep 0.05; cat)', 'hello\n'],
  ['echo hello 2>&1 > >(while read -r line; do echo "[$line]"; done)', '[hello]\n'],
  ['seq 1 3 | tee >(wc -l) > /dev/null', '3\n'],
  ['exec > >(sed s/a/b/ | tee /dev/null); echo abc', 'bbc\n'],
  ['(echo late) &', 'late\n'],
];

/** The last of it comes in time on a machine that is not too busy; what comes later is announced. */
describe.each([{}, { background: true }, { interactive: true }, { pty: true }])('with %j', (way) => {
  test.each(COMMANDS)('the last output of %s is in the answer', async (cmd, stdout) => {
    let inTime = 0;
    await eventually('ten answers have it', async () => {
      const { session } = await agent.shell({ cmd, ...way });
      const answer = await eventually('its end', async () => {
        const now = await agent.read({ session });
        return now.status !== 'running' && now;
      });
      expect(answer).toMatchObject({ status: 'done', exit_code: 0 });
      if (answer.stdout === stdout) return ++inTime === 10;
      // On what was late, its terminal has hung up.
      if (!('pty' in way)) expect(answer.message).toContain('still running');
      return false;
    });
  });
});

test('what a command has left behind that waits for something else is not waited for', async () => {
  for (const cmd of ['sleep 300 & echo up', 'tail -f /etc/hostname > /dev/null & echo up']) {
    const { session, duration_ms, message } = await agent.shell({ cmd });
    expect(message).toContain('1 process');
    // On a quiet machine some milliseconds.
    expect(duration_ms).toBeLessThan(20_000);
    await agent.call('close_session', { session });
  }
});

test('agent3 exec prints it, or says that a process is left which still writes', async () => {
  const remote = { AGENT3_URL: agent.url, AGENT3_API_TOKEN: agent.token };
  await eventually('it comes in time', async () => {
    const { stdout, stderr } = await agent3(['exec', '-n', 'echo hello > >(sleep 0.02; cat)'], remote);
    expect(stdout + stderr).toMatch(/^hello\n$|still running/);
    return stdout === 'hello\n';
  });
  const late = await agent3(['exec', '-n', 'echo hello > >(sleep 2; cat)'], remote);
  expect(late.stdout + late.stderr).toMatch(/^hello\n$|still running/);
});
