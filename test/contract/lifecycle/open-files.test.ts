import { describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { postText, RawConnection } from '../../helpers/sockets.ts';
import { eventually } from '../../helpers/waiting.ts';

/** What a descriptor of another process is; nothing when it was closed just now. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** An agent that may open so few files, started by a shell that has the same limits and takes it along. */
const startLimited = (limits: string) =>
  startAgent({}, ['bash', '-c', `${limits}; setpriv --pdeathsig KILL "$@" & wait`, 'bash']);

describe('where the agent has as many files open as it may', () => {
  test.each([{}, { pty: true }, { interactive: true }, { key: true }, { stdin: 'x' }])(
    'a command runs, or is refused in one sentence and has not run: %j',
    async (way) => {
      await using agent = await startAgent({}, ['bash', '-c', 'ulimit -n 110; exec "$@"', 'bash']);
      const sessionFiles = (): string[] =>
        readdirSync(`/proc/${agent.pid}/fd`)
          .map((fd) => linkOf(`/proc/${agent.pid}/fd/${fd}`))
          .filter((path) => path.startsWith(agent.sessionsDir) && !path.includes('/.'));
      using directory = new TemporaryDirectory();
      const answers = await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const cmd = `touch ${directory.join(String(index))}; exec sleep 300`;
          const args = { cmd, background: true, ...way, ...('key' in way && { key: crypto.randomUUID() }) };
          return { index, ...(await agent.call('shell', args)) };
        }),
      );
      for (const { index, status, body } of answers) {
        if (status === 200) {
          await eventually('it runs', () => existsSync(directory.join(String(index))));
          continue;
        }
        expect({ status, body }).toEqual({
          status: 503,
          body: { error: 'Not available', message: expect.stringContaining('Nothing was run: the agent has as many') },
        } as never);
      }
      const started = answers.filter(({ status }) => status === 200);
      expect(started.length).toBeWithin(1, 40);
      expect(readdirSync(directory.path)).toHaveLength(started.length);
      // Connections of clients count as well. What runs can be ended, and then there is room again.
      for (const { body } of started) {
        expect((await agent.call('close_session', { session: body.session })).status).toBe(200);
      }
      const { body } = await eventually('there is room', async () => {
        const reply = await agent.call('shell', { cmd: 'echo alive' });
        return reply.status === 200 && reply;
      });
      expect(body).toMatchObject({ stdout: 'alive\n' });
      // Nothing that was refused or closed is still open.
      await eventually('all is closed', () => sessionFiles().length === 0);
      // Of a closed session, the record stays with its key.
      expect(agent.sessionsOnDisk()).toHaveLength('key' in way ? started.length + 1 : 1);
    },
  );
});

test('a file that cannot be opened for want of descriptors is no fault of its path', async () => {
  await using agent = await startAgent({}, ['bash', '-c', 'ulimit -n 64; exec "$@"', 'bash']);
  using stack = new DisposableStack();
  const connections = await Promise.all(Array.from({ length: 38 }, () => RawConnection.open(agent)));
  for (const connection of connections) stack.use(connection);
  const read = '{"op":"read_file","args":{"path":"/etc/passwd","limit":1}}';
  for (const connection of connections) connection.send(postText(agent, read));
  const answers = await Promise.all(connections.map((connection) => connection.until(/\}$/)));
  const refusals = answers.filter((answer) => !answer.startsWith('HTTP/1.1 200'));
  expect(refusals.length).toBeWithin(1, 39);
  for (const refusal of refusals) {
    expect(refusal).toStartWith('HTTP/1.1 503');
    expect(refusal).toContain('{"error":"Not available","message":"The agent has reached its limit of open files');
  }
  stack.dispose();
  await eventually('there is room', async () => (await agent.post(read)).status === 200);
});

const isRoot = process.geteuid?.() === 0;
const isSandboxable = ensurePrograms('bwrap').length === 0;

