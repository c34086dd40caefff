import { afterAll, describe, expect, test } from 'bun:test';
import { dirname } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { clientEnvironment } from '../../helpers/client.ts';
import { ensurePrograms } from '../../helpers/debian.ts';

const missing = ensurePrograms('zsh', 'fish');

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

interface ShellRun {
  readonly code: number;
  readonly stdout: string;
}

async function run(command: readonly string[]): Promise<ShellRun> {
  const { PATH = '', ...env } = clientEnvironment(agent);
  const child = Bun.spawn([...command], {
    cwd: agent.directory,
    env: { ...env, PATH: `${dirname(BINARY)}:${PATH}`, HOME: agent.directory },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const [stdout, code] = await Promise.all([child.stdout.text(), child.exited]);
  return { code, stdout };
}

/** What bash offers for the last of these words. */
async function offers(...words: string[]): Promise<string[]> {
  const script = `source <('${BINARY}' completion bash); name=$1; shift
COMP_WORDS=("$name" "$@"); COMP_CWORD=$#; _agent3 '${BINARY}' 2> /dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run(['bash', '-c', script, 'bash', 'agent3', ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

/** What any shell is told for the last of these words, without descriptions. */
async function told(...words: string[]): Promise<string[]> {
  const { stdout } = await run([BINARY, '__complete', '--', ...words]);
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0] ?? '']));
}

describe('bash completes', () => {
  test('subcommands, those of session, and no hidden one', async () => {
    expect(await offers('se')).toEqual(['serve', 'session']);
    expect((await offers('session', '')).sort()).toEqual(['close', 'list', 'read', 'stop']);
    expect(await offers('match')).toEqual([]);
    expect(await offers('__')).toEqual([]);
  });

  test('options, and their values where they are known', async () => {
    expect((await offers('exec', '--t')).sort()).toEqual(['--timeout', '--token-file', '--tty']);
    expect(await offers('session', 'list', '--status', 'r')).toEqual(['running']);
    expect(await offers('session', 'stop', '--signal', 'K')).toEqual(['KILL']);
    expect(await offers('exec', '--timeout', '')).toEqual([]);
    expect((await offers('completion', '')).sort()).toEqual(['bash', 'fish', 'zsh']);
    expect(await offers('token', 'create', 'x', '--profile', 'rea')).toEqual(['readonly']);
    expect(await offers('profile', 'explain', 'fu')).toEqual(['full']);
  });

  test('ids of sessions', async () => {
    const { session } = await agent.shell({ cmd: 'true' });
    expect(await offers('session', 'read', session.slice(0, 20))).toEqual([session]);
    expect(await offers('session', 'read', '--offset', '5', session.slice(0, 20))).toEqual([session]);
    expect(await offers('session', 'close', session, session.slice(0, 20))).toEqual([session]);
    expect(await offers('session', 'read', session, session.slice(0, 20))).toEqual([]);
  });

  test('nothing of the command that exec runs: its options are not those of agent3', async () => {
    expect(await offers('exec', '--timeout', '5', 'tail', '--t')).toEqual([]);
    expect(await offers('exec', '--timeout', '5', '--t')).not.toEqual([]);
  });

  test('files and directories', async () => {
    expect(await told('exec', '--token-file', '')).toEqual(['files']);
    expect(await told('cp', '')).toEqual(['files']);
    expect(await told('install', '--root', '/')).toEqual(['directories']);
    expect(await told('profile', 'check', './')).toEqual(['files']);
    expect(await offers('install', '--root', '/et')).toEqual(['/etc']);
  });
});

test('every option that --help names is offered', async () => {
  for (const name of ['exec', 'install', 'watchdog']) {
    const { stdout } = await agent3([name, '--help']);
    const options = [...stdout.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)].map((one) => one[1] ?? '');
    expect(options.length).toBeGreaterThan(5);
    expect(await told(name, '--')).toEqual(['words', ...options]);
  }
});

const CHECKS: Readonly<Record<string, string>> = { bash: '-n', zsh: '-n', fish: '--no-execute' };

test.skipIf(missing.includes('fish'))('fish completes', async () => {
  const offered = async (line: string): Promise<string[]> => {
    const script = `'${BINARY}' completion fish | source; complete -C '${line}'`;
    const { stdout } = await run(['fish', '--no-config', '-c', script]);
    return stdout.split('\n').flatMap((one) => (one === '' ? [] : [one.split('\t')[0] ?? '']));
  };
  expect(await offered('agent3 se')).toEqual(['serve', 'session']);
  expect(await offered('agent3 session stop --signal K')).toEqual(['KILL']);
  expect(await offered('agent3 exec tail --t')).toEqual([]);
  expect(await offered('agent3 install --root /et')).toEqual(['/etc/']);
});

test.each(Object.keys(CHECKS).filter((shell) => !missing.includes(shell)))(
  '%s finds no mistake in its script',
  async (shell) => {
    const { code } = await run([
      'bash',
      '-c',
      `'${BINARY}' completion ${shell} > script && ${shell} ${CHECKS[shell]} script`,
    ]);
    expect(code).toBe(0);
  },
);

test('another shell is refused with those there are', async () => {
  const { code, stderr } = await agent3(['completion', 'ksh']);
  expect(code).toBe(2);
  expect(stderr).toContain('bash, zsh, fish');
});
