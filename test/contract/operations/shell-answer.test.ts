import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('the answer of shell', () => {
  test.concurrent('has these fields and no other when there is nothing to say', async () => {
    expect(await agent.shell({ cmd: 'echo hello; printf oops >&2' })).toEqual({
      stdout: 'hello\n',
      stderr: 'oops',
      exit_code: 0,
      session: expect.stringMatching(UUID_V7),
      status: 'done',
      duration_ms: expect.any(Number),
      stdout_bytes: 6,
      stderr_bytes: 4,
      truncated: false,
    } as never);
  });

  test.concurrent('tells whole milliseconds', async () => {
    const { duration_ms: duration } = await agent.shell({ cmd: 'sleep 0.2' });
    expect(Number.isInteger(duration)).toBe(true);
    expect(duration).toBeGreaterThanOrEqual(200);
    expect(duration).toBeLessThan(20_000);
  });

  test.concurrent('counts bytes, not characters', async () => {
    const answer = await agent.shell({ cmd: "printf '%s' 'é語😀'; printf '%s' 'é' >&2" });
    expect(answer).toMatchObject({ stdout: 'é語😀', stdout_bytes: 9, stderr: 'é', stderr_bytes: 2 });
  });

  test.concurrent('shows bytes that are no UTF-8 as U+FFFD', async () => {
    const answer = await agent.shell({ cmd: String.raw`printf 'a\xffb\xc3(\xe2\x82\n'` });
    expect(answer).toMatchObject({ stdout: 'a\ufffdb\ufffd(\ufffd\n', stdout_bytes: 8, truncated: false });
  });

  test.concurrent('keeps control characters, NUL and a byte order mark', async () => {
    const answer = await agent.shell({ cmd: String.raw`printf '\xef\xbb\xbfa\0b\x1b[0m\r\n\x7f'` });
    expect(answer.stdout).toBe('\ufeffa\0b\x1b[0m\r\n\x7f');
  });

  test.concurrent('keeps the two streams apart, each in its order', async () => {
    const cmd = 'for i in 1 2 3; do echo out $i; echo err $i >&2; done';
    expect(await agent.shell({ cmd })).toMatchObject({
      stdout: 'out 1\nout 2\nout 3\n',
      stderr: 'err 1\nerr 2\nerr 3\n',
    });
  });

  test.concurrent('keeps the order of both in one stream when the command joins them', async () => {
    const cmd = '{ echo 1; echo 2 >&2; echo 3; } 2>&1';
    expect(await agent.shell({ cmd })).toMatchObject({ stdout: '1\n2\n3\n', stderr: '' });
  });

  test.concurrent('has the output of a command that opens /dev/stdout again to add to it', async () => {
    const answer = await agent.shell({ cmd: 'echo one; echo two >> /dev/stdout; echo three; echo err >&2' });
    expect(answer).toMatchObject({ stdout: 'one\ntwo\nthree\n', stderr: 'err\n', exit_code: 0 });
    expect(answer.message).toBeUndefined();
  });

  test.concurrent('tells a command that empties its own stream what to write instead', async () => {
    const answer = await agent.shell({ cmd: 'echo one; echo two > /dev/stdout; echo three' });
    expect(answer).toMatchObject({ stdout: 'two\nthree\n', exit_code: 0 });
    expect(answer.message).toContain('>&1');
  });

  test.concurrent.each([
    ["pkill -f 'nosuch_of_tests'; echo after", 143],
    ['pkill -9 --full nosuch_of_tests; echo after', 137],
    ['kill $(pgrep -f nosuch_of_tests); echo after', 143],
    ['pkill -USR1 -f nosuch_of_tests; sleep 5; echo after', 138],
    ["ps axww -o pid,args | grep nosuch_of_tests | awk '{print $1}' | xargs kill -HUP; sleep 5; echo after", 129],
  ])('tells a command that found itself by its own text: %s', async (text, exit_code) => {
    // Another pattern each time: the other tests run at the same time.
    const pattern = `nosuch_${crypto.randomUUID().slice(0, 8)}`;
    for (const background of [false, true]) {
      const { session } = await agent.shell({ cmd: text.replace('nosuch_of_tests', pattern), background });
      const answer = await eventually('its end', async () => {
        const now = await agent.read({ session });
        return now.status !== 'running' && now;
      });
      expect(answer).toMatchObject({ status: 'done', stdout: '', exit_code });
      expect(answer.message).toContain('in brackets');
    }
  });

  test.concurrent('tells of a script with CRLF line ends, and of one without its interpreter', async () => {
    using directory = new TemporaryDirectory();
    const file = directory.join('script');
    const run = async (text: string, how: string) => {
      await Bun.write(file, text);
      return await agent.shell({ cmd: `chmod +x ${file}; ${how} ${file}` });
    };
    for (const [text, how] of [
      ['#!/bin/bash\r\necho x\r\n', ''],
      ['#!/usr/bin/env bash\r\necho x\r\n', ''],
      ['#!/nonexistent/program\n', ''],
      ['cd /tmp\r\nfor i in 1; do\r\n:\r\ndone\r\n', 'bash'],
    ] as const) {
      const answer = await run(text, how);
      expect(answer.exit_code).not.toBe(0);
      expect(answer.message).toStartWith('A script that it ran has CRLF line ends (sed -i');
    }
    const conditional = 'if true\r\nthen echo yes\r\nfi\r\n';
    for (const shell of ['bash', 'sh'])
      for (const { message } of [
        await run(conditional, shell),
        await agent.shell({ cmd: `${shell} -s`, stdin: conditional }),
      ])
        expect(message).toContain('A script that it ran, or read from stdin, has CRLF line ends');
    expect((await run('test 1 -eq 5\r\nexit 3\r\n', 'bash')).message).toStartWith('A script that it ran has CRLF');
    expect((await agent.shell({ cmd: 'if true; then echo yes' })).message).toBeUndefined();
    expect((await run('echo "\\$\'a\\r\'" >&2\n', 'bash')).message).toBeUndefined();
    expect((await run('exit 3\n', 'bash')).message).toBeUndefined();
  });

  test.concurrent('tells of a signal that Agent3 did not send', async () => {
    const { message } = await agent.shell({ cmd: 'kill -KILL $$' });
    expect(message).toBe(
      'SIGKILL ended the command or its last program, and Agent3 did not send it: a process or, without memory, the kernel did.',
    );
    const ended = 'SIGTERM ended the command or its last program, and Agent3 did not send it: a process did.';
    expect((await agent.shell({ cmd: 'sleep 300 & kill $!; wait $!' })).message).toBe(ended);
    const id = crypto.randomUUID();
    const bracketed = `(exec -a ${id} sleep 300) & sleep 0.3; pkill -f '^[${id[0]}]${id.slice(1)}'; wait $!`;
    expect(await agent.shell({ cmd: bracketed })).toMatchObject({ exit_code: 143, message: ended });
    expect((await agent.shell({ cmd: 'exit 142' })).message).toBeUndefined();
  });

  test.concurrent.each([
    'if true\r\nthen echo yes\r\nfi\r\n',
    'cd /tmp\r\nls\r',
    "cat <<'END'\r\none\r\nEND\r\n",
    'echo one\recho two',
  ])('tells of carriage returns: %j', async (cmd) => {
    const { session, message } = await agent.shell({ cmd });
    expect(message).toContain('carriage returns (\\r');
    expect((await agent.read({ session })).message).toContain('carriage returns');
  });

  test.concurrent('names another session every time', async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => agent.shell({ cmd: 'true' })));
    expect(new Set(answers.map((answer) => answer.session)).size).toBe(4);
  });
});

describe('exit_code', () => {
  const endings: [string, number][] = [
    ['true', 0],
    ['false', 1],
    ['exit 2', 2],
    ['exit 255', 255],
    ['/etc/passwd', 126],
    ['no-such-program', 127],
    ['kill -HUP $$', 129],
    ['kill -ABRT $$', 134],
    ['kill -KILL $$', 137],
    ['kill -SEGV $$', 139],
    ['kill -TERM $$', 143],
    ['exit 124', 124],
    ['true | false', 1],
  ];
  test.concurrent.each(endings)('of %p is %p', async (cmd, code) => {
    expect(await agent.shell({ cmd })).toMatchObject({ exit_code: code, status: 'done' });
  });

  test.concurrent('of a failed command comes with HTTP 200', async () => {
    expect((await agent.call('shell', { cmd: 'exit 1' })).status).toBe(200);
  });
});
