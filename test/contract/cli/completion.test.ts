import { afterAll, describe, expect, test } from 'bun:test';
import { dirname } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { clientEnvironment } from '../../helpers/client.ts';

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
COMP_WORDS=("$name" "$@"); COMP_CWORD=$#; _agent3 '${BINARY}'; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run(['bash', '-c', script, 'bash', 'agent3', ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

describe('bash completes', () => {
  test('subcommands, those of sessions, and no hidden one', async () => {
    expect(await offers('s')).toEqual(['serve', 'sessions']);
    expect((await offers('sessions', '')).sort()).toEqual(['close', 'kill', 'ls', 'read']);
    expect(await offers('match')).toEqual([]);
  });

  test('options, and their values where they are known', async () => {
    expect((await offers('exec', '--t')).sort()).toEqual(['--timeout', '--token-file', '--tty']);
    expect(await offers('sessions', 'ls', '--status', 'r')).toEqual(['running']);
    expect(await offers('sessions', 'kill', '--signal', 'K')).toEqual(['KILL']);
    expect(await offers('exec', '--timeout', '')).toEqual([]);
    expect((await offers('completion', '')).sort()).toEqual(['bash', 'fish', 'zsh']);
  });

  test('ids of sessions', async () => {
    const { session } = await agent.shell({ cmd: 'true' });
    expect(await offers('sessions', 'read', session.slice(0, 20))).toEqual([session]);
  });
});

test('every subcommand and option that --help names is in each script', async () => {
  const help = await Promise.all(['exec', 'install', 'watchdog'].map((name) => agent3([name, '--help'])));
  const options = help.flatMap(({ stdout }) => [...stdout.matchAll(/^ +(?:-\w, )?--([a-z-]+)/gm)].map((one) => one[1]));
  expect(options.length).toBeGreaterThan(20);
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await agent3(['completion', shell]);
    expect(options.filter((option) => !new RegExp(`(--|-l )${option}\\b`).test(stdout))).toEqual([]);
  }
});

const CHECKS: Readonly<Record<string, string>> = { bash: '-n', zsh: '-n', fish: '--no-execute' };
const installed = Object.keys(CHECKS).filter((shell) => Bun.which(shell) !== null);

test.each(installed)('%s finds no mistake in its script', async (shell) => {
  const { code } = await run([
    'bash',
    '-c',
    `'${BINARY}' completion ${shell} > script && ${shell} ${CHECKS[shell]} script`,
  ]);
  expect(code).toBe(0);
});

test('another shell is refused with those there are', async () => {
  const { code, stderr } = await agent3(['completion', 'ksh']);
  expect(code).toBe(2);
  expect(stderr).toContain('bash, zsh, fish');
});
