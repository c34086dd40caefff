import { afterAll, describe, expect, test } from 'bun:test';
import { account } from '../../helpers/account.ts';
import { startAgent } from '../../helpers/agent.ts';
import { readProc } from '../../helpers/processes.ts';

const secrets = { AGENT3_TOKEN: 'second-token-of-the-original', SECRET_OF_THE_OWNER: 'swordfish-of-the-owner' };
const agent = await startAgent(secrets);
afterAll(() => agent[Symbol.asyncDispose]());

/** The environment that the shell of a command was started with, not what bash made of it. */
async function initialEnvironment(args: Record<string, unknown> = {}): Promise<Record<string, string>> {
  const { stdout } = await agent.shell({ cmd: 'cat /proc/$$/environ; true', ...args });
  const entries = stdout.split('\0').filter((entry) => entry !== '');
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}

describe('the environment of a command', () => {
  test('is exactly the clean base environment and its session', async () => {
    expect(await initialEnvironment()).toEqual({
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: account.home,
      USER: account.name,
      LANG: 'C.UTF-8',
      TERM: 'dumb',
      DEBIAN_FRONTEND: 'noninteractive',
      PAGER: 'cat',
      GIT_PAGER: 'cat',
      SYSTEMD_PAGER: 'cat',
      GIT_TERMINAL_PROMPT: '0',
      NO_COLOR: '1',
      PYTHONUNBUFFERED: '1',
      AGENT3_SESSION: expect.stringMatching(/^[0-9a-f-]{36}$/),
    } as never);
  });

  test('names the session of the answer', async () => {
    const answer = await agent.shell({ cmd: 'echo $AGENT3_SESSION' });
    expect(answer.stdout).toBe(`${answer.session}\n`);
  });

  test('has what env adds, and nothing else', async () => {
    const [plain, added] = [await initialEnvironment(), await initialEnvironment({ env: { ADDED: 'x' } })];
    expect(Object.keys(added).sort()).toEqual([...Object.keys(plain), 'ADDED'].sort());
  });

  test('has only the three standard descriptors', async () => {
    const { stdout } = await agent.shell({ cmd: 'ls /proc/$$/fd; true' });
    expect(stdout.split('\n').filter((fd) => /^[0-9]+$/.test(fd))).toEqual(['0', '1', '2']);
  });

  test('has no terminal', async () => {
    expect((await agent.shell({ cmd: 'tty; : < /dev/tty' })).exit_code).not.toBe(0);
  });

  test('has default signals and a plain umask', async () => {
    const { stdout } = await agent.shell({ cmd: 'umask; exec grep -E "^Sig(Ign|Blk)" /proc/self/status' });
    expect(stdout).toContain('SigBlk:\t0000000000000000');
    expect(stdout).toContain('SigIgn:\t0000000000000000');
    expect(stdout).toContain('0022');
  });

  test('leads a session and a process group of its own', async () => {
    const { stdout } = await agent.shell({ cmd: 'ps -o pid=,pgid=,sid= -p $$; true' });
    expect(new Set(stdout.trim().split(/\s+/)).size).toBe(1);
  });
});

describe('the token', () => {
  test('is not in the environment block of the agent', () => {
    expect(readProc(`${agent.pid}/environ`) ?? '').not.toContain(agent.token);
  });

  test('is not in the arguments of the agent', () => {
    expect(readProc(`${agent.pid}/cmdline`)).not.toContain(agent.token);
  });

  test('cannot be found by a command in any process of the machine', async () => {
    const cmd = 'grep -lsa "$(printf %s "$HEAD")$TAIL" /proc/[0-9]*/environ /proc/[0-9]*/cmdline | grep -v "/proc/$$/"';
    const env = { HEAD: agent.token.slice(0, 10), TAIL: agent.token.slice(10) };
    const { stdout } = await agent.shell({ cmd, env });
    expect(stdout.split('\n').filter((path) => path.startsWith(`/proc/${agent.pid}/`))).toEqual([]);
  });

  test('is in no file of the sessions', async () => {
    await agent.shell({ cmd: 'echo ran', key: 'k' });
    const { exitCode } = Bun.spawnSync(['grep', '-rqF', agent.token, agent.sessionsDir]);
    expect(exitCode).toBe(1);
  });

  test('is not in the log', async () => {
    await agent.request('/', { method: 'POST', body: agent.token, headers: { 'x-auth-token': `${agent.token}x` } });
    await agent.shell({ cmd: 'true' });
    expect(agent.log.text).not.toContain(agent.token);
  });
});

describe('AGENT3_SHELL', () => {
  test('runs the commands', async () => {
    await using posix = await startAgent({ AGENT3_SHELL: '/bin/sh' });
    const { stdout } = await posix.shell({ cmd: 'readlink /proc/$$/exe; true' });
    const sh = Bun.spawnSync(['readlink', '-f', '/bin/sh']).stdout.toString();
    expect(stdout).toBe(sh);
  });

  test('is bash where bash is installed', async () => {
    expect((await agent.shell({ cmd: 'readlink /proc/$$/exe; true' })).stdout).toEndWith('/bash\n');
  });
});
