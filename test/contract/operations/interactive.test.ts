import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { gone, isAlive, pidIn } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { readBytes } from '../../helpers/streams.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_KILL_GRACE_SECONDS: '0.5' });
afterAll(() => agent[Symbol.asyncDispose]());

/** A busy machine takes longer to answer than the wait of a write that names none. */
const write = async (
  session: string,
  args: Readonly<Record<string, unknown>>,
): Promise<Answer & { written: number }> => {
  const { status, text } = await agent.call('write_session', { session, wait: 40, ...args });
  expect(status).toBe(200);
  return JSON.parse(text) as Answer & { written: number };
};

const PASSWD = `read -rp 'Current password: ' -s old; echo; read -rp 'New password: ' -s new; echo
echo "changed from $old to $new"`;

describe('a command in a terminal', () => {
  test.concurrent('is answered as soon as it waits for input, with what it waits for', async () => {
    const asked = await agent.shell({ cmd: PASSWD, pty: true });
    expect(asked).toMatchObject({ status: 'running', stdout: 'Current password: ', exit_code: null });
    expect(asked.message).toMatch(
      /^The command runs, up to 3600 s\. bash \(pid \d+\) waits for input on its terminal: answer with write_session\.$/,
    );
    const next = await write(asked.session, { input: 'old one\n' });
    expect(next).toMatchObject({ status: 'running', stdout: '\nNew password: ', written: 8 });
    const last = await write(asked.session, { input: 'n€w\n' });
    expect(last).toMatchObject({ status: 'done', exit_code: 0, stdout: '\nchanged from old one to n€w\n', eof: true });
    expect(await agent.read({ session: asked.session })).toMatchObject({
      stdout: 'Current password: \nNew password: \nchanged from old one to n€w\n',
    });
  });

  test.concurrent('has one, of the size that was asked for', async () => {
    const cmd = 'tty; stty size; echo $TERM; ps -o tty= -p $$; : < /dev/tty && echo controls';
    const { stdout } = await agent.shell({ cmd, pty: true, rows: 40, cols: 100 });
    expect(stdout).toMatch(/^\/dev\/pts\/\d+\n40 100\nxterm-256color\npts\/\d+ *\ncontrols\n$/);
  });

  test.concurrent('is read without escape sequences, and kept with them', async () => {
    const cmd = String.raw`printf '\033[31mred\033[0m 10%%\r\033[31mred\033[0m 20%%\n'`;
    const answer = await agent.shell({ cmd, pty: true });
    expect(answer.stdout).toBe('red 20%\n');
    const raw = '\x1b[31mred\x1b[0m 10%\r\x1b[31mred\x1b[0m 20%\r\n';
    expect(answer.stdout_bytes).toBe(raw.length);
    expect((await agent.read({ session: answer.session, plain: false })).stdout).toBe(raw);
    expect((await agent.shell({ cmd, plain: true })).stdout).toBe('red 20%\n');
    expect((await agent.shell({ cmd, pty: true, plain: false })).stdout).toBe(raw);
  });

  test.concurrent('joins to the same plain text page after page, wherever a page is cut', async () => {
    const cmd = String.raw`for i in 1 2 3 4 5 6 7 8 9; do printf '\033[38;5;%dmline\033[0m %d\n' $i $i; done`;
    const { session, stdout } = await agent.shell({ cmd, pty: true });
    for (const limit of [1, 2, 3, 5, 7, 11, 40]) {
      let text = '';
      let offset = 0;
      for (let eof = false; !eof; ) {
        const page = await agent.read({ session, offset, limit });
        text += page.stdout;
        if (page.next_offset === offset) throw new Error(`no progress at ${offset} with a limit of ${limit}`);
        ({ next_offset: offset, eof } = page);
      }
      // Of a page that is shorter than a sequence, the sequence cannot be left whole.
      if (limit > 12) expect(text).toBe(stdout);
    }
  });

  test.concurrent('is interrupted by Ctrl-C', async () => {
    const { session, stdout } = await agent.shell({ cmd: 'echo $$; exec sleep 300', pty: true, background: true });
    expect(stdout).toBe('');
    const { stdout: pid } = await agent.read({ session, wait: 10, until: 'output' });
    const answer = await write(session, { input: '\u0003' });
    expect(answer).toMatchObject({ status: 'done', exit_code: 130 });
    await gone(pidIn(pid));
  });

  test.concurrent('sees the end of its input', async () => {
    const { session } = await agent.shell({ cmd: 'cat > /dev/null; echo over', pty: true });
    expect(await write(session, { close: true })).toMatchObject({ status: 'done', exit_code: 0, stdout: 'over\n' });
  });

  test.concurrent('gets stdin typed at its start', async () => {
    const { stdout } = await agent.shell({ cmd: 'read -r line; echo "got $line"', pty: true, stdin: 'typed\n' });
    expect(stdout).toContain('got typed\n');
  });

  test.concurrent.each([
    ['pty', /takes each as two/],
    ['interactive', /reads each \\r/],
  ])('is warned of CRLF line ends in what is typed, with %s', async (kind, told) => {
    const two = 'read -r a; read -r b; echo "[$a|$b]"';
    const { session, message } = await agent.shell({ cmd: two, [kind]: true });
    expect(message).not.toMatch(told);
    expect((await write(session, { input: 'yes\r\n' })).message).toMatch(told);
    expect((await agent.shell({ cmd: two, [kind]: true, stdin: 'yes\r\n' })).message).toMatch(told);
    const dialog = [{ expect: 'name', send: 'bob\r\n' }];
    expect((await agent.shell({ cmd: `echo name; ${two}`, [kind]: true, dialog })).message).toMatch(told);
    expect((await agent.shell({ cmd: 'cat', stdin: 'a\r\n' })).message).toBeUndefined();
  });

  test.concurrent('keeps every byte of a long output', async () => {
    const { stdout_bytes, status } = await agent.shell({ cmd: 'seq 1 200000', pty: true });
    // One carriage return a line more than the 1,288,895 bytes of seq.
    expect({ stdout_bytes, status }).toEqual({ stdout_bytes: 1_288_895 + 200_000, status: 'done' });
  });

  test.concurrent('leaves nothing when it is closed', async () => {
    const { session, stdout } = await agent.shell({ cmd: `echo $$; trap '' HUP TERM; read x`, pty: true });
    const pid = pidIn(stdout);
    expect(isAlive(pid)).toBe(true);
    expect((await agent.call('close_session', { session })).text).toBe('{"status":"closed"}');
    await gone(pid);
  });
});

