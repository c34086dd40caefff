import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { BINARY } from '../../helpers/binary.ts';
import { breakingProxy } from '../../helpers/breaking-proxy.ts';
import { makeCertificate } from '../../helpers/certificates.ts';
import { Client, type ClientOptions, clientEnvironment, runClient, textOf } from '../../helpers/client.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { gone, pidIn } from '../../helpers/processes.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

ensurePrograms('script');

const agent = await startAgent({ AGENT3_KILL_GRACE_SECONDS: '0.5' });
afterAll(() => agent[Symbol.asyncDispose]());

const exec = async (args: readonly string[], options: ClientOptions = {}) =>
  textOf(await runClient(agent, ['exec', ...args], options));

describe('agent3 exec gives', () => {
  test.concurrent('both streams and the exit code of the command', async () => {
    expect(await exec(['echo out; echo err >&2; exit 7'])).toEqual({ code: 7, stdout: 'out\n', stderr: 'err\n' });
    expect(await exec(['true'])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await exec(['kill -9 $$'])).toMatchObject({ code: 137 });
  });

  test.concurrent('exact bytes of both', async () => {
    const every = 'for i in $(seq 0 255); do printf "\\\\x$(printf %x $i)"; done';
    const { code, stdout, stderr } = await runClient(agent, [
      'exec',
      `${every.replaceAll('\\\\', '\\')}; head -c 3000000 /dev/zero; ${every.replaceAll('\\\\', '\\')} >&2`,
    ]);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    expect(code).toBe(0);
    expect(stdout.equals(Buffer.concat([bytes, Buffer.alloc(3_000_000)]))).toBe(true);
    expect(stderr.equals(bytes)).toBe(true);
  });

  test.concurrent('output as it comes, before the end', async () => {
    using trigger = new Trigger();
    const child = new Client(agent, ['exec', `echo begun; ${trigger.wait}; echo over`]);
    expect(await child.shows('begun')).toBe('begun\n');
    trigger.open();
    expect(textOf(await child.ended())).toEqual({ code: 0, stdout: 'begun\nover\n', stderr: '' });
  });

  test.concurrent('124 and the reason at the time limit', async () => {
    const { code, stdout, stderr } = await exec(['--timeout', '0.5', 'echo begun; sleep 60']);
    expect({ code, stdout }).toEqual({ code: 124, stdout: 'begun\n' });
    expect(stderr).toMatch(/^agent3: stopped at its time limit, .*--timeout/);
  });

  test.concurrent('the command its directory, its variables, and words joined', async () => {
    const args = ['--cwd', '/tmp', '--env', 'A=1', '--env', 'B=x=y', 'pwd; echo', '$A', '"$B"'];
    expect((await exec(args)).stdout).toBe('/tmp\n1 x=y\n');
  });

  test.concurrent('with a key, the first command and its output again', async () => {
    const first = await exec(['--key', 'exec-once', 'echo $$; exit 3']);
    const second = await exec(['--key', 'exec-once', 'echo $$; exit 3']);
    expect(second).toMatchObject({ code: 3, stdout: first.stdout });
    expect(second.stderr).toContain('this key was used before');
  });

  test.concurrent('the session at once with --detach', async () => {
    const { code, stdout, stderr } = await exec(['--detach', 'read -r x; echo "got $x"; sleep 300'], {
      stdin: Buffer.from('input\n'),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const session = stdout.trim();
    expect(await agent.read({ session, wait: 10, until: 'output' })).toMatchObject({
      status: 'running',
      stdout: 'got input\n',
    });
    await agent.call('close_session', { session });
  });

  test.concurrent('141 when nobody reads any more, and stops the command', async () => {
    const cmd = `'${BINARY}' exec 'echo $$; exec yes' | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const child = Bun.spawn(['bash', '-c', cmd], { env: clientEnvironment(agent), stdin: 'ignore', stdout: 'pipe' });
    const [pid, code] = (await within('the end of the client', child.stdout.text())).split('\n');
    expect(code).toBe('141');
    await gone(pidIn(pid ?? ''));
  });
});

test('output that cannot be written, and input that cannot be read, are told', async () => {
  const inShell = async (redirection: string) => {
    const cmd = ['bash', '-c', `'${BINARY}' exec 'echo text; sleep 300' ${redirection}`];
    const child = Bun.spawn(cmd, { env: clientEnvironment(agent), stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
    return { stderr: await child.stderr.text(), code: await child.exited };
  };
  expect(await inShell('> /dev/full')).toEqual({
    code: 255,
    stderr: 'agent3: the output cannot be written: the disk is full (ENOSPC)\n',
  });
  const directory = await inShell('< /tmp');
  expect(directory.code).toBe(255);
  expect(directory.stderr).toMatch(/^agent3: standard input cannot be read: .*EISDIR/);
});

describe('options end at the first word of the command', () => {
  const directory = new TemporaryDirectory();
  afterAll(() => directory[Symbol.dispose]());
  const three = directory.join('three');
  writeFileSync(three, 'l1\nl2\nl3\n');
  const commands: readonly [args: readonly string[], stdout: string][] = [
    [['tail', '-n', '1', three], 'l3\n'],
    [['ls', '-d', '/tmp'], '/tmp\n'],
    [['echo', '-n', 'hi'], 'hi'],
    [['grep', '-d', 'skip', 'l2', three], 'l2\n'],
    [['echo', '--timeout', '5', '--key', 'x', '-t'], '--timeout 5 --key x -t\n'],
    [['echo', '--help', '-h', '--version', '--url=x'], '--help -h --version --url=x\n'],
    [['echo', 'a', '--', '-b'], 'a -- -b\n'],
    [['--timeout', '5', 'echo', '-n', '--timeout'], '--timeout'],
    [['-n', '--', 'echo', '-d'], '-d\n'],
    [['--cwd', '/', '--', 'pwd'], '/\n'],
  ];
  test.each(commands)('%j', async (args, stdout) => {
    expect(await exec(args)).toEqual({ code: 0, stdout, stderr: '' });
  });

  test('bash --version is that of bash', async () => {
    expect((await exec(['bash', '--version'])).stdout).toStartWith('GNU bash');
  });
});

describe('standard input', () => {
  test.concurrent('that is short goes along', async () => {
    const text = 'héllo "world"\n\0\u{1F600}';
    expect(await exec(['cat'], { stdin: Buffer.from(text) })).toEqual({ code: 0, stdout: text, stderr: '' });
    expect((await exec(['-n', 'cat'], { stdin: Buffer.from(text) })).stdout).toBe('');
  });

  test.concurrent('that is long comes whole, whatever its characters are', async () => {
    const text = Buffer.from('a€😀"\n'.repeat(300_000));
    const { code, stdout } = await runClient(agent, ['exec', 'sleep 0.3; cat'], { stdin: text });
    expect(code).toBe(0);
    expect(stdout.equals(text)).toBe(true);
  });

  test.concurrent('that grows sixfold in JSON comes whole', async () => {
    const text = Buffer.alloc(400_000, 1);
    const { stdout } = await runClient(agent, ['exec', 'cat'], { stdin: text });
    expect(stdout.equals(text)).toBe(true);
  });

  test.concurrent('that comes slowly is passed on as it comes', async () => {
    const child = new Client(agent, ['exec', 'while read -r line; do echo "got $line"; done; echo over'], {
      stdin: 'pipe',
    });
    let shown = '';
    for (const word of ['one', 'two']) {
      await child.type(`${word}\n`);
      shown += `got ${word}\n`;
      expect(await child.shows(shown)).toBe(shown);
    }
    await child.endInput();
    expect(textOf(await child.ended())).toEqual({ code: 0, stdout: `${shown}over\n`, stderr: '' });
  });

  test.concurrent('that the command does not read to its end keeps nobody', async () => {
    const text = Buffer.from('line\n'.repeat(500_000));
    expect(await exec(['head -n 1; exit 4'], { stdin: text })).toEqual({ code: 4, stdout: 'line\n', stderr: '' });
  });

  test.concurrent('that is no text is passed byte for byte', async () => {
    const bytes = new Uint8Array(1_500_000);
    for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    for (const stdin of [
      bytes,
      Uint8Array.of(1, 0, 0xff, 0xfe, 0xc3),
      Uint8Array.of(0xe2),
      bytes.subarray(0, 49_153),
    ]) {
      const { code, stdout, stderr } = await runClient(agent, ['exec', 'cat'], { stdin });
      expect({ code, stderr: stderr.toString() }).toEqual({ code: 0, stderr: '' });
      expect(stdout.equals(Buffer.from(stdin))).toBe(true);
    }
  });

  test.concurrent('that is no text is refused for a command that nobody follows', async () => {
    const refused = await exec(['--detach', 'cat'], { stdin: Uint8Array.of(0xff) });
    expect(refused).toMatchObject({ code: 255, stdout: '' });
    expect(refused.stderr).toMatch(/not UTF-8 text.*--detach/);
  });
});

describe('a signal', () => {
  test.concurrent.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s stops the command, and exec ends with %d', async (signal, code) => {
    const child = new Client(agent, ['exec', 'echo $$; exec sleep 300']);
    const pid = pidIn(await child.shows('\n'));
    child.signal(signal);
    expect((await child.ended()).code).toBe(code);
    await gone(pid);
  });

  test.concurrent('Ctrl-C that the command ignores is followed by TERM at the second', async () => {
    const child = new Client(agent, ['exec', `trap 'echo ignored' INT; echo begun; while :; do sleep 0.05; done`]);
    await child.shows('begun');
    child.signal('SIGINT');
    await child.shows('ignored');
    child.signal('SIGINT');
    expect((await child.ended()).code).toBe(130);
  });
});

test('with -t the command has a terminal, and what is typed', async () => {
  const cmd = `stty cols 90 rows 30; ${BINARY} exec -t 'stty size; read -r -p "name? " x; echo "hello $x"; exit 4'`;
  const child = Bun.spawn(['script', '-qec', cmd, '/dev/null'], {
    env: clientEnvironment(agent),
    stdin: 'pipe',
    stdout: 'pipe',
  });
  let shown = '';
  for await (const chunk of child.stdout) {
    shown += Buffer.from(chunk).toString();
    if (shown.endsWith('name? ')) child.stdin.write('bob\r');
  }
  // What is typed comes back once: from the command's terminal, not from the local one as well.
  expect(shown.replaceAll('\r', '')).toBe('30 90\nname? bob\nhello bob\n');
  expect(await child.exited).toBe(4);
  expect((await exec(['-t', 'true'])).stderr).toContain('-t needs a terminal');
});

describe('a failure of exec itself is 255 and one line that says what to do:', () => {
  const fails = async (args: readonly string[], env: Readonly<Record<string, string>>, what: RegExp) => {
    const { code, stdout, stderr } = await exec(args, { env });
    expect({ code, stdout }).toEqual({ code: 255, stdout: '' });
    expect(stderr).toMatch(what);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  };

  test.concurrent('a wrong token, or none', async () => {
    await fails(['true'], { AGENT3_API_TOKEN: 'wrong-wrong-wrong-wrong' }, /refuses this token.*--token-file/);
    await fails(['true'], { AGENT3_API_TOKEN: '' }, /there is no token: set AGENT3_API_TOKEN/);
    await fails(['--token-file', '/nowhere', 'true'], {}, /\/nowhere cannot be read: it does not exist/);
    // No advice to close /tmp to others.
    await fails(
      ['--token-file', '/tmp', 'true'],
      {},
      /^agent3: the token file \/tmp cannot be read: it is a directory/,
    );
    using directory = new TemporaryDirectory();
    const two = directory.join('two');
    writeFileSync(two, `${agent.token}\n${agent.token}\n`, { mode: 0o600 });
    await fails(['--token-file', two, 'true'], {}, /the token in .*two, alone or as AGENT3_API_TOKEN=TOKEN, must be/);
  });

  test.concurrent('nobody there', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    await fails(['--url', url, 'true'], {}, /no connection to .*no program listens there.*--url/);
    for (const wrong of ['agent.example.org', 'http://[::1', 'http://127.0.0.1:99999', 'https://agent..[x]'])
      await fails(['--url', wrong, 'true'], {}, /has the form https:\/\/agent\.example\.org, not "/);
  });

  test.concurrent('something else there', async () => {
    using other = Bun.serve({ port: 0, fetch: () => new Response('<html>') });
    await fails(['--url', `http://127.0.0.1:${other.port}`, 'true'], {}, /is not Agent3/);
    using mover = Bun.serve({ port: 0, fetch: () => Response.redirect('https://elsewhere.example/') });
    await fails(['--url', `http://127.0.0.1:${mover.port}`, 'true'], {}, /redirects to https:\/\/elsewhere\.example\//);
  });

  test.concurrent('a certificate that is not trusted; one of an own CA can be', async () => {
    using directory = new TemporaryDirectory();
    const { cert, key } = makeCertificate(directory.path, 'localhost');
    await using secure = await startAgent({ AGENT3_TLS_CERT: cert, AGENT3_TLS_KEY: key });
    const args = ['exec', '--url', `https://localhost:${secure.port}`, 'echo secure'];
    const refused = textOf(await runClient(secure, args));
    expect(refused).toMatchObject({ code: 255, stdout: '' });
    expect(refused.stderr).toMatch(/certificate of .* is not trusted.*NODE_EXTRA_CA_CERTS/);
    const plain = textOf(await runClient(agent, ['exec', '--url', `https://127.0.0.1:${agent.port}`, 'true']));
    expect(plain.stderr).toMatch(/does not speak TLS/);
    const trusted = textOf(await runClient(secure, args, { env: { NODE_EXTRA_CA_CERTS: cert } }));
    expect(trusted).toEqual({ code: 0, stdout: 'secure\n', stderr: '' });
  });

  test.concurrent('a command line that is wrong, or arguments that the agent refuses', async () => {
    await fails(['--cwd', '/nowhere', 'true'], {}, /cwd "\/nowhere" cannot be used/);
    await fails(['--timeout', 'soon', 'true'], {}, /number of seconds/);
    await fails([], {}, /missing required argument/);
    await fails(
      ['--select', 'role=web', 'true'],
      {},
      /run_on is an operation of the hub of a fleet. This agent is not/,
    );
  });
});

describe('what a person hears of the end', () => {
  const profile = `extends = "full"
otherwise = "deny"
[[rules]]
action = "allow"
command = "echo"
[[rules]]
action = "deny"
command = "reboot"
reason = "It is needed."`;
  const ends: readonly [cmd: string, told: string][] = [
    ['reboot', 'It is needed.'],
    ['echo x; cat /etc/hostname', ''],
  ];
  test.each(ends)('is once why nothing was run: %s', async (cmd, told) => {
    using profiles = new TemporaryDirectory();
    writeFileSync(profiles.join('p.toml'), profile);
    await using other = await startAgent({ AGENT3_PROFILES_DIR: profiles.path, AGENT3_PROFILE: 'p' });
    const ended = textOf(await runClient(other, ['exec', cmd]));
    expect(ended).toMatchObject({ code: 126, stdout: '' });
    expect(ended.stderr).toMatch(/^agent3: not run: [^\n]+\n$/);
    expect(ended.stderr).toContain(told);
    expect(ended.stderr).not.toContain('another way');
  });

  test('is which limit stopped a program of the command', async () => {
    using profiles = new TemporaryDirectory();
    writeFileSync(profiles.join('p.json'), '{ "extends": "full", "limits": { "file_mib": 1, "core_mib": 0 } }');
    await using other = await startAgent({ AGENT3_PROFILES_DIR: profiles.path, AGENT3_PROFILE: 'p' });
    using directory = new TemporaryDirectory();
    const { code, stderr } = textOf(
      await runClient(other, ['exec', `exec head -c 3000000 /dev/zero > ${directory.join('big')}`]),
    );
    expect(code).toBe(153);
    expect(stderr).toMatch(/^agent3: A program was stopped because it wrote more .* \(session [0-9a-f-]{36}\)\n$/);
  });

  test('is what it has left running, and how to stop that', async () => {
    const { code, stderr } = await exec(['sleep 300 > /dev/null 2>&1 &']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/1 process it started is still running .*agent3 session close/);
    const session = /\(session ([0-9a-f-]{36})\)/.exec(stderr)?.[1] ?? '';
    expect((await runClient(agent, ['session', 'close', session])).code).toBe(0);
  });
});

test('a token file that others can read is told; a settings file is one', async () => {
  using directory = new TemporaryDirectory();
  const file = directory.join('token');
  writeFileSync(file, `# mine\nAGENT3_API_TOKEN=${agent.token}\n`, { mode: 0o600 });
  const args = ['--token-file', file, 'echo in'];
  const env = { AGENT3_API_TOKEN: 'wrong-wrong-wrong-wrong' };
  expect(await exec(args, { env })).toEqual({ code: 0, stdout: 'in\n', stderr: '' });
  writeFileSync(file, `${agent.token}\n`);
  chmodSync(file, 0o644);
  const open = await exec(args, { env });
  expect(open).toMatchObject({ code: 0, stdout: 'in\n' });
  expect(open.stderr).toContain(`chmod 600 ${file}`);
});

test('an agent that is killed and comes back loses and doubles no byte', async () => {
  const port = String(await freePort());
  await using mortal = await startAgent({ AGENT3_PORT: port });
  const cmd = 'for i in $(seq 1 40000); do echo $i; [ $((i % 400)) = 0 ] && sleep 0.03; done; exit 6';
  const running = runClient(mortal, ['exec', cmd]);
  for (let deaths = 0; deaths < 2; deaths++) {
    await Bun.sleep(500);
    await mortal.kill9();
    await Bun.sleep(200);
    await mortal.restart();
  }
  const { code, stdout, stderr } = textOf(await running);
  expect({ code, stderr }).toEqual({ code: 6, stderr: '' });
  expect(stdout).toBe(Array.from({ length: 40_000 }, (_, at) => `${at + 1}\n`).join(''));
});

test('a connection that breaks again and again loses and doubles no byte', async () => {
  using breaker = breakingProxy(agent.port, 150_000);
  const url = `http://127.0.0.1:${breaker.port}`;
  const run = await runClient(agent, ['exec', '--url', url, 'seq 1 100000; seq 1 30000 >&2; exit 2']);
  const numbers = (count: number) => Array.from({ length: count }, (_, at) => `${at + 1}\n`).join('');
  expect(run.code).toBe(2);
  expect(run.stdout.equals(Buffer.from(numbers(100_000)))).toBe(true);
  expect(run.stderr.equals(Buffer.from(numbers(30_000)))).toBe(true);
  expect(breaker.broken()).toBeGreaterThan(3);
});

test('input that a restart cut short is told, and the exit code is not that of a command that had all', async () => {
  const port = String(await freePort());
  await using mortal = await startAgent({ AGENT3_PORT: port });
  const child = new Client(mortal, ['exec', 'read -r x; echo "got $x"; cat > /dev/null; sleep 1; echo end of input'], {
    stdin: 'pipe',
  });
  await child.type('one\n');
  await child.shows('got one');
  await mortal.kill9();
  await mortal.restart();
  await child.type('two\n');
  const { code, stderr } = textOf(await child.ended());
  expect(code).toBe(255);
  expect(stderr).toContain('standard input did not arrive completely');
});

describe('an agent that', () => {
  test.concurrent('is full is waited for', async () => {
    await using small = await startAgent({ AGENT3_MAX_RUNNING: '1' });
    const { session } = await small.shell({ cmd: 'sleep 300', background: true });
    const child = new Client(small, ['exec', 'echo room']);
    expect(await child.shows('Trying again', 'stderr')).toContain('agent3: Too many requests');
    await small.call('close_session', { session });
    expect(textOf(await child.ended())).toMatchObject({ code: 0, stdout: 'room\n' });
  });

  test.concurrent('forbids the background runs it in the foreground', async () => {
    await using strict = await startAgent({ AGENT3_MAX_BACKGROUND_SECONDS: '0', AGENT3_REPLY_SECONDS: '1' });
    const slow = textOf(await runClient(strict, ['exec', 'seq 1 60000; sleep 2; echo over; exit 5']));
    expect(slow).toMatchObject({ code: 5, stderr: '' });
    expect(slow.stdout).toEndWith('60000\nover\n');
    const text = Buffer.from('line\n'.repeat(200_000));
    const fed = await runClient(strict, ['exec', 'cat'], { stdin: text });
    expect(fed.stdout.equals(text)).toBe(true);
  });
});

test('a session that is closed meanwhile is told', async () => {
  const child = new Client(agent, ['exec', 'echo begun; sleep 300']);
  await child.shows('begun');
  const { sessions } = JSON.parse((await agent.call('list_sessions', { status: 'running' })).text) as {
    readonly sessions: readonly { readonly session: string; readonly cmd: string }[];
  };
  const session = await eventually(
    'the session',
    () => sessions.find(({ cmd }) => cmd.startsWith('echo begun'))?.session,
  );
  await agent.call('close_session', { session });
  const { code, stderr } = textOf(await child.ended());
  expect(code).not.toBe(0);
  expect(stderr).toStartWith('agent3: stopped on request');
});
