import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { BINARY } from '../../helpers/binary.ts';
import { Client, type ClientOptions, clientEnvironment, runClient, textOf } from '../../helpers/client.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { gone, pidIn } from '../../helpers/processes.ts';
import { Trigger } from '../../helpers/trigger.ts';

ensurePrograms('script');

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const sessions = async (args: readonly string[], options: ClientOptions = {}) =>
  textOf(await runClient(agent, ['session', ...args], options));

/** Runs the client on a terminal of 100 columns; returns what that shows. */
async function onTerminal(args: string, env: Readonly<Record<string, string>>): Promise<string> {
  const command = ['script', '-qec', `stty cols 100; ${BINARY} ${args}`, '/dev/null'];
  const child = Bun.spawn(command, { env: { ...clientEnvironment(agent), ...env }, stdin: 'ignore', stdout: 'pipe' });
  return (await child.stdout.text()).replaceAll('\r\n', '\n');
}

describe('agent3 session list', () => {
  test('gives fields between tabs, JSON, or a table on a terminal', async () => {
    await using other = await startAgent();
    const list = async (...args: string[]) => textOf(await runClient(other, ['session', 'list', ...args])).stdout;
    const first = await other.shell({ cmd: "echo 'a\tb'\nexit 3" });
    const second = await other.shell({ cmd: 'sleep 300', background: true });
    const [top = '', bottom = ''] = (await list()).split('\n');
    expect(top.split('\t').slice(0, 3)).toEqual([second.session, 'running', '']);
    expect(bottom.split('\t')).toEqual([
      first.session,
      'done',
      '3',
      expect.stringMatching(/^\d{4}-.*Z$/),
      expect.stringMatching(/^\d+$/),
      '4',
      '0',
      String.raw`echo 'a\tb'\nexit 3`,
    ]);
    expect((await list('--status', 'done')).split('\n')).toHaveLength(2);
    expect((await list('--limit', '1')).split('\n')).toHaveLength(2);
    expect(JSON.parse(await list('--json'))).toMatchObject([{ status: 'running' }, { status: 'done', exit_code: 3 }]);
    await other.call('close_session', { session: second.session });
  });

  test('with --all pages to the oldest', async () => {
    await using other = await startAgent({ AGENT3_MAX_RUNNING: '200' });
    await Promise.all(Array.from({ length: 130 }, () => other.shell({ cmd: 'true' })));
    const { stdout } = textOf(await runClient(other, ['session', 'list', '--all']));
    const ids = stdout.split('\n').map((line) => line.split('\t')[0]);
    expect(new Set(ids).size).toBe(131);
  });

  test('is a table on a terminal, coloured unless somebody minds', async () => {
    await agent.shell({ cmd: `true ${'x'.repeat(200)}` });
    const coloured = await onTerminal('session list --limit 1', { TERM: 'xterm' });
    const [head = '', row = ''] = coloured.split('\n');
    expect(head).toMatch(/^SESSION +STATUS +EXIT +STARTED +TOOK +OUTPUT +COMMAND$/);
    expect(row).toContain('\x1b[32mdone');
    expect(row).toEndWith('…');
    expect(Bun.stripANSI(row)).toHaveLength(100);
    expect(await onTerminal('session list', { TERM: 'xterm', NO_COLOR: '1' })).not.toContain('\x1b');
    expect(await onTerminal('session list', { TERM: 'dumb' })).not.toContain('\x1b');
  });
});