test.skipIf(!isSandboxable)('a sandbox or a link for want of descriptors is refused in the same sentence', async () => {
  for (const profile of ['readonly', 'full']) {
    await using agent = await startAgent({ AGENT3_PROFILE: profile }, [
      'bash',
      '-c',
      'ulimit -n 64; exec "$@"',
      'bash',
    ]);
    // Connections that a client keeps would hold the last descriptors, and others would never be accepted.
    const call = (op: string, args: object) => agent.post(JSON.stringify({ op, args }), { connection: 'close' });
    expect((await call('shell', { cmd: 'true' })).status).toBe(200);
    const calls = Array.from({ length: 12 }, () => [
      call('shell', { cmd: 'sleep 1' }),
      call('shell', { cmd: 'sleep 1', pty: true, background: true }),
      call('read_file', { path: '/etc/hostname' }),
      call('download', { path: '/etc/hostname' }),
    ]);
    const refusals = (await Promise.all(calls.flat())).filter(({ status }) => status !== 200);
    expect(refusals.length).toBeGreaterThan(0);
    for (const { status, body } of refusals) {
      expect(body.message).toMatch(/as many files open as it may|reached its limit of open files/);
      expect(status).toBe(503);
    }
  }
});

test.if(isRoot)('what the owner decides then is known at once: a freeze, a token that ended', async () => {
  using directory = new TemporaryDirectory();
  const env = { AGENT3_APPROVALS_DIR: directory.join('approvals'), AGENT3_TOKENS_FILE: directory.join('tokens.json') };
  mkdirSync(env.AGENT3_APPROVALS_DIR, { mode: 0o750 });
  const token = (await agent3(['token', 'create', 'ends', '--profile', 'full'], env)).stdout.trim();
  await using agent = await startAgent(env, ['bash', '-c', 'ulimit -n 64; exec "$@"', 'bash']);
  using stack = new DisposableStack();
  const connection = stack.use(await RawConnection.open(agent));
  const answer = (text: string, expected: RegExp) =>
    eventually(`it is answered ${expected}`, async () => {
      connection.received = '';
      connection.send(text);
      return expected.test(await connection.until(/\}$/));
    });
  const list = '{"op":"list_sessions"}';
  await answer(postText({ token }, list), /^HTTP\/1\.1 200/);
  for (const one of await Promise.all(Array.from({ length: 80 }, () => RawConnection.open(agent)))) stack.use(one);
  await eventually('no descriptor is free', () => readdirSync(`/proc/${agent.pid}/fd`).length >= 64);
  await agent3(['token', 'revoke', 'ends'], env);
  await answer(postText({ token }, list), /^HTTP\/1\.1 403/);
  await agent3(['freeze', 'now'], env);
  await answer(postText(agent, '{"op":"shell","args":{"cmd":"true"}}'), /"error":"Frozen"/);
  stack.dispose();
  await eventually('there is room', async () => (await agent.post(list)).status === 200);
  expect((await agent.call('shell', { cmd: 'true' })).body.error).toBe('Frozen');
});

describe('a command may open as many files as the agent could when it was started', () => {
  test.each([
    ['ulimit -Sn 1000', '1000'],
    ['ulimit -n 2000; ulimit -Sn 512', '512'],
    ['ulimit -n 800', '800'],
  ])('%s', async (limits, expected) => {
    await using agent = await startLimited(limits);
    for (const way of [{}, { pty: true }, { background: true }]) {
      const { session } = await agent.shell({ cmd: 'ulimit -Sn', ...way });
      const stdout = await eventually('its output', async () => (await agent.read({ session })).stdout || undefined);
      expect(stdout.trim()).toBe(expected);
    }
    expect((await agent.shell({ cmd: 'ulimit -Sn $(ulimit -Hn) && echo raised' })).stdout).toBe('raised\n');
  });

  test('a soft limit that is no longer known becomes the usual one; the agent has all', async () => {
    await using agent = await startAgent({}, ['bash', '-c', 'ulimit -Sn 900; exec "$@"', 'bash']);
    const { stdout } = await agent.shell({ cmd: 'ulimit -Sn; ulimit -Hn; ulimit -Sn $(ulimit -Hn); ulimit -Sn' });
    const [soft, hard, raised] = stdout.split('\n').map(Number);
    expect({ soft, raised }).toEqual({ soft: Math.min(1024, hard ?? 0), raised: hard });
    // Not by a command: while the agent starts one, its own limit is that of commands for a moment.
    const own = readFileSync(`/proc/${agent.pid}/limits`, 'latin1');
    expect(own).toMatch(new RegExp(`^Max open files +${hard} +${hard} `, 'm'));
  });
});
