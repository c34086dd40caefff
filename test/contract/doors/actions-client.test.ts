import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { ActionsClient } from '../../helpers/actions-client.ts';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

/** `AGENT3_FULL_LENGTH=1 bun test test/contract/doors/actions-client.test.ts`: three minutes, with the limits as they are. */
const isFullLength = process.env['AGENT3_FULL_LENGTH'] === '1';
const JOB_SECONDS = isFullLength ? 180 : 6;

const agent = await startAgent(isFullLength ? {} : { AGENT3_REPLY_SECONDS: '1.5', AGENT3_MAX_EXEC_SECONDS: '2' });
afterAll(() => agent[Symbol.asyncDispose]());
const client = await ActionsClient.import(`${agent.url}/openapi.json`, agent.token);

/** Follows a session to its end; returns everything that it wrote and its last state. */
async function follow(session: unknown): Promise<{ text: string; last: Record<string, unknown> }> {
  let text = '';
  let offset = 0;
  for (;;) {
    const page = await client.call('read_session', { session, offset, wait: 30 });
    text += page['stdout'];
    if (page['next_offset'] === undefined) return { text, last: page };
    offset = Number(page['next_offset']);
  }
}

describe('a strict client of the Actions', () => {
  test.concurrent(
    'follows a job that takes longer than any answer may, and reads it whole',
    async () => {
      const cmd = `for i in $(seq ${JOB_SECONDS}); do echo "step $i"; sleep 1; done; exit 5`;
      const started = await client.call('shell', { cmd, background: true });
      // On a slow machine the first line is there before the answer.
      expect(started).toMatchObject({ status: 'running', stdout_bytes: expect.any(Number) });
      const { text, last } = await follow(started['session']);
      expect(text).toBe(Array.from({ length: JOB_SECONDS }, (_, at) => `step ${at + 1}\n`).join(''));
      expect(last).toEqual({ stdout: expect.any(String), exit_code: 5, duration_ms: expect.any(Number) });
    },
    JOB_SECONDS * 1000 + 60_000,
  );

  test.concurrent('loses nothing of a job that nobody had foreseen to be long', async () => {
    const seconds = isFullLength ? 60 : 4;
    const cmd = `for i in $(seq ${seconds}); do echo "step $i"; sleep 1; done`;
    const started = await client.call('shell', { cmd, on_timeout: 'background' });
    expect(started).toMatchObject({ status: 'running' });
    const { text, last } = await follow(started['session']);
    expect(text.split('\n')).toHaveLength(seconds + 1);
    expect(last).not.toHaveProperty('status');
    expect(last).toMatchObject({ exit_code: 0 });
  }, 120_000);

  test.concurrent('answers the prompts of a program like passwd', async () => {
    const cmd = `read -rsp 'New password: ' one; echo; read -rsp 'Retype new password: ' two; echo
      [ "$one" = "$two" ] && echo 'passwd: password updated successfully'`;
    const asked = await client.call('shell', { cmd, pty: true });
    expect(asked).toMatchObject({ status: 'running', stdout: 'New password: ' });
    expect(String(asked['message'])).toContain('write_session');
    const { session } = asked;
    expect(await client.call('write_session', { session, input: 's3cret\n' })).toMatchObject({
      stdout: '\nRetype new password: ',
    });
    expect(await client.call('write_session', { session, input: 's3cret\n' })).toMatchObject({
      stdout: '\npasswd: password updated successfully\n',
      exit_code: 0,
    });
  });

  test.concurrent('reads a log of 10 MB whole, page by page', async () => {
    const cmd = 'for i in $(seq 1 120); do seq -f "line %07g of a log that is long €" 1 2300; done';
    // A busy machine takes longer for it than one call may.
    const started = await client.call('shell', { cmd, max_output: 1000, background: true });
    const { text, last } = await follow(started['session']);
    expect(last).not.toHaveProperty('status');
    expect(last).toMatchObject({ exit_code: 0 });
    const wanted = Array.from(
      { length: 2300 },
      (_, at) => `line ${String(at + 1).padStart(7, '0')} of a log that is long €\n`,
    )
      .join('')
      .repeat(120);
    expect(Buffer.byteLength(wanted)).toBeGreaterThan(10_000_000);
    expect(text === wanted).toBe(true);
  });

  test.concurrent('writes a file without any quoting', async () => {
    using directory = new TemporaryDirectory();
    const path = directory.join('it is.txt');
    const text = `"double" 'single' \`back\` $HOME \${x} $(id) \\ \\n !! # * ~ ; & | < > \t é€👋\n\nno newline at the end`;
    const written = await client.call('shell', { cmd: 'cat > "$FILE"', env: [`FILE=${path}`], stdin: text });
    expect(written).toEqual({ stdout: '', exit_code: 0 });
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  test('loses none of 200 random calls', async () => {
    const { session } = await client.call('shell', { cmd: 'seq 1 100000; head -c 200000 /dev/urandom >&2' });
    const anySession = fc.constantFrom(session, crypto.randomUUID(), 'no session');
    const calls = fc.oneof(
      fc.record({
        op: fc.constant('shell'),
        args: fc.record(
          {
            cmd: fc.constantFrom(
              'true',
              'exit 3',
              'yes | head -c 300000',
              'head -c 100000 /dev/zero',
              'head -c 200000 /dev/urandom; head -c 200000 /dev/urandom >&2',
              String.raw`printf '"\\\033%.0s' $(seq 40000)`,
              'sleep 3',
              'cat',
              'kill -9 $$',
              'echo left; sleep 5 &',
              'read x; echo $x',
            ),
            stdin: fc.string({ unit: 'binary', maxLength: 2000 }),
            timeout: fc.constantFrom(0.5, 1, 2),
            keep: fc.constantFrom('both', 'head', 'tail'),
            max_output: fc.integer({ min: 256, max: 92_160 }),
            background: fc.boolean(),
            pty: fc.boolean(),
            plain: fc.boolean(),
            on_timeout: fc.constantFrom('kill', 'background'),
          },
          { requiredKeys: ['cmd'] },
        ),
      }),
      fc.record({
        op: fc.constant('read_session'),
        args: fc.record(
          {
            session: anySession,
            offset: fc.integer({ min: -700_000, max: 700_000 }),
            limit: fc.integer({ min: 1, max: 1_000_000 }),
            stream: fc.constantFrom('stdout', 'stderr'),
            wait: fc.constantFrom(0, 0.2, 40),
            encoding: fc.constantFrom('utf8', 'base64'),
            match: fc.constantFrom('9', '^$', '(', '.', '[^a]+'),
            context_lines: fc.integer({ min: 0, max: 20 }),
          },
          { requiredKeys: ['session'] },
        ),
      }),
      fc.record({ op: fc.constant('list_sessions'), args: fc.record({ limit: fc.integer({ min: 1, max: 100 }) }) }),
      fc.record({ op: fc.constant('write_session'), args: fc.record({ session: anySession, input: fc.string() }) }),
      fc.record({ op: fc.constant('kill_session'), args: fc.record({ session: anySession }) }),
      fc.record({ op: fc.constant('server_info'), args: fc.constant({}) }),
    );
    const statuses = new Map<number, number>();
    await Promise.all(
      fc.sample(calls, 200).map(async ({ op, args }, at) => {
        // Eight at a time, as several conversations would.
        await Bun.sleep(Math.floor(at / 8) * 150);
        const { status } = await client.send(op, args);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }),
    );
    // Refused are sessions that do not exist, invalid patterns, and what is too much at once.
    expect([...statuses.keys()].filter((status) => ![200, 400, 404, 429].includes(status))).toEqual([]);
    expect(statuses.get(200) ?? 0).toBeGreaterThan(100);
  }, 120_000);
});
