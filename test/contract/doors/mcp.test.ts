import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { gone, pidIn } from '../../helpers/processes.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
const clients = { older: await McpClient.overHttp(agent), newer: await McpClient.overHttp(agent, {}, 'newer') };
afterAll(async () => {
  for (const client of Object.values(clients)) await client[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

/** Both eras of the protocol on the same URL. */
const ERAS = ['older', 'newer'] as const;

describe.each(ERAS)('in the %s protocol:', (era) => {
  const client = clients[era];

  describe('the tools', () => {
    test('are the operations, with what each may do', () => {
      const hints = client.tools.map(({ name, annotations }) => [
        name,
        annotations?.readOnlyHint,
        annotations?.destructiveHint,
      ]);
      expect(hints).toEqual([
        ['shell', false, true],
        ['look', true, false],
        ['read_session', true, false],
        ['list_sessions', true, false],
        ['write_session', false, true],
        ['kill_session', false, true],
        ['close_session', false, true],
        ['read_file', true, false],
        ['write_file', false, true],
        ['edit_file', false, true],
        ['undo', false, true],
        ['upload', false, true],
        ['download', true, false],
        ['server_info', true, false],
      ]);
    });

    test('have texts and schemas of their arguments, and promise no form of their answers', () => {
      for (const { title, description, inputSchema, outputSchema } of client.tools) {
        expect([title, description]).toEqual([expect.any(String), expect.any(String)]);
        expect([inputSchema.type, outputSchema]).toEqual(['object', undefined]);
      }
      const shell = client.tools.find(({ name }) => name === 'shell');
      expect(shell?.inputSchema.required).toEqual(['cmd']);
    });

    test('come with short instructions', () => {
      const instructions = client.sdk.getInstructions() ?? '';
      expect(instructions).toContain('read_session');
      expect(instructions.length).toBeLessThanOrEqual(2200);
    });

    test('take few characters, of which a model pays for each', () =>
      expect(JSON.stringify(client.tools).length).toBeLessThanOrEqual(12_000));
  });

  describe('a call', () => {
    test('gives the text of a file and of a difference as it is', async () => {
      const path = `${agent.directory}/doors`;
      await client.call('write_file', { path, content: 'say "one"\n' });
      expect((await client.call('read_file', { path })).texts).toEqual([
        'say "one"\n',
        `{"sha256":"${Bun.SHA256.hash('say "one"\n', 'hex')}"}`,
      ]);
      const edits = [{ old: 'one', new: 'two' }];
      expect((await client.call('edit_file', { path, edits })).texts).toEqual([
        '@@ -1,1 +1,1 @@\n-say "one"\n+say "two"\n',
      ]);
    });

    test('gives its output as it is, then its errors, then what the other fields say', async () => {
      const { texts, isError } = await client.call('shell', { cmd: 'echo \'"out"\'; echo err >&2; exit 3' });
      expect(isError).toBe(false);
      expect(texts).toEqual(['"out"\n', '[stderr]\nerr\n', '{"exit_code":3}']);
    });

    test('that went well is its output alone', async () => {
      expect((await client.call('shell', { cmd: 'echo out' })).texts).toEqual(['out\n']);
      expect((await client.call('shell', { cmd: 'true' })).texts).toEqual(['']);
      expect((await client.call('shell', { cmd: 'echo err >&2' })).texts).toEqual(['', '[stderr]\nerr\n']);
    });

    test('has no structured content: hosts would show the model nothing else', async () => {
      const result = await client.sdk.callTool({ name: 'shell', arguments: { cmd: 'true' } });
      expect(result).not.toHaveProperty('structuredContent');
    });

    test('names its session where there is something left to do: cut, running, a key', async () => {
      const cut = await client.call('shell', { cmd: 'seq 1 100000' });
      expect(JSON.parse(cut.texts.at(-1) ?? '')).toMatchObject({ session: cut.answer.session, stdout_bytes: 588_895 });
      const running = await client.call('shell', { cmd: 'sleep 300', background: true });
      expect(running.answer).toMatchObject({ status: 'running', session: expect.any(String) });
      await client.call('kill_session', { session: running.answer.session });
      const kept = await client.call('shell', { cmd: 'true', key: `${era}-kept` });
      expect(JSON.parse(kept.texts.at(-1) ?? '')).toEqual({ session: kept.answer.session });
    });

    test.each([null, undefined])('with arguments %p has none', async (none) => {
      const params = { name: 'server_info', ...(none !== undefined && { arguments: none }) };
      const result = await client.sdk.callTool(params as never);
      expect(result.isError).not.toBe(true);
    });

    test('of every operation returns what its schema promises', async () => {
      const { answer } = await client.call('shell', {
        cmd: 'echo $NAME; sleep 300',
        background: true,
        env: ['NAME=set'],
      });
      const { session } = answer;
      expect((await client.call('read_session', { session, wait: 5, until: 'output' })).answer.stdout).toBe('set\n');
      const found = await client.call('read_session', { session, match: '^s.t', context_lines: 1 });
      expect(found.answer as object).toMatchObject({ matches: [{ line: 1, offset: 0, text: 'set' }] });
      expect((await client.call('list_sessions', { limit: 1 })).answer as object).toMatchObject({
        sessions: [{ session, status: 'running' }],
      });
      expect((await client.call('kill_session', { session })).answer).toMatchObject({
        status: 'killed',
        exit_code: 143,
      });
      expect((await client.call('close_session', { session })).answer as object).toEqual({ status: 'closed' });
      expect((await client.call('server_info')).answer as object).toMatchObject({ limits: { reply_seconds: 40 } });
    });

    test('takes null for what is not given, and numbers and booleans as text', async () => {
      const args = { cmd: 'seq 1 1000', cwd: null, env: null, timeout: '10', background: 'false', max_output: '300' };
      const { answer, isError } = await client.call('shell', args);
      expect(isError).toBe(false);
      expect(answer).toMatchObject({ status: 'done', exit_code: 0, omitted: { stdout: { offset: 99 } } } as object);
      const page = { session: answer.session, offset: '3', limit: '5', match: null };
      expect((await client.call('read_session', page)).answer.stdout).toBe('\n3\n4\n');
    });

    test('types into a command that asks', async () => {
      const { answer } = await client.call('shell', { cmd: 'read -p "name? " name; echo "hello $name"', pty: true });
      expect(answer).toMatchObject({ stdout: 'name? ', status: 'running' });
      const typed = await client.call('write_session', { session: answer.session, input: 'anna\n' });
      expect(typed.answer.stdout).toContain('hello anna');
      expect(typed.answer).toMatchObject({ status: 'done', written: 5 } as object);
    });

    test('shares its sessions with the other doors', async () => {
      const { answer } = await client.call('shell', { cmd: 'echo shared', key: `${era}-shared` });
      expect((await agent.read({ session: answer.session })).stdout).toBe('shared\n');
    });

    test('that is refused is a result with the reason as text', async () => {
      expect(await client.call('shell', { cmd: 'true', timeout: 5000 })).toMatchObject({
        isError: true,
        text: expect.stringMatching(/^Invalid args: timeout must be/),
      });
      const unknown = { session: crypto.randomUUID() };
      expect((await client.call('read_session', unknown)).text).toStartWith('Session not found');
      expect((await client.call('close_session', { ...unknown, force: true })).text).toContain('Nothing was done');
    });

    test('of an unknown tool is an error of the protocol that names the tools', async () => {
      const unknown = client.call('reboot');
      await expect(unknown).rejects.toMatchObject({
        code: -32_602,
        message: expect.stringContaining('shell, look, read_session'),
      });
    });

    test.each([["yes '\"'"], ['seq 1 1000000'], ["printf '\\033%.0s' {1..100000}"]])(
      'with the big output of %s fits an answer',
      async (cmd) => {
        const { answer, chars } = await client.call('shell', { cmd: `${cmd} | head -c 500000` });
        expect(chars).toBeLessThan(100_000);
        const { offset } = answer.omitted?.stdout ?? { offset: -1 };
        const page = await client.call('read_session', { session: answer.session, offset });
        expect(page.chars).toBeLessThan(100_000);
        expect(page.answer.next_offset).toBeGreaterThan(offset);
        const found = await client.call('read_session', { session: answer.session, match: '.' });
        expect(found.chars).toBeLessThan(100_000);
        expect((found.answer as unknown as { matches: unknown[] }).matches.length).toBeGreaterThan(0);
      },
    );

    test('lists no more sessions than fit', async () => {
      const quotes = `: ${'"'.repeat(198)}"`;
      for (let count = 0; count < 100; count++) await agent.call('shell', { cmd: `${quotes} ${count}` });
      const { answer, chars } = await client.call('list_sessions', { limit: 100 });
      const { sessions, next_before } = answer as unknown as { sessions: { session: string }[]; next_before: string };
      expect(chars).toBeLessThan(100_000);
      expect(sessions.length).toBeGreaterThan(20);
      expect(next_before).toBe(sessions.at(-1)?.session ?? '');
    });

    test('is in the log as any other, without its command', async () => {
      const { answer } = await client.call('shell', { cmd: 'exit 7 # unspeakable', key: `${era}-logged` });
      const line = await agent.log.find(
        'the call',
        ({ session, msg }) => msg === 'request' && session === answer.session,
      );
      expect(line).toMatchObject({
        method: 'POST',
        path: '/mcp',
        op: 'shell',
        outcome: 'done',
        exit_code: 7,
        status: 200,
      });
      expect(agent.log.text).not.toContain('unspeakable');
    });
  });

  describe('a command that runs', () => {
    test('tells its progress, more each time', async () => {
      using trigger = new Trigger();
      const told: { readonly progress: number; readonly message?: string | undefined }[] = [];
      const running = client.call(
        'shell',
        { cmd: `echo twelve chars; ${trigger.wait}` },
        {
          onprogress: (progress) => {
            told.push(progress);
            if (told.length === 2) trigger.open();
          },
        },
      );
      expect((await running).answer.status).toBe('done');
      expect(told.map(({ progress }) => progress)).toEqual([1, 2]);
      expect(told[0]?.message).toContain('13 bytes');
    });

    test('is stopped when the client cancels the call', async () => {
      using trigger = new Trigger();
      const cancel = new AbortController();
      const cmd = `sleep 300 & echo $!; ${trigger.arrive}; wait`;
      const call = client.call('shell', { cmd }, { signal: cancel.signal }).catch(() => 'cancelled');
      const session = await trigger.arrived();
      const pid = pidIn((await client.call('read_session', { session })).answer.stdout);
      cancel.abort();
      expect(await call).toBe('cancelled');
      await gone(pid);
      await eventually('the end', async () => {
        const { answer } = await client.call('read_session', { session });
        return answer.status === 'killed' && answer.exit_code === 143;
      });
      const { answer } = await client.call('list_sessions', { limit: 5 });
      expect(answer as object).toMatchObject({
        sessions: expect.arrayContaining([
          expect.objectContaining({ session, status: 'killed', reason: 'its client took the call back' }),
        ]),
      });
      await agent.log.find('the end of its stream', (line) => line['op'] === 'shell' && line['session'] === session);
    });

    test('goes on when the client cancels a call that only reads', async () => {
      using trigger = new Trigger();
      const { session } = (await client.call('shell', { cmd: trigger.wait, background: true })).answer;
      const cancel = new AbortController();
      const reading = client
        .call('read_session', { session, wait: 30 }, { signal: cancel.signal, onprogress: () => cancel.abort() })
        .catch(() => 'cancelled');
      expect(await reading).toBe('cancelled');
      await agent.log.find('the read is over', (line) => line['op'] === 'read_session' && line['session'] === session);
      expect((await client.call('read_session', { session })).answer.status).toBe('running');
      trigger.open();
      expect((await client.call('read_session', { session, wait: 10 })).answer.status).toBe('done');
    });

    test('goes on when an older client goes away; a newer one takes its call back so', async () => {
      using trigger = new Trigger();
      const other = await McpClient.overHttp(agent, {}, era);
      const call = other.call('shell', { cmd: `${trigger.arrive}; ${trigger.wait}; echo went on` }).catch(() => 'gone');
      const session = await trigger.arrived();
      await other[Symbol.asyncDispose]();
      expect(await call).toBe('gone');
      if (era === 'older') trigger.open();
      const expected = era === 'older' ? { stdout: 'went on\n', status: 'done' } : { stdout: '', status: 'killed' };
      await eventually('the end', async () => {
        const { answer } = await client.call('read_session', { session, wait: 1 });
        return answer.status !== 'running' && expect(answer).toMatchObject(expected) === undefined;
      });
    });

    test('is answered as running when the reply window closes', async () => {
      await using hasty = await startAgent({ AGENT3_REPLY_SECONDS: '1' });
      await using impatient = await McpClient.overHttp(hasty, {}, era);
      const { answer } = await impatient.call('shell', { cmd: 'echo begun; sleep 300' });
      expect(answer).toMatchObject({ stdout: 'begun\n', status: 'running', exit_code: null });
    });
  });
});
