import { afterAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { account } from '../../helpers/account.ts';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { expectRefusal } from '../../helpers/refusals.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const MAX_COMMAND_CHARS = 100_000;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** Asserts that `shell` refuses these arguments, and says which one is wrong. */
async function expectInvalid(field: string, args: Readonly<Record<string, unknown>>): Promise<void> {
  expectRefusal(await agent.call('shell', { cmd: 'true', ...args }), 400, 'Invalid args', new RegExp(field));
}

describe('what names another server', () => {
  test.each(['server', 'servers'])('%s, is refused in every door, and nothing is done here', async (name) => {
    using directory = new TemporaryDirectory();
    const file = directory.join('here');
    const args = { cmd: `touch ${file}`, [name]: 'web1' };
    await expectInvalid('only the hub of a fleet', args);
    await using mcp = await McpClient.overHttp(agent);
    expect(JSON.stringify(await mcp.call('shell', args))).toContain('nothing was done');
    const { code, stderr } = await agent3(['exec', '--server', 'web1', `touch ${file}`], {
      AGENT3_URL: agent.url,
      AGENT3_API_TOKEN: agent.token,
    });
    expect([code, stderr]).toEqual([255, expect.stringContaining('only the hub of a fleet')]);
    expect(existsSync(file)).toBe(false);
  });
});

describe('cmd', () => {
  test.concurrent('is run by bash', async () => {
    expect((await agent.shell({ cmd: '[[ $BASH_VERSION == ?* ]] && echo {1..3}' })).stdout).toBe('1 2 3\n');
  });

  test.concurrent('may have many lines, quotes and here-documents', async () => {
    const cmd = "cat <<'END'\n\"double\" 'single' $HOME `id` \\n é 😀\nEND\n";
    expect((await agent.shell({ cmd })).stdout).toBe('"double" \'single\' $HOME `id` \\n é 😀\n');
  });

  test.concurrent('that begins with a dash is a command, no option of bash', async () => {
    expect((await agent.shell({ cmd: '--version' })).exit_code).toBe(127);
  });

  test.concurrent('that bash cannot parse fails as a command does', async () => {
    const answer = await agent.shell({ cmd: 'if then (' });
    expect({ status: answer.status, exit_code: answer.exit_code }).toEqual({ status: 'done', exit_code: 2 });
    expect(answer.stderr).toContain('syntax error');
  });

  test.concurrent('missing is told as such', async () => {
    expectRefusal(await agent.call('shell', {}), 400, 'Missing cmd');
  });

  test.concurrent('empty is refused', async () => {
    const reply = await agent.call('shell', { cmd: '' });
    expect(reply.status).toBe(400);
    expect(['Missing cmd', 'Invalid args']).toContain(reply.body.error);
  });

  test.concurrent.each([[5], [true], [['id']], [{ toString: 'id' }]])('%p is refused', async (cmd) => {
    await expectInvalid('cmd', { cmd });
  });

  test.concurrent('with a NUL is refused', async () => {
    await expectInvalid('cmd', { cmd: 'echo a\0b' });
  });

  test.concurrent.each(['echo \ud800', 'echo \udc00', 'echo \udc00\ud800'])(
    'with a lone surrogate is refused',
    async (cmd) => {
      await expectInvalid('cmd', { cmd });
    },
  );

  const letters: [string, string][] = [
    ['ASCII letters', 'a'],
    ['two-byte letters', 'é'],
    ['three-byte letters', '語'],
    ['line breaks', '\n'],
  ];
  test.concurrent.each(letters)('of 100,000 characters runs: %s', async (_, letter) => {
    const text = letter.repeat(MAX_COMMAND_CHARS - 22);
    const answer = await agent.shell({ cmd: `printf %s '${text}'|sha256sum` });
    expect(answer).toMatchObject({ stdout: `${sha256(text)}  -\n`, stderr: '', exit_code: 0 });
  });

  test.concurrent('of 50,000 emoji, 200,000 bytes, runs', async () => {
    const text = '😀'.repeat(49_989);
    expect((await agent.shell({ cmd: `printf %s '${text}'|sha256sum` })).stdout).toBe(`${sha256(text)}  -\n`);
  });

  test.concurrent('of 100,000 characters has its stdin, environment, directory and exit code like any other', async () => {
    const cmd = `cat; echo $X; pwd; exit 3 #${'é'.repeat(MAX_COMMAND_CHARS - 30)}`;
    const answer = await agent.shell({ cmd, stdin: 'in\n', env: { X: 'x' }, cwd: '/' });
    expect(answer).toMatchObject({ stdout: 'in\nx\n/\n', stderr: '', exit_code: 3 });
  });

  test.concurrent.each(['a', 'é'])('of 100,001 characters is refused: %s', async (letter) => {
    await expectInvalid('cmd', { cmd: `: ${letter.repeat(MAX_COMMAND_CHARS - 1)}` });
  });
});

describe('cwd', () => {
  test.concurrent('is the home of the user the agent runs as', async () => {
    expect((await agent.shell({ cmd: 'pwd -P' })).stdout).toBe(`${account.home}\n`);
  });

  test.concurrent('is where the command runs', async () => {
    using directory = new TemporaryDirectory();
    await agent.shell({ cmd: 'echo here > file', cwd: directory.path });
    expect(readFileSync(directory.join('file'), 'utf8')).toBe('here\n');
  });

  test.concurrent('may have spaces and letters of every kind', async () => {
    using directory = new TemporaryDirectory();
    const cwd = directory.join('a b é "quoted" $HOME');
    await agent.shell({ cmd: `mkdir -- "$D"`, env: { D: cwd } });
    expect((await agent.shell({ cmd: 'pwd', cwd })).stdout).toBe(`${cwd}\n`);
  });

  test.concurrent.each(['/no/such/directory', '/etc/passwd', 'tmp', './', '', '~', '/tmp\0', '/\ud800'])(
    '%p is refused',
    async (cwd) => {
      await expectInvalid('cwd', { cwd });
    },
  );

  test.concurrent('that is no string is refused', async () => {
    await expectInvalid('cwd', { cwd: 7 });
  });
});

describe('env', () => {
  test.concurrent('is added to the environment, byte for byte', async () => {
    const value = ' "quoted" $HOME `id` \\ é 😀\nsecond line';
    expect((await agent.shell({ cmd: 'printf %s "$VALUE"', env: { VALUE: value } })).stdout).toBe(value);
  });

  test.concurrent('may set what the base environment has', async () => {
    const answer = await agent.shell({ cmd: 'echo $LANG $TERM', env: { LANG: 'C', TERM: 'xterm' } });
    expect(answer.stdout).toBe('C xterm\n');
  });

  test.concurrent('lasts for one command', async () => {
    await agent.shell({ cmd: 'true', env: { STAYS: 'x' } });
    expect((await agent.shell({ cmd: 'echo "[$STAYS]"' })).stdout).toBe('[]\n');
  });

  test.concurrent('may have a variable named __proto__', async () => {
    const reply = await agent.post('{"op":"shell","args":{"cmd":"printenv __proto__","env":{"__proto__":"x"}}}');
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: 'x\n' });
  });

  test.concurrent('cannot unmark a process of its session', async () => {
    await expectInvalid('AGENT3_SESSION', { env: { AGENT3_SESSION: 'other' } });
  });

  test.concurrent('may have numbers and booleans, which become text', async () => {
    const env = { PORT: 8080, RATIO: 0.5, DEBUG: true };
    expect((await agent.shell({ cmd: 'echo $PORT $RATIO $DEBUG', env })).stdout).toBe('8080 0.5 true\n');
  });

  const refused: [string, unknown][] = [
    ['a list of other than NAME=value', ['A']],
    ['a string', 'A=b'],
    ['a list as value', { A: [1] }],
    ['null as value', { A: null }],
    ['an empty name', { '': 'x' }],
    ['a name with =', { 'A=B': 'x' }],
    ['a name with NUL', { 'A\0B': 'x' }],
    ['a value with NUL', { A: 'x\0y' }],
    ['a value with a lone surrogate', { A: '\ud800' }],
    ['a value longer than a program can be given', { A: 'x'.repeat(200_000) }],
  ];
  test.concurrent.each(refused)('%s is refused', async (_, env) => {
    await expectInvalid('env', { env });
  });
});

