import { afterAll, describe, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_KILL_GRACE_SECONDS: '0.5' });
const directory = new TemporaryDirectory();
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Runs a command in a context; returns what it wrote, or all of its answer where that says more. */
const inContext = async (context: string, cmd: string, more: Readonly<Record<string, unknown>> = {}) => {
  const { stdout, stderr, exit_code, message } = await agent.shell({ cmd, context, ...more });
  return { stdout, stderr, exit_code, message };
};
const outputOf = async (context: string, cmd: string, more: Readonly<Record<string, unknown>> = {}) => {
  const { stdout, stderr, message } = await inContext(context, cmd, more);
  return `${stdout}${stderr}${message ?? ''}`;
};

describe('a context', () => {
  test.concurrent('keeps directory, variables, functions, aliases and options for the next command', async () => {
    const first = `cd /usr/lib; plain='a b'; export given=1; greet() { echo "hi $1 from $PWD"; }; export -f greet
shopt -s expand_aliases nullglob; alias say='echo said'; set -o pipefail; list=(1 'b c'); declare -A map=([k]=v ['a b']=c)`;
    expect(await outputOf('all', first)).toBe('');
    const next = `pwd; echo "$plain $given \${list[1]} \${map[a b]}"; greet you; bash -c 'greet all'; say it
false | true; echo $?; echo /nosuch*; env | grep -c '^given='`;
    expect(await outputOf('all', next)).toBe(
      '/usr/lib\na b 1 b c c\nhi you from /usr/lib\nhi all from /usr/lib\nsaid it\n1\n\n1\n',
    );
    expect(await outputOf('other', 'pwd; echo "$plain$given"; type greet')).toMatch(/^\/root\n\n.*greet: not found\n$/);
    expect((await agent.shell({ cmd: 'echo "$plain"' })).stdout).toBe('\n');
  });

  test.concurrent('keeps values with newlines and with bytes that are no text', async () => {
    const value = Buffer.from('one\ntwo\n\n\x01\xff\xfe\t€$(echo no) `x` "q" \\ \' ! ${x}\n', 'latin1').toString('hex');
    await outputOf(
      'bytes',
      `printf -v v '${value.replaceAll(/../g, '\\x$&')}'; declare -A m=([k]="$v" ["a b"]=$'\\n'); empty=`,
    );
    const cmd = `printf %s "$v" "\${m[k]}" "\${empty-unset}" | od -An -v -tx1 | tr -d ' \\n'`;
    expect(await outputOf('bytes', cmd)).toBe(value + value);
  });

  test.concurrent('survives exit, a trap, set -e, a wrong option, read-only variables and a syntax error', async () => {
    expect(await inContext('ends', 'a=1; exit 3')).toMatchObject({ exit_code: 3 });
    expect(await inContext('ends', 'trap "echo bye $?; exit 5" EXIT; b=2; exit 4')).toMatchObject({
      stdout: 'bye 0\n',
      exit_code: 5,
    });
    expect(await inContext('ends', 'leave() { local IFS=, a=hidden; c=3; exit 6; }; leave')).toMatchObject({
      exit_code: 6,
    });
    expect(await outputOf('ends', '[ "$IFS" = $\' \\t\\n\' ] && echo "$a $b $c"; readonly d=4')).toBe('1 2 3\n');
    expect(await inContext('ends', 'if')).toMatchObject({ exit_code: 2 });
    expect(await inContext('ends', 'echo $d; d=5; echo no')).toMatchObject({ exit_code: 1, stdout: '4\n' });
    expect(await inContext('ends', 'set -eu; e=5; false; e=6')).toMatchObject({ exit_code: 1 });
    expect(await inContext('ends', 'echo $e; cat /nosuch; echo no')).toMatchObject({ stdout: '5\n', exit_code: 1 });
    expect(await inContext('ends', 'set +eu; trap - EXIT; f=6')).toMatchObject({ exit_code: 0 });
    expect(await outputOf('ends', 'echo $a$b$c$d$e$f; trap -p')).toStartWith('123456\n');
    await outputOf('ends', 'IFS=0123456789; shopt -s failglob; set -f');
    expect(await outputOf('ends', 'printf %s "$IFS"; leave')).toBe('0123456789');
    expect(await outputOf('ends', 'printf %s "$IFS$c"')).toBe('01234567893');
  });

  test.concurrent('shows a command its own lines, arguments and streams, and nothing of the agent', async () => {
    const cmd = 'echo $LINENO $# "$*" "$0"\necho $LINENO; nosuch\nls -l /proc/self/fd | wc -l; env | grep -ci agent3';
    const { stdout, stderr } = await inContext('lines', cmd, { stdin: 'unread' });
    const plain = await agent.shell({ cmd, stdin: 'unread' });
    expect(stdout).toBe(plain.stdout);
    expect(stderr).toBe(plain.stderr);
    const few = await inContext('lines', 'ulimit -n 80; kept=1; exit 3');
    expect(few).toMatchObject({ stdout: '', stderr: '', exit_code: 3 });
    expect(await outputOf('lines', 'echo $kept')).toBe('1\n');
  });

  test.concurrent('stays as it was where its shell is replaced, killed or runs out of time, and says so', async () => {
    await outputOf('stays', 'x=kept');
    expect(await outputOf('stays', 'x=lost; exec true')).toMatch(
      /The context stays stays as it was: its shell ended before/,
    );
    expect(await inContext('stays', 'x=lost; sleep 30', { timeout: 0.3 })).toMatchObject({ exit_code: 124 });
    expect(await inContext('stays', 'x=lost; kill -KILL $$')).toMatchObject({ exit_code: 137 });
    expect(await outputOf('stays', 'echo $x')).toBe('kept\n');
  });

  test.concurrent('refuses a megabyte of variables, and stays as it was', async () => {
    await outputOf('large', 'x=kept; y=$(head -c 300000 /dev/zero | tr "\\0" y)');
    const refused = await outputOf('large', 'x=lost; z=$(head -c 1000000 /dev/zero | tr "\\0" z)');
    expect(refused).toMatch(
      /stays as it was: .* more than 524288 bytes\. Unset large ones, or write the data to a file\.$/,
    );
    expect(await outputOf('large', 'echo $x ${#y} ${#z}')).toBe('kept 300000 0\n');
  });

  test.concurrent('refuses more names than a shell writes in a moment, and stays as it was', async () => {
    await outputOf('many', 'x=kept');
    for (const cmd of ['declare name$i=lost', 'eval "name$i() { :; }"', 'alias name$i=lost']) {
      const refused = await outputOf('many', `x=lost; for ((i = 0; i < 2100; i++)); do ${cmd}; done`);
      expect(refused).toMatch(/stays as it was: .* more than 2000 variables, functions and aliases\. Unset some/);
      expect(await outputOf('many', 'echo $x $name1; type name1')).toMatch(/^kept\n.*not found\n$/);
    }
  });

  test.concurrent('takes cwd and env for one call alone', async () => {
    await outputOf('once', 'cd /usr; name=old');
    expect(await outputOf('once', 'pwd; echo $name $new', { cwd: '/etc', env: { name: 'given', new: 'yes' } })).toBe(
      '/etc\ngiven yes\n',
    );
    expect(await outputOf('once', 'pwd; echo $name $new')).toBe('/usr\nold\n');
    expect(await outputOf('once', 'cd ssl; name=own', { cwd: '/etc', env: { name: 'given' } })).toBe('');
    expect(await outputOf('once', 'pwd; echo $name; unset name HOME')).toBe('/etc/ssl\nown\n');
    expect(await outputOf('once', 'echo ${name-none} ${HOME-none}')).toBe('none none\n');
  });

  test.concurrent('is used by one command at a time: the next one waits its turn', async () => {
    await outputOf('turns', 'n=0');
    const calls = Array.from({ length: 5 }, () => outputOf('turns', 'm=$n; sleep 0.1; n=$((m + 1))'));
    await Promise.all(calls);
    expect(await outputOf('turns', 'echo $n')).toBe('5\n');
  });

  test.concurrent('is left by a command in a terminal and in the background, and waited for', async () => {
    const { session } = await agent.shell({ cmd: 'sleep 0.5; x=later', context: 'behind', background: true });
    expect(await outputOf('behind', 'echo $x; y=tty', { pty: true })).toBe('later\n');
    expect(await outputOf('behind', 'echo $x $y')).toBe('later tty\n');
    expect((await agent.read({ session })).exit_code).toBe(0);
  });

  test.concurrent('holds a Python venv and functions like those of nvm', async () => {
    const place = directory.join('work');
    mkdirSync(place);
    execFileSync('mkdir', ['-p', `${place}/venv/bin`]);
    // As `python3 -m venv` writes it, in short.
    await outputOf(
      'venv',
      `cat > venv/bin/activate <<'END'
deactivate () { PATH="$_OLD_PATH"; export PATH; unset _OLD_PATH VIRTUAL_ENV; hash -r 2>/dev/null; }
VIRTUAL_ENV=${place}/venv; export VIRTUAL_ENV
_OLD_PATH="$PATH"; PATH="$VIRTUAL_ENV/bin:$PATH"; export PATH; hash -r 2>/dev/null
END
printf '#!/bin/sh\\necho from the venv\\n' > venv/bin/tool; chmod +x venv/bin/tool; . venv/bin/activate`,
      { cwd: place },
    );
    expect(await outputOf('venv', 'tool; echo ${VIRTUAL_ENV##*/}; pwd')).toBe(`from the venv\nvenv\n${place}\n`);
    const nvm = `nvm_has() { type "$1" > /dev/null 2>&1; }
nvm() { local c=$1; case $c in use) shift; nvm_echo "use $1";; v@(1|2)) nvm_echo "$c";; *) return 3;; esac; }
nvm_echo() { command printf '%s\\n' "$*"; }`;
    await outputOf('venv', `shopt -s extglob\neval '${nvm.replaceAll("'", "'\\''")}'\nshopt -u extglob`);
    expect(await outputOf('venv', 'nvm use 22; nvm x; echo $?; nvm_has sh && deactivate; tool')).toMatch(
      /^use 22\n3\n.*tool: command not found\n$/,
    );
  });

  test.concurrent('is listed and dropped', async () => {
    await outputOf('listed', 'cd /usr; x=1');
    const list = async () =>
      JSON.parse((await agent.call('list_sessions', {})).text).contexts as Record<string, unknown>[];
    expect(await list()).toContainEqual({
      name: 'listed',
      cwd: '/usr',
      bytes: expect.any(Number),
      used_at: expect.stringMatching(/^20\d\d-.*Z$/),
    });
    const { session } = await agent.shell({ cmd: 'sleep 60', context: 'listed', background: true });
    expect((await list()).find((one) => one['name'] === 'listed')).toMatchObject({ session });
    expectRefusal(
      await agent.call('close_session', { context: 'listed' }),
      400,
      'Invalid args',
      new RegExp(`in use by the command of session ${session}`),
    );
    await agent.call('close_session', { session });
    expect((await agent.call('close_session', { context: 'listed' })).body).toMatchObject({ status: 'closed' });
    expectRefusal(await agent.call('close_session', { context: 'listed' }), 404, 'Session not found', /No context/);
    expectRefusal(await agent.call('close_session', {}), 400, 'Invalid args', /session is required/);
    expect(await outputOf('listed', 'echo $x; pwd')).not.toContain('/usr');
  });

  test.concurrent('has an invalid name, or a directory that is gone: it says so, and nothing is run', async () => {
    expectRefusal(
      await agent.call('shell', { cmd: 'echo', context: '../x' }),
      400,
      'Invalid args',
      /context must be a name of up to 64 letters/,
    );
    await outputOf('gone', `mkdir -p ${directory.join('gone')}; cd ${directory.join('gone')}`);
    await agent.shell({ cmd: `rmdir ${directory.join('gone')}` });
    expectRefusal(
      await agent.call('shell', { cmd: 'echo', context: 'gone' }),
      400,
      'Invalid args',
      /cannot be used: it does not exist \(ENOENT\)\. Nothing was run\. The context gone was left there: give another cwd\.$/,
    );
    expect(await outputOf('gone', 'pwd', { cwd: '/usr' })).toBe('/usr\n');
  });

  test.concurrent('is there through every door', async () => {
    await using mcp = await McpClient.overHttp(agent);
    expect((await mcp.call('shell', { cmd: 'x=door; cd /usr', context: 'doors' })).isError).toBe(false);
    const flat = await agent.request('/shell', {
      method: 'POST',
      headers: { authorization: `Bearer ${agent.token}` },
      body: JSON.stringify({ cmd: 'echo $x $PWD', context: 'doors' }),
    });
    expect(flat.body.stdout).toBe('door /usr\n');
    expect((await mcp.call('close_session', { context: 'doors' })).isError).toBe(false);
    expect((await mcp.call('shell', { cmd: 'echo "$x"', context: 'doors' })).text).toBe('\n');
  });
});