describe('a command with an open input', () => {
  test.concurrent('tells after each write the errors that came since', async () => {
    const cmd = 'echo first >&2; while read -r x; do echo "error $x" >&2; done';
    const { session, stderr } = await agent.shell({ cmd, interactive: true });
    expect(stderr).toBe('first\n');
    expect((await write(session, { input: 'one\n' })).stderr).toBe('error one\n');
    expect((await write(session, { input: 'two\n' })).stderr).toBe('error two\n');
    expect((await agent.read({ session })).stderr).toBe('first\nerror one\nerror two\n');
    await agent.call('close_session', { session });
  });

  test.concurrent('reads what is written, and its end', async () => {
    const { session, status } = await agent.shell({ cmd: 'cat -n', interactive: true, stdin: 'zero\n' });
    expect(status).toBe('running');
    expect((await agent.read({ session })).stdout).toBe('     1\tzero\n');
    expect(await write(session, { input: 'one\n' })).toMatchObject({ stdout: '     2\tone\n', status: 'running' });
    expect(await write(session, { input: 'two\n', close: true })).toMatchObject({
      stdout: '     3\ttwo\n',
      status: 'done',
      exit_code: 0,
    });
    const late = await write(session, { input: 'late\n' });
    expect(late).toMatchObject({
      written: 0,
      status: 'done',
      message: 'The command had ended before, so nothing was written.',
    });
  });

  test.concurrent('takes what fits when it does not read, and says how much', async () => {
    const { session } = await agent.shell({ cmd: 'sleep 300', interactive: true, background: true });
    const line = 'x'.repeat(60_000);
    expect((await write(session, { input: line, wait: 0 })).written).toBe(60_000);
    const { written, message } = await write(session, { input: line, wait: 0 });
    expect(written).toBeLessThan(60_000);
    expect(message).toContain(`it took ${written} of 60000 bytes`);
    await agent.call('close_session', { session });
  });

  test.concurrent('takes whole characters, so that the rest can be sent again', async () => {
    using trigger = new Trigger();
    const cmd = `${trigger.wait}; exec cat`;
    const { session } = await agent.shell({ cmd, interactive: true, background: true });
    const text = '€'.repeat(21_000);
    await write(session, { input: text, wait: 0 });
    const { written } = await write(session, { input: text, wait: 0 });
    expect({ isPart: written < 63_000, left: written % 3 }).toEqual({ isPart: true, left: 0 });
    trigger.open();
    await eventually('it reads', async () => (await agent.read({ session })).stdout_bytes > 0);
    await write(session, { input: text.slice(written / 3), close: true });
    const bytes = await readBytes(agent, session);
    expect(bytes.toString() === text + text).toBe(true);
  });

  test.concurrent('whose end was sent takes no more', async () => {
    const { session } = await agent.shell({ cmd: 'cat; sleep 300', interactive: true });
    await write(session, { close: true, wait: 0 });
    expectRefusal(
      await agent.call('write_session', { session, input: 'x' }),
      400,
      'Invalid args',
      /The input of this command is closed/,
    );
    await agent.call('close_session', { session });
  });
});

test('a command without an open input is not written to, and the error says what to do', async () => {
  const { session } = await agent.shell({ cmd: 'sleep 300', background: true });
  const refused = await agent.call('write_session', { session, input: 'x' });
  expectRefusal(refused, 400, 'Invalid args', /interactive: true/);
  expectRefusal(
    await agent.call('write_session', { session, text: 'x' }),
    400,
    'Invalid args',
    /Unknown argument "text"/,
  );
  await agent.call('close_session', { session });
});
