import { afterAll, describe, expect, test } from 'bun:test';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
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

const script = directory.join('script');
writeFileSync(script, 'echo one >&2\necho two > /dev/stderr\necho three >&2\n');

describe('a command that opens its own stream again is told what to write instead', () => {
  test.each([
    ['echo before >&2; echo data | tee /dev/stderr | wc -c; echo after >&2', 'stderr'],
    ['echo one; cp /etc/hostname /dev/stdout; echo two', 'stdout'],
    ['echo one; dd if=/etc/hostname of=/dev/stdout status=none', 'stdout'],
    [`sh ${script}`, 'stderr'],
    ["echo one; perl -e 'open F, q(>), q(/dev/stdout); print F qq(two\\n)'", 'stdout'],
    ['echo one; echo two > /proc/self/fd/1', 'stdout'],
    ['echo one; (sleep 0.1; echo two > /dev/stdout); true', 'stdout'],
  ])('%s', async (cmd, stream) => {
    for (const way of [{}, { background: true }, { interactive: true }]) {
      const { session } = await agent.shell({ cmd, ...way });
      await eventually('its end', async () => (await agent.read({ session })).status !== 'running');
      const { message } = await agent.read({ session });
      expect(message).toContain(`opened its own ${stream} again`);
      expect(message).toContain('>&1');
    }
    // A follower reads the streams while they are opened.
    const { stderr } = await agent3(['exec', cmd], { AGENT3_URL: agent.url, AGENT3_API_TOKEN: agent.token });
    expect(stderr).toContain(`opened its own ${stream} again`);
  });
});

describe('a command that does not, hears nothing of it', () => {
  test.each([
    'echo one; echo two >&2; echo three >> /dev/stdout; echo four | tee -a /dev/stderr',
    'cat /etc/hostname > /dev/null; ls /dev/fd/ > /dev/null; echo one',
    'exec > >(cat); echo one; echo two >&2',
    'cat < /dev/null; script -qc "echo one > /dev/stdout" /dev/null',
  ])('%s', async (cmd) => {
    for (const way of [{}, { pty: true }]) {
      const { session } = await agent.shell({ cmd, ...way });
      // Reading the stream does not empty it.
      await agent.read({ session, wait: 1 });
      expect((await agent.read({ session })).message ?? '').not.toContain('again');
    }
  });
});

test('nor does one whose output is searched as it ends', async () => {
  const line = `${'a'.repeat(60)}b`;
  const { session } = await agent.shell({
    cmd: `long() { yes ${line} | head -n 5000; }; long; long >&2; read -r go`,
    interactive: true,
  });
  const searching = ['stdout', 'stderr'].map((stream) => agent.read({ session, match: '^(a+)+$', stream }));
  await eventually('both are searched', () => searchesOf(session).length === 2);
  await agent.call('write_session', { session, input: 'go\n' });
  await eventually('its end', async () => (await agent.read({ session })).status === 'done');
  const searches = searchesOf(session);
  expect(searches).toHaveLength(2);
  expect((await agent.read({ session })).message ?? '').not.toContain('again');
  for (const pid of searches) process.kill(pid, 'SIGKILL');
  await Promise.all(searching);
});

/** The processes of the agent that hold a stream of the session open. */
function searchesOf(session: string): number[] {
  const children = Bun.spawnSync(['pgrep', '-P', String(agent.pid), '-f', 'match-lines']).stdout.toString();
  const pids = children.split('\n').filter((pid) => pid !== '');
  return pids.map(Number).filter((pid) => openFilesOf(pid).some((file) => file.includes(session)));
}

function openFilesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    // It has ended, or closed one meanwhile.
    return [];
  }
}

test('agent3 exec shows the new bytes of a stream that was emptied, and says so', async () => {
  const cmd = 'echo aaaaaaaaaa; sleep 1; echo b > /dev/stdout; sleep 1; echo c; sleep 0.5; echo dddddddddddddddd';
  const { stdout, stderr, code } = await agent3(['exec', '-n', cmd], {
    AGENT3_URL: agent.url,
    AGENT3_API_TOKEN: agent.token,
  });
  expect({ stdout, code }).toEqual({ stdout: 'aaaaaaaaaa\nb\nc\ndddddddddddddddd\n', code: 0 });
  expect(stderr).toContain('opened its own stdout again');
});
