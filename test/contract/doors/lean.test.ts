import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import type { Answer, Reply } from '../../helpers/answer.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const records = new TemporaryDirectory();
/** Its calls are answered after a second, and commands of `POST /` are stopped after two. */
const agent = await startAgent({
  AGENT3_REPLY_SECONDS: '1',
  AGENT3_MAX_EXEC_SECONDS: '2',
  AGENT3_AUDIT_FILE: records.join('audit.jsonl'),
});
/** Its calls are answered after three seconds: it has time to see that a command is silent. */
const patient = await startAgent({ AGENT3_REPLY_SECONDS: '3' });
const mcp = await McpClient.overHttp(agent);
afterAll(async () => {
  await mcp[Symbol.asyncDispose]();
  await Promise.all([agent[Symbol.asyncDispose](), patient[Symbol.asyncDispose]()]);
  records[Symbol.dispose]();
});

/** Calls an operation by its flat route. */
function flat(op: string, args: unknown, to: Agent = agent): Promise<Reply> {
  return to.request(`/${op}`, { method: 'POST', headers: { 'x-auth-token': to.token }, body: JSON.stringify(args) });
}

const shell = async (args: Readonly<Record<string, unknown>>, to?: Agent): Promise<Answer> =>
  (await flat('shell', args, to)).body;
const close = (session: string, to?: Agent) => flat('close_session', { session }, to);

/** How many characters of an answer are not output, as JSON counts them. */
function around({ text, body }: Reply): number {
  const escaped = [body.stdout, body.stderr].map((output = '') => JSON.stringify(output).length - 2);
  return text.length - escaped.reduce((sum, chars) => sum + chars, 0);
}

describe('characters around the output', () => {
  test('of everyday commands that have ended: at most 40 in the median', async () => {
    const everyday = ['uptime', 'df -h /', 'ls /etc', 'cat /etc/hostname', 'echo no >&2; exit 1', 'ls /none', 'true'];
    const chars = [];
    for (const cmd of everyday) chars.push(around(await flat('shell', { cmd })));
    expect(chars.sort((a, b) => a - b)[Math.floor(chars.length / 2)]).toBeLessThanOrEqual(40);
    expect(Math.max(...chars)).toBeLessThanOrEqual(50);
  });

  test.concurrent.each([
    ['in the background', { cmd: 'seq 1 1000; sleep 60', background: true }],
    ['longer than its call', { cmd: 'seq 1 1000; sleep 60' }],
    ['with a timeout of its own', { cmd: 'seq 1 1000; sleep 60', timeout: 600 }],
  ])('of a command that runs %s: at most 220', async (_, args) => {
    const reply = await flat('shell', args);
    expect(reply.body.status).toBe('running');
    expect(around(reply)).toBeLessThanOrEqual(220);
    const { session } = reply.body;
    const page = await flat('read_session', { session, wait: 1 });
    expect(page.body).toMatchObject({ status: 'running', next_offset: 3893, eof: false });
    expect(around(page)).toBeLessThanOrEqual(220);
    await close(session);
  });

  test.concurrent('of a silent command: at most 220, with what it waits for', async () => {
    const reply = await flat('shell', { cmd: 'sleep 300' }, patient);
    expect(reply.body.message).toMatch(
      /^It runs up to 3600 s; next: read_session wait 3\. sleep 300 \(pid \d+\) sleeps/,
    );
    expect(around(reply)).toBeLessThanOrEqual(220);
    await close(reply.body.session, patient);
  });

  test.concurrent('of a command that asks: at most 220', async () => {
    const reply = await flat('shell', { cmd: 'read -p "Continue? [y/n] " answer', pty: true }, patient);
    expect(reply.body).toMatchObject({ stdout: 'Continue? [y/n] ', status: 'running' });
    expect(reply.body.message).toContain('write_session');
    expect(around(reply)).toBeLessThanOrEqual(220);
    const { session } = reply.body;
    const typed = await flat('write_session', { session, input: 'perhaps' }, patient);
    expect(typed.body).toMatchObject({ stdout: 'perhaps', status: 'running', written: 7 } as object);
    expect(around(typed)).toBeLessThanOrEqual(220);
    await close(session, patient);
  });

  test('of a command over MCP, in the older revisions: at most 90 with its output', async () => {
    expect((await mcp.call('shell', { cmd: 'echo hi' })).chars).toBeLessThanOrEqual(90);
  });
});