describe('agent3 session read', () => {
  test.concurrent('gives exact bytes, from an offset, of either stream', async () => {
    const { session } = await agent.shell({ cmd: String.raw`printf '0123\xff\x00'; printf 'error' >&2; seq 1 50000` });
    const { code, stdout } = await runClient(agent, ['session', 'read', session]);
    const numbers = Array.from({ length: 50_000 }, (_, at) => `${at + 1}\n`).join('');
    expect(code).toBe(0);
    expect(stdout.equals(Buffer.concat([Buffer.from([48, 49, 50, 51, 0xff, 0]), Buffer.from(numbers)]))).toBe(true);
    expect((await sessions(['read', '--stderr', session])).stdout).toBe('error');
    expect((await sessions(['read', '--offset', '-6', session])).stdout).toBe('50000\n');
    expect((await sessions(['read', '--stderr', '--offset', '3', session])).stdout).toBe('or');
  });

  test.concurrent('with --follow continues to the end', async () => {
    using trigger = new Trigger();
    const { session } = await agent.shell({ cmd: `echo one; ${trigger.wait}; echo two`, background: true });
    const child = new Client(agent, ['session', 'read', '--follow', session]);
    await child.shows('one');
    expect((await sessions(['read', session])).stdout).toBe('one\n');
    trigger.open();
    expect(textOf(await child.ended())).toEqual({ code: 0, stdout: 'one\ntwo\n', stderr: '' });
  });

  test.concurrent('with --follow begins again with a stream that its command empties, and says so', async () => {
    using first = new Trigger();
    using second = new Trigger();
    const cmd = `echo aaaa; ${first.wait}; echo b > /dev/stdout; ${second.wait}; echo cccccccc`;
    const { session } = await agent.shell({ cmd, background: true });
    const child = new Client(agent, ['session', 'read', '--follow', session]);
    await child.shows('aaaa\n');
    first.open();
    await child.shows('b\n');
    second.open();
    const { code, stdout, stderr } = textOf(await child.ended());
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'aaaa\nb\ncccccccc\n' });
    expect(stderr).toContain('opened its own stdout again');
  });

  test.concurrent('with --follow ends with the exit code of the command', async () => {
    const { session } = await agent.shell({ cmd: 'echo one; exit 7' });
    expect(await sessions(['read', '--follow', session])).toEqual({ code: 7, stdout: 'one\n', stderr: '' });
    expect(await sessions(['read', session])).toEqual({ code: 0, stdout: 'one\n', stderr: '' });
    const late = await agent.shell({ cmd: 'sleep 9', timeout: 0.2 });
    expect(await sessions(['read', '-f', late.session])).toMatchObject({ code: 124 });
  });

  test.concurrent('takes the beginning of an id that no other session has', async () => {
    const { session } = await agent.shell({ cmd: 'echo one' });
    expect(await sessions(['read', session.slice(0, 30)])).toEqual({ code: 0, stdout: 'one\n', stderr: '' });
    expect(await sessions(['read', '0000000'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'agent3: no session id begins with 0000000. To see them: agent3 session list\n',
    });
    await agent.shell({ cmd: 'true' });
    const several = await sessions(['close', session.slice(0, 5)]);
    expect(several).toMatchObject({ code: 1, stdout: '' });
    expect(several.stderr).toMatch(new RegExp(`^agent3: \\d+ session ids begin with ${session.slice(0, 5)}: `));
    expect(await sessions(['stop', session.slice(0, 30)])).toMatchObject({ code: 0 });
    expect(await sessions(['close', session.slice(0, 30)])).toMatchObject({ code: 0, stdout: `${session}\tclosed\n` });
  });

  test.concurrent('shows no escape sequences of a terminal session on a terminal, unless --raw', async () => {
    const { session } = await agent.shell({ cmd: String.raw`printf '\033[31mred\033[0m\n'`, pty: true });
    expect(await onTerminal(`session read ${session}`, { TERM: 'xterm' })).toBe('red\n');
    expect(await onTerminal(`session read --raw ${session}`, { TERM: 'xterm' })).toContain('\x1b[31mred');
  });
});

test('agent3 session stop and close stop commands', async () => {
  const { session } = await agent.shell({ cmd: 'echo $$; exec sleep 300', background: true });
  const pid = pidIn((await agent.read({ session, wait: 10, until: 'output' })).stdout);
  const killed = await sessions(['stop', '--signal', 'INT', session]);
  expect(killed).toMatchObject({ code: 0, stderr: '' });
  expect(killed.stdout).toBe(`${session}\tkilled\t1 process signalled\n`);
  await gone(pid);
  expect(await sessions(['close', session])).toEqual({ code: 0, stdout: `${session}\tclosed\n`, stderr: '' });
  const missing = await sessions(['read', session]);
  expect(missing).toMatchObject({ code: 1, stdout: '' });
  expect(missing.stderr).toStartWith('agent3: Session not found');
});

test.each([[['lss']], [['stop', '--signal', 'NONE', 'x']], [['list', '--limit', 'many']], [['read']], [[]]])(
  'agent3 session %j is a mistake on the command line',
  async (args) => {
    expect(await sessions(args)).toMatchObject({ code: 2, stdout: '' });
  },
);
