import { describe, expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { answerOf, McpClient } from '../../helpers/mcp.ts';
import { gone, killProcessesOf, pidIn } from '../../helpers/processes.ts';
import { within } from '../../helpers/waiting.ts';

/** A client that starts its server may send its first messages at once. */
const OPENING = [
  '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}',
  '{"jsonrpc":"2.0","method":"notifications/initialized"}',
];

const call = (id: number, cmd: string) =>
  JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'shell', arguments: { cmd } } });

/** Runs `agent3 mcp` with these lines on its standard input, which then ends. */
async function speak(state: string, lines: readonly string[]) {
  const child = Bun.spawn([BINARY, 'mcp'], {
    env: { ...BASE_ENVIRONMENT, XDG_STATE_HOME: state },
    stdin: new Blob([`${[...OPENING, ...lines].join('\n')}\n`]),
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [stdout, stderr, code] = await within(
    'agent3 mcp',
    Promise.all([child.stdout.text(), child.stderr.text(), child.exited]),
  );
  const messages = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { code, stderr, messages };
}

describe('agent3 mcp', () => {
  test('offers the same tools, without a token and without links, which nobody could open', async () => {
    using state = new TemporaryDirectory();
    await using agent = await startAgent();
    await using remote = await McpClient.overHttp(agent);
    await using local = await McpClient.overStdio({ XDG_STATE_HOME: state.path });
    expect(local.tools).toEqual(remote.tools.filter(({ name }) => name !== 'upload' && name !== 'download'));
    const { answer } = await local.call('shell', { cmd: 'echo local; exit 2' });
    expect(answer).toMatchObject({ stdout: 'local\n', exit_code: 2, status: 'done' });
    expect((await local.call('shell', {})).text).toStartWith('Missing cmd');
  });

  test('tells progress, and stops a command that the client cancels', async () => {
    using state = new TemporaryDirectory();
    await using client = await McpClient.overStdio({ XDG_STATE_HOME: state.path });
    const cancel = new AbortController();
    const onprogress = () => cancel.abort();
    const running = client.call('shell', { cmd: 'echo $$; exec sleep 300' }, { signal: cancel.signal, onprogress });
    await expect(running).rejects.toThrow();
    const { sessions } = (await client.call('list_sessions')).answer as unknown as { sessions: { session: string }[] };
    const { answer } = await client.call('read_session', { session: sessions[0]?.session, wait: 10 });
    await gone(pidIn(answer.stdout));
  });

  test('ends when its client closes standard input, after its last answers', async () => {
    using state = new TemporaryDirectory();
    const { code, messages, stderr } = await speak(state.path, ['no JSON', call(2, 'sleep 0.3; echo late')]);
    expect(code).toBe(0);
    expect(messages.map(({ id }) => id)).toEqual([1, 2]);
    expect(messages[1].result.content).toEqual([{ type: 'text', text: 'late\n' }]);
    expect(stderr).toContain('"op":"shell"');
    expect(stderr).not.toContain('late');
  });

  test('does not wait for a command that continues; the next one finds it', async () => {
    using state = new TemporaryDirectory();
    const { code, messages } = await speak(state.path, [call(2, 'echo $$; exec sleep 300')]);
    expect(code).toBe(0);
    const texts = messages[1].result.content.map(({ text }: { readonly text: string }) => text);
    const { session, status, stdout } = answerOf('shell', texts);
    expect(status).toBe('running');
    try {
      await using client = await McpClient.overStdio({ XDG_STATE_HOME: state.path });
      expect((await client.call('close_session', { session })).isError).toBe(false);
      await gone(pidIn(stdout));
    } finally {
      killProcessesOf(session);
    }
  });

  test('ends with its client', async () => {
    using state = new TemporaryDirectory();
    const client = await McpClient.overStdio({ XDG_STATE_HOME: state.path });
    await client[Symbol.asyncDispose]();
    await gone(client.pid);
  });

  test('has sessions of its own for each client at once', async () => {
    using state = new TemporaryDirectory();
    await using first = await McpClient.overStdio({ XDG_STATE_HOME: state.path });
    await using second = await McpClient.overStdio({ XDG_STATE_HOME: state.path });
    await Promise.all([first, second].map((client) => client.call('shell', { cmd: 'true' })));
    expect(readdirSync(state.join('agent3')).sort()).toEqual(['sessions', 'sessions-2']);
  });

  test('says which setting is wrong, and that another agent has its sessions', async () => {
    const wrong = await agent3(['mcp'], { AGENT3_REPLY_SECONDS: 'soon' });
    expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('AGENT3_REPLY_SECONDS') });
    await using agent = await startAgent();
    const taken = await agent3(['mcp'], { AGENT3_SESSIONS_DIR: agent.sessionsDir });
    expect(taken).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('another agent') });
  });
});