describe('a command without a timeout', () => {
  test.concurrent('goes on when its call is answered, and has an hour', async () => {
    using trigger = new Trigger();
    const started = await shell({ cmd: `echo one; ${trigger.wait}; sleep 2; echo two; exit 5` });
    expect(started).toMatchObject({ stdout: 'one\n', status: 'running', stdout_bytes: 4 });
    expect(started.message).toBe('It runs up to 3600 s; next: read_session offset 4, wait 1.');
    const { session } = started;
    const line = await eventually('its line of the record', () => {
      const lines = readFileSync(records.join('audit.jsonl'), 'utf8').trim().split('\n');
      return lines.map((one) => JSON.parse(one)).find((one) => one.session === session && one.event === 'start');
    });
    expect(line.limit_seconds).toBe(3600);
    trigger.open();
    const rest = await eventually('its end', async () => {
      const { body } = await flat('read_session', { session, offset: 4, wait: 40 });
      return body.status === undefined && body;
    });
    expect(rest).toMatchObject({ stdout: 'two\n', exit_code: 5 });
  });

  test.concurrent('goes on over MCP too', async () => {
    using trigger = new Trigger();
    const { answer } = await mcp.call('shell', { cmd: `${trigger.wait}; sleep 2; echo done` });
    expect(answer.status).toBe('running');
    trigger.open();
    const end = await eventually('its end', async () => {
      const read = await mcp.call('read_session', { session: answer.session, wait: 40 });
      return read.answer.status === 'done' && read.answer;
    });
    expect(end).toMatchObject({ stdout: 'done\n', exit_code: 0 });
  });

  test.concurrent('goes on when the agent dies; sent with a long timeout, it keeps its exit code', async () => {
    await using mortal = await startAgent({ AGENT3_REPLY_SECONDS: '1', AGENT3_MAX_EXEC_SECONDS: '1' });
    using trigger = new Trigger();
    const args = { cmd: `${trigger.wait}; echo ran; exit 9` };
    const plain = await shell(args, mortal);
    const long = await shell({ ...args, timeout: 600 }, mortal);
    await mortal.kill9();
    trigger.open();
    await mortal.restart();
    for (const { session } of [plain, long])
      await eventually('its end', async () => (await mortal.read({ session, wait: 1 })).eof);
    expect(await mortal.read({ session: plain.session })).toMatchObject({ stdout: 'ran\n' });
    expect(await mortal.read({ session: long.session })).toMatchObject({ stdout: 'ran\n', exit_code: 9 });
  });

  test.concurrent('is stopped at the timeout that its call gave', async () => {
    const answer = await shell({ cmd: 'echo before; sleep 60', timeout: 1 }, patient);
    expect(answer).toMatchObject({ stdout: 'before\n', exit_code: 124, status: 'timeout' });
    expect(answer.message).toBe('It was stopped after 1 s. Without timeout it runs up to 3600 s.');
  });

  test.concurrent('is stopped at the limit of others where there is no background, which its answer says', async () => {
    await using strict = await startAgent({
      AGENT3_MAX_BACKGROUND_SECONDS: '0',
      AGENT3_MAX_EXEC_SECONDS: '3',
      AGENT3_REPLY_SECONDS: '1',
    });
    const { session, status, message } = await shell({ cmd: 'sleep 60' }, strict);
    expect(status).toBe('running');
    expect(message).toMatch(/^It will be stopped in [123] s, at the limit of 3 s; next: read_session wait 1\.$/);
    const end = await eventually('its end', async () => {
      const { body } = await flat('read_session', { session, wait: 40 }, strict);
      return body.status !== 'running' && body;
    });
    expect(end).toMatchObject({ status: 'timeout', exit_code: 124 });
    expectRefusal(await flat('shell', { cmd: 'true', timeout: 4 }, strict), 400, 'Invalid args', /up to 3, not 4/);
  });

  test.concurrent('is stopped at the limit of its profile', async () => {
    using profiles = new TemporaryDirectory();
    writeFileSync(
      profiles.join('brief.toml'),
      'extends = "full"\n[limits]\nexec_seconds = 0.5\nbackground_seconds = 600\n',
    );
    await using owned = await startAgent({ AGENT3_PROFILES_DIR: profiles.path, AGENT3_PROFILE: 'brief' });
    const answer = await shell({ cmd: 'sleep 60' }, owned);
    expect(answer).toMatchObject({ status: 'timeout', exit_code: 124 });
    expect(answer.message).toContain('With background: true it may run up to 600 s');
  });
});