describe('stdin', () => {
  const texts: [string, string][] = [
    ['quotes and dollars', 'it\'s "so" $HOME `id` \\n'],
    ['no line break at the end', 'a\nb'],
    ['carriage returns', 'a\r\nb\r'],
    ['NUL', 'a\0b'],
    ['every kind of letter', 'é 語 😀 \u2028 \ufeff'],
    ['a megabyte less its envelope', 'x'.repeat(1_000_000)],
  ];
  test.concurrent.each(texts)('reaches the command byte for byte: %s', async (_, stdin) => {
    using directory = new TemporaryDirectory();
    await agent.shell({ cmd: 'cat > file', cwd: directory.path, stdin });
    expect(readFileSync(directory.join('file')).equals(Buffer.from(stdin))).toBe(true);
  });

  test.concurrent('is empty by default, so that cat ends at once', async () => {
    expect(await agent.shell({ cmd: 'cat' })).toMatchObject({ stdout: '', exit_code: 0, status: 'done' });
  });

  test.concurrent('may be given as empty', async () => {
    expect(await agent.shell({ cmd: 'cat; echo end', stdin: '' })).toMatchObject({ stdout: 'end\n', exit_code: 0 });
  });

  test.concurrent('that nobody reads harms nothing', async () => {
    expect((await agent.shell({ cmd: 'exit 4', stdin: 'x'.repeat(500_000) })).exit_code).toBe(4);
  });

  test.concurrent('is divided among the commands that read it', async () => {
    expect((await agent.shell({ cmd: 'read a; read b; echo $b $a', stdin: '1\n2\n' })).stdout).toBe('2 1\n');
  });

  test.concurrent.each([[5], [['a']], ['\ud800']])('%p is refused', async (stdin) => {
    await expectInvalid('stdin', { stdin });
  });
});

