import { describe, expect, test } from 'bun:test';
import { existsSync, writeFileSync } from 'node:fs';
import manifest from '../../../package.json';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

describe('agent3 --version', () => {
  test.concurrent('prints the version and the commit, and ends with 0', async () => {
    const { code, stdout, stderr } = await agent3(['--version']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(manifest.version);
    expect(stdout.trim().split('\n')).toHaveLength(1);
  });
});

describe('agent3 --help', () => {
  test.concurrent.each(['--help', '-h'])('%s names every subcommand, and ends with 0', async (option) => {
    const { code, stdout, stderr } = await agent3([option]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('serve');
    expect(stdout).toContain('token');
    expect(stdout).toContain('mcp');
  });

  test.concurrent.each(['serve', 'token', 'mcp'])('%s --help describes it, and ends with 0', async (subcommand) => {
    const { code, stdout, stderr } = await agent3([subcommand, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`agent3 ${subcommand}`);
  });
});

test.concurrent.each([
  [['help'], ['--help']],
  [
    ['help', 'serve'],
    ['serve', '--help'],
  ],
  [
    ['help', 'token', 'create'],
    ['token', 'create', '--help'],
  ],
  [
    ['help', 'exec'],
    ['exec', '--help'],
  ],
])('%p is %p', async (words, same) => {
  expect(await agent3(words)).toEqual(await agent3(same));
});

test.concurrent('agent3 help of what there is not is told', async () => {
  expect(await agent3(['help', 'nosuch'])).toMatchObject({ code: 2, stdout: '' });
});

describe('agent3 token new', () => {
  test.concurrent('prints a token alone on its line', async () => {
    const { code, stdout, stderr } = await agent3(['token', 'new']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[\w-]{32,}\n$/);
  });

  test.concurrent('prints another one each time', async () => {
    const runs = await Promise.all([1, 2, 3].map(() => agent3(['token', 'new'])));
    expect(new Set(runs.map((run) => run.stdout)).size).toBe(3);
  });

  test.concurrent('needs no settings, and is not disturbed by bad ones', async () => {
    expect((await agent3(['token', 'new'], { AGENT3_PORT: 'x' })).code).toBe(0);
  });
});

describe('a mistake on the command line ends with 2 and names what is nearest', () => {
  const mistakes: [string[], string][] = [
    [['--versoin'], '--version'],
    [['--hlep'], '--help'],
    [['serve', '--hepl'], '--help'],
    [['token', '--halp'], '--help'],
    [['tokne'], 'token'],
    [['srve'], 'serve'],
    [['sessions'], 'session'],
    [['approvals'], 'approval'],
    [['profile', 'exlpain'], 'explain'],
  ];
  test.concurrent.each(mistakes)('%p: %s', async (args, nearest) => {
    const { code, stdout, stderr } = await agent3(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(nearest);
    expect(stderr).toContain(args.at(-1) ?? '');
  });

  test.concurrent.each([[['token', 'new', 'extra']], [['serve', 'extra']], [['token']], [['session']]])(
    '%p: too much or too little',
    async (args) => {
      expect((await agent3(args)).code).toBe(2);
    },
  );

  const helps: [string[], string][] = [
    [['token', 'nosuch'], 'agent3 token --help'],
    [['token', 'create'], 'agent3 token create --help'],
    [['token', 'create', '--profile'], 'agent3 token create --help'],
    [['session', 'list', 'extra'], 'agent3 session list --help'],
    [['nosuch'], 'agent3 --help'],
  ];
  test.concurrent.each(helps)('%p: one line, and where the right words stand', async (args, help) => {
    const { code, stdout, stderr } = await agent3(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toEndWith(`. To see what it takes: ${help}\n`);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test.concurrent('a network with bits of an address: which of the two is meant', async () => {
    const { code, stderr } = await agent3(['token', 'create', 'x', '--profile', 'full', '--ip', '10.0.0.5/8']);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining('10.0.0.0/8, or 10.0.0.5 for that one address'),
    });
  });
});

test('without any arguments it prints the help', async () => {
  const { code, stdout, stderr } = await agent3([]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toStartWith('Usage: agent3 ');
  expect(stdout).toBe((await agent3(['--help'])).stdout);
});

describe('in a directory with files of its own the executable', () => {
  test.concurrent('does not read .env', async () => {
    using directory = new TemporaryDirectory();
    for (const name of ['.env', '.env.local', '.env.production', '.env.development']) {
      writeFileSync(directory.join(name), 'AGENT3_API_TOKEN=token-from-the-directory\n');
    }
    const { code, stderr } = await agent3(['serve'], { AGENT3_PORT: '0' }, directory.path);
    expect(code).toBe(2);
    expect(stderr).toContain('AGENT3_API_TOKEN');
  });

  test.concurrent('does not run what bunfig.toml preloads, nor anything else', async () => {
    using directory = new TemporaryDirectory();
    const trap = `require('node:fs').writeFileSync('trapped', '');`;
    for (const name of ['trap.js', 'index.ts', 'main.ts', 'node_modules.js']) writeFileSync(directory.join(name), trap);
    writeFileSync(directory.join('bunfig.toml'), 'preload = ["./trap.js"]\n[run]\npreload = ["./trap.js"]\n');
    writeFileSync(directory.join('package.json'), '{"name":"trap","main":"./trap.js"}');
    writeFileSync(directory.join('tsconfig.json'), '{"compilerOptions":{"paths":{"*":["./trap.js"]}}}');
    expect((await agent3(['token', 'new'], {}, directory.path)).code).toBe(0);
    expect((await agent3(['serve'], {}, directory.path)).code).toBe(2);
    expect(existsSync(directory.join('trapped'))).toBe(false);
  });
});