describe.skipIf(process.geteuid?.() !== 0)('a server that waits for clients', () => {
  const listen = 'my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1"); $s->accept';
  const cmd = `exec perl -MIO::Socket::INET -e '${listen}'`;
  /** A mount namespace in which systemd has booted the machine, or has not. */
  const machine = (isBooted: boolean): string[] => {
    const run = `mount -t tmpfs none /run && mkdir -p /run/lock ${isBooted ? '/run/systemd/system' : ''} && exec "$0" "$@"`;
    return ['unshare', '--mount', 'sh', '-c', run];
  };

  test.concurrent('is told of systemd-run, where its agent may start services', async () => {
    await using root = await startAgent({ AGENT3_REPLY_SECONDS: '3' }, machine(true));
    const { status, message } = await shell({ cmd }, root);
    expect(status).toBe('running');
    expect(message).toMatch(/listens on 127\.0\.0\.1:\d+ for clients\. .*systemd-run --unit=NAME COMMAND/);
  });

  test.concurrent('is not, without systemd or in a profile with limits', async () => {
    await using other = await startAgent({ AGENT3_REPLY_SECONDS: '3' }, machine(false));
    const { message } = await shell({ cmd }, other);
    expect(message).toContain('for clients.');
    expect(message).not.toContain('systemd-run');
    using profiles = new TemporaryDirectory();
    writeFileSync(profiles.join('held.toml'), 'extends = "full"\n[limits]\nbackground_seconds = 600\n');
    const held = { AGENT3_PROFILES_DIR: profiles.path, AGENT3_PROFILE: 'held', AGENT3_REPLY_SECONDS: '3' };
    await using limited = await startAgent(held, machine(true));
    const narrowed = await shell({ cmd }, limited);
    expect(narrowed.message).toContain('for clients.');
    expect(narrowed.message).not.toContain('systemd-run');
  });
});

test('a list of sessions leaves out what says nothing', async () => {
  await using other = await startAgent();
  await shell({ cmd: 'echo out; echo err >&2; exit 3' }, other);
  await shell({ cmd: 'true' }, other);
  const { body } = await other.request('/list_sessions', {
    method: 'POST',
    headers: { authorization: `Bearer ${other.token}` },
  });
  const row = { session: expect.any(String), started_at: expect.stringMatching(/^[\d-]{10}T[\d:]{8}Z$/) };
  const sessions = (body as unknown as { sessions: { duration_ms?: number }[] }).sessions;
  // On a busy machine.
  for (const one of sessions) delete one.duration_ms;
  expect(body as object).toEqual({
    sessions: [
      { ...row, cmd: 'true' },
      {
        ...row,
        cmd: expect.stringContaining('exit 3'),
        exit_code: 3,
        stdout_bytes: 4,
        stderr_bytes: 4,
      },
    ],
    total: 2,
  });
});

test('a command that was denied has the reason once, in stderr', async () => {
  using profiles = new TemporaryDirectory();
  writeFileSync(profiles.join('closed.toml'), 'extends = "full"\notherwise = "deny"\n');
  await using closed = await startAgent({ AGENT3_PROFILES_DIR: profiles.path, AGENT3_PROFILE: 'closed' });
  const answer = await shell({ cmd: 'uptime' }, closed);
  expect(answer as object).toEqual({
    stdout: '',
    stderr: expect.stringMatching(/^agent3: not run: .+\n$/),
    exit_code: 126,
    status: 'denied',
    message: 'Do not try it in another way: do the task without it, or tell the user.',
  });
});