describe('contexts outlive the agent', () => {
  test('that stops, and that dies while a command uses one', async () => {
    await using own = await startAgent();
    const run = async (cmd: string, more = {}) => (await own.shell({ cmd, context: 'lasting', ...more })).stdout;
    await run('x=1; cd /usr');
    await own.restart();
    expect(await run('echo $x $PWD')).toBe('1 /usr\n');
    await own.shell({ cmd: 'x=2; sleep 2; echo done', context: 'lasting', background: true });
    await own.kill9();
    await own.restart();
    expect(await run('echo $x')).toMatch(/^[12]\n$/);
    await eventually('it is free', async () => (await own.call('list_sessions', {})).text.includes('"session"'));
  });

  test('and what a command writes in the place of its state counts as its output', async () => {
    await using own = await startAgent({ AGENT3_MAX_SESSION_BYTES: '5000000' });
    const flood =
      'for f in /proc/$$/fd/*; do case $(readlink "$f") in */context) while printf %0100000d 0; do :; done >> "$f";; esac; done';
    expect(await own.shell({ cmd: flood, context: 'flood' })).toMatchObject({ status: 'output_limit', stdout: '' });
    expect(readdirSync(`${own.sessionsDir}/${own.sessionsOnDisk()[0]}`)).not.toContain('context');
  });

  test('but not the shell that they were made with, nor one that knows no contexts', async () => {
    await using own = await startAgent({ AGENT3_SHELL: '/bin/sh' });
    expectRefusal(
      await own.call('shell', { cmd: 'true', context: 'x' }),
      400,
      'Invalid args',
      /context needs bash, and the shell of this server is \/bin\/sh/,
    );
  });
});
