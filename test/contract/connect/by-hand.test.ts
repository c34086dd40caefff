import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

const files = new TemporaryDirectory();
let server: SignInAgent;
beforeAll(async () => {
  server = await SignInAgent.start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  files[Symbol.dispose]();
});

const CONNECT = ['connect', '--client', 'other', '--name', 'lost', '--json', '--yes'];

/** The environment of the agent, as a terminal in another directory has it. */
const elsewhere = () => {
  const { AGENT3_SESSIONS_DIR: _, ...settings } = server.settings;
  return settings;
};

describe('of an agent that was started by hand in another directory', () => {
  test.each([
    ['without sessions', () => files.join('empty')],
    [
      'with sessions of an agent that has ended',
      () => {
        mkdirSync(files.join('old/sessions'), { recursive: true });
        Bun.spawnSync(['touch', files.join('old/sessions/.lock')]);
        return files.join('old');
      },
    ],
  ])('agent3 connect makes no code, %s', async (_, place) => {
    const directory = place();
    mkdirSync(directory, { recursive: true });
    const { code, stderr, stdout } = await agent3(CONNECT, elsewhere(), directory);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`no agent uses the sessions directory ${directory}/sessions`);
    expect(stderr).toContain('AGENT3_SESSIONS_DIR');
  });

  test('agent3 token list does not say how a grant stands', async () => {
    await using terminal = server.connect('--name', 'seen', '--client', 'other');
    await terminal.code();
    expect((await server.owner('token', 'list')).stdout).toMatch(/^seen .* waits for its code$/m);
    const { stdout } = await agent3(['token', 'list'], elsewhere(), files.path);
    expect(stdout).toMatch(/^seen .* state unknown: no agent uses .*\/sessions \(AGENT3_SESSIONS_DIR\)$/m);
    expect(stdout).not.toContain('waits for its code');
  });

  test('agent3 approval says in which directory it looks, and what the agent needs', async () => {
    const approvals = { AGENT3_APPROVALS_DIR: files.path };
    const lost = await agent3(['approval', 'list'], approvals);
    expect([lost.code, lost.stderr]).toEqual([2, expect.stringContaining('./sessions does not exist')]);
    mkdirSync(files.join('here/sessions'), { recursive: true });
    const undecided = await agent3(['approval', 'list'], {}, files.join('here'));
    expect([undecided.code, undecided.stderr]).toEqual([2, expect.stringContaining('AGENT3_APPROVALS_DIR is not set')]);
    const found = await agent3(['approval', 'list'], approvals, files.join('here'));
    expect([found.code, found.stderr]).toEqual([0, 'nothing waits for approval\n']);
  });
});

test('agent3 connect does not speak of systemctl to who started the agent by hand', async () => {
  const other = { ...server.settings, AGENT3_GRANT_KEY: 'k'.repeat(40) };
  const { code, stderr } = await agent3(CONNECT, other);
  expect([code, stderr]).toEqual([1, expect.stringContaining('start it with the environment of this command')]);
  expect(stderr).not.toContain('systemctl');
});

test.each([
  ['chatgpt', true],
  ['claude', true],
  ['claude-code', false],
])('agent3 connect says of %s whether it can reach this machine alone', async (client, isOnTheWeb) => {
  let shown = '';
  const child = Bun.spawn([BINARY, 'connect', '--client', client, '--name', `near-${client}`, '--yes'], {
    env: { ...BASE_ENVIRONMENT, ...server.settings },
    stdin: 'ignore',
    stdout: 'pipe',
  });
  const read = (async () => {
    for await (const bytes of child.stdout) shown += Buffer.from(bytes).toString();
  })();
  await eventually('the code', () => shown.includes('Ctrl-C cancels the code'));
  child.kill('SIGINT');
  await read;
  expect(shown.includes('runs on the web and cannot reach')).toBe(isOnTheWeb);
});