describe('over-long output', () => {
  test.concurrent('is not cut where the line in its place would be longer', async () => {
    const whole = await shell({ cmd: 'head -c 300 /dev/zero | tr "\\0" a', max_output: 256 });
    expect(whole).toEqual({ stdout: 'a'.repeat(300), exit_code: 0 } as Answer);
    const cut = await shell({ cmd: 'head -c 400 /dev/zero | tr "\\0" a', max_output: 256 });
    expect(cut.omitted?.stdout).toEqual({ offset: 85, bytes: 145 });
    expect(cut.stdout).toContain('[agent3: 145 bytes omitted; read_session offset 85 reads them]');
    expect(cut.message).toBeUndefined();
  });

  test.concurrent('names the stream that is not the usual one', async () => {
    const { stderr = '', omitted } = await shell({ cmd: 'seq 1 1000 >&2', max_output: 256 });
    const { offset = 0, bytes = 0 } = omitted?.stderr ?? {};
    expect(stderr).toContain(
      `\n[agent3: ${bytes} bytes omitted; read_session stream stderr offset ${offset} reads them]\n`,
    );
  });

  test.concurrent('is cut between lines', async () => {
    const { stdout } = await shell({ cmd: 'seq 1 1000', max_output: 256 });
    expect(stdout).toMatch(/\n\d+\n\[agent3: \d+ bytes omitted; read_session offset \d+ reads them\]\n\d+\n/);
    const lines = stdout.split('\n').filter((line) => /^\d+$/.test(line));
    expect(lines.every((line, at) => at === 0 || Number(line) > Number(lines[at - 1]))).toBe(true);
    const long = await shell({ cmd: 'head -c 3000 /dev/zero | tr "\\0" a; echo; echo end', max_output: 256 });
    expect(long.stdout).toEndWith(`${'a'.repeat(165)}\nend\n`);
  });
});

/** What hosts of MCP show their model of a result: its text, its structured content where there is some, or both. */
const HOSTS: readonly (readonly [name: string, shows: (result: Shown) => string])[] = [
  ['text alone', ({ content }) => content.map(({ text }) => text).join('\n')],
  [
    'structured content first',
    ({ content, structuredContent }) =>
      structuredContent === undefined ? content.map(({ text }) => text).join('\n') : JSON.stringify(structuredContent),
  ],
  [
    'both',
    ({ content, structuredContent }) =>
      [...content.map(({ text }) => text), JSON.stringify(structuredContent) ?? ''].join('\n'),
  ],
];

interface Shown {
  readonly content: readonly { readonly text?: string }[];
  readonly structuredContent?: unknown;
}

describe.each(HOSTS)('a host of MCP that shows %s', (_, shows) => {
  const call = async (name: string, args: Record<string, unknown>): Promise<string> =>
    shows((await mcp.sdk.callTool({ name, arguments: args })) as Shown);
  const timesIn = (text: string, part: string): number => text.split(part).length - 1;

  test('sees output, errors and exit code once each', async () => {
    const seen = await call('shell', { cmd: 'echo outpart; echo errpart >&2; exit 3' });
    for (const part of ['outpart', 'errpart', '"exit_code":3']) expect([part, timesIn(seen, part)]).toEqual([part, 1]);
  });

  test('sees once what to do with a command that runs', async () => {
    const seen = await call('shell', { cmd: 'echo outpart; sleep 60', background: true });
    for (const part of ['"status":"running"', '"session"', 'read_session'])
      expect([part, timesIn(seen, part)]).toEqual([part, 1]);
  });

  test('sees a refusal once', async () => {
    const seen = await call('shell', { cmd: 'true', timeout: 5000 });
    expect(timesIn(seen, 'timeout must be a number up to 3600, not 5000')).toBe(1);
  });

  test('sees the fields of what is no output once', async () => {
    const seen = await call('server_info', {});
    expect(timesIn(seen, '"hostname"')).toBe(1);
  });
});