describe('timeout', () => {
  test.concurrent.each([0.1, 0.5, 1, 45, 45.1, 120, 3600])('%p is accepted', async (timeout) => {
    expect((await agent.call('shell', { cmd: 'true', timeout })).status).toBe(200);
  });

  const refused: [unknown][] = [
    [0],
    [0.09],
    [-1],
    [3600.1],
    [5000],
    ['abc'],
    [''],
    ['1e999'],
    ['0x10'],
    ['5 s'],
    [true],
    [[5]],
  ];
  test.concurrent.each(refused)('%p is refused, not clamped', async (timeout) => {
    await expectInvalid('timeout', { timeout });
  });
});

describe('keep', () => {
  test.concurrent.each(['both', 'head', 'tail'])('%p leaves short output whole', async (keep) => {
    expect(await agent.shell({ cmd: 'echo short', keep })).toMatchObject({ stdout: 'short\n', truncated: false });
  });

  test.concurrent.each([['middle'], ['HEAD'], [''], [1]])('%p is refused', async (keep) => {
    await expectInvalid('keep', { keep });
  });
});

describe('max_output', () => {
  test.concurrent.each([256, 257, 92_160])('%p is accepted', async (bytes) => {
    expect((await agent.call('shell', { cmd: 'true', max_output: bytes })).status).toBe(200);
  });

  test.concurrent.each([[0], [255], [92_161], [-256], [300.5], ['300.5'], ['-300']])('%p is refused', async (bytes) => {
    await expectInvalid('max_output', { max_output: bytes });
  });
});

describe('arguments as clients send them', () => {
  const unset = {
    cwd: null,
    timeout: null,
    env: null,
    stdin: null,
    background: null,
    keep: null,
    key: null,
    pty: null,
  };

  test.concurrent.each(['POST /', '/shell'])('null means not given: %s', async (door) => {
    const args = { cmd: 'echo hi', ...unset, unheard_of: null };
    const reply = door === 'POST /' ? await agent.call('shell', args) : await flat('/shell', args);
    expect(reply).toMatchObject({ status: 200, body: { stdout: 'hi\n', exit_code: 0 } });
    expect(reply.body.message).toBeUndefined();
  });

  test.concurrent('an operation without arguments may be given null', async () => {
    expect((await agent.call('server_info', null)).status).toBe(200);
    expect((await flat('/server_info', null)).status).toBe(200);
  });

  test.concurrent('null is no value for what is required', async () => {
    expectRefusal(await agent.call('shell', { cmd: null }), 400, 'Missing cmd');
    expectRefusal(await agent.call('read_session', { session: null }), 400, 'Invalid args', /session is required/);
  });

  test.concurrent('lists and objects may come as JSON text', async () => {
    for (const env of ['{"A":"1","B":2}', '["A=1","B=2"]', ' {"A":1,"B":"2"}\n'])
      expect((await agent.shell({ cmd: 'echo $A $B', env })).stdout).toBe('1 2\n');
    const dialog = '[{"expect":"Name","send":"Ada\\n"}]';
    const cmd = 'read -rp "Name? " name; echo "hello $name"';
    expect((await agent.shell({ cmd, pty: true, dialog })).stdout).toContain('hello Ada');
    expect((await agent.call('shell', '{"cmd":"echo hi"}')).body).toMatchObject({ stdout: 'hi\n' });
    for (const env of ['A=1', '{"A":', '"A"', '']) await expectInvalid('env', { env });
    expectRefusal(await agent.call('shell', '[1]'), 400, 'Invalid args', /args must be an object/);
  });

  test.concurrent('numbers and booleans may come as text', async () => {
    const args = { cmd: 'seq 1 1000', timeout: '10', background: 'false', pty: 'False', max_output: '1000' };
    const reply = await agent.call('shell', args);
    expect(reply).toMatchObject({ status: 200, body: { status: 'done', truncated: true } });
    const { session } = reply.body;
    const read = await agent.call('read_session', { session, offset: '2', limit: '4', wait: '0', plain: 'true' });
    expect(read.body).toMatchObject({ stdout: '2\n3\n', next_offset: 6 });
    expect((await agent.call('list_sessions', { limit: '1', before: null, status: null })).status).toBe(200);
    expect((await agent.call('close_session', { session, force: null })).status).toBe(200);
  });

  test.concurrent.each([
    [{ background: 'yes' }, /background must be true or false, not "yes"/],
    [{ background: 1 }, /background must be true or false, not 1/],
    [{ max_output: 'many' }, /max_output must be an integer from 256 to 92160, not "many"/],
    [{ rows: '' }, /rows must be an integer from 1 to 1000, not ""/],
    [{ env: { A: {} } }, /env\.A must be a string, not an object/],
  ])('what cannot be read is refused, with what is allowed: %j', async (args, sentence) => {
    expectRefusal(await agent.call('shell', { cmd: 'true', ...args }), 400, 'Invalid args', sentence);
  });
});

const flat = (path: string, args: unknown) =>
  agent.request(path, { method: 'POST', headers: { 'x-auth-token': agent.token }, body: JSON.stringify(args) });
