import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { gone, readProc } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

interface Matched extends Answer {
  readonly matches: readonly {
    readonly line: number;
    readonly offset: number;
    readonly text: string;
    readonly before?: readonly string[];
    readonly after?: readonly string[];
  }[];
}

const find = async (args: Readonly<Record<string, unknown>>): Promise<Matched> =>
  (await agent.read(args)) as unknown as Matched;

describe('read_session with match', () => {
  test.concurrent('finds the error in a long log, with where to read on', async () => {
    const cmd = 'seq 1 1000000; echo "ERROR: disk"; seq 1 1000000';
    const { session } = await agent.shell({ cmd });
    const found = await find({ session, match: '(?i)error:', context_lines: 1 });
    expect(found).toMatchObject({ status: 'done', stdout: '', truncated: true, eof: true, exit_code: 0 });
    const [first] = found.matches;
    expect(found.matches).toHaveLength(1);
    expect(first).toMatchObject({ line: 1_000_001, text: 'ERROR: disk', before: ['1000000'], after: ['1'] });
    expect((await agent.read({ session, offset: first?.offset, limit: 11 })).stdout).toBe('ERROR: disk');
  });

  test.concurrent('pages through more matches than one answer holds, each once', async () => {
    const { session } = await agent.shell({ cmd: 'seq 1 30000' });
    const lines: number[] = [];
    let offset = 0;
    for (let eof = false; !eof; ) {
      const found = await find({ session, match: '[05]$', offset });
      expect(JSON.stringify(found).length).toBeLessThan(100_000);
      lines.push(...found.matches.map(({ line }) => line));
      if (!found.eof) expect(found.message).toContain(`search on from offset ${found.next_offset}`);
      ({ next_offset: offset, eof } = found);
    }
    expect(lines).toEqual(Array.from({ length: 6000 }, (_, at) => (at + 1) * 5));
  });

  test.concurrent('searches what a terminal shows of a command with one', async () => {
    const { session } = await agent.shell({ cmd: 'printf "10 %%\\r100 %%\\n\\033[31mred\\033[0m\\n"', pty: true });
    const texts = async (more: object): Promise<string[]> =>
      (await find({ session, match: '^(100 %|red)$', ...more })).matches.map(({ text }) => text);
    expect(await texts({})).toEqual(['100 %', 'red']);
    expect(await texts({ plain: false })).toEqual([]);
  });

  test.concurrent('marks the parts of a line that is too long to be searched whole', async () => {
    const { session } = await agent.shell({ cmd: "head -c 100000 /dev/zero | tr '\\0' a; echo; echo b" });
    const { matches, message } = await find({ session, match: '^a+$' });
    expect(matches).toMatchObject([
      { line: 1, part: true, offset: 0 },
      { line: 1, part: true, offset: 65_536 },
    ]);
    expect(message).toContain('searched in parts');
  });

  test.concurrent('says when nothing matches, and looks in the stream that is asked for', async () => {
    const { session } = await agent.shell({ cmd: 'echo out; echo err >&2' });
    expect(await find({ session, match: 'err' })).toMatchObject({
      matches: [],
      message: 'No line matches.',
      eof: true,
    });
    expect(await find({ session, match: 'err', stream: 'stderr' })).toMatchObject({
      matches: [{ line: 1, text: 'err' }],
    });
  });

  test.concurrent('waits for a line that matches', async () => {
    const { session } = await agent.shell({
      cmd: 'for i in $(seq 1 20); do echo "step $i"; sleep 0.1; done; printf "server "; sleep 0.3; echo ready; sleep 300',
      background: true,
    });
    const found = await find({ session, match: 'server ready', wait: 20 });
    expect(found).toMatchObject({ status: 'running', matches: [{ line: 21, text: 'server ready' }] });
    expect(await find({ session, match: 'never', wait: 1 })).toMatchObject({
      matches: [],
      status: 'running',
      message: expect.stringContaining('No line matched in this time.'),
    });
    await agent.call('close_session', { session });
  });

  test.concurrent('is not held up by a pattern that takes for ever, nor is anybody else', async () => {
    await using slow = await startAgent({ AGENT3_REPLY_SECONDS: '3' });
    const { session } = await slow.shell({
      cmd: `echo first; for i in $(seq 5000); do echo ${'a'.repeat(60)}b; done; echo last`,
    });
    const search = slow.read({ session, match: '^(first|(a+)+)$', wait: 2 });
    expect((await slow.shell({ cmd: 'echo alive' })).stdout).toBe('alive\n');
    const found = (await search) as unknown as Matched;
    expect(found).toMatchObject({ matches: [{ text: 'first' }], eof: false });
    expect(found.message).toContain('The search took too long');
    await eventually('the search has ended', () => childrenOf(slow.pid).length === 0);
  });

  test.concurrent('ends with its agent, however that ends', async () => {
    await using mortal = await startAgent();
    const { session } = await mortal.shell({ cmd: `yes ${'a'.repeat(60)}b | head -n 50000` });
    const search = mortal.read({ session, match: '^(a+)+$' }).catch(() => {});
    const pid = await eventually('it searches', () => childrenOf(mortal.pid).find((child) => cpuTicks(child) > 50));
    await mortal.kill9();
    await gone(pid);
    await search;
  });

  test.concurrent('answers at least one match, also of an endless line', async () => {
    const { session } = await agent.shell({ cmd: 'head -c 300000 /dev/zero | tr "\\0" x; echo END' });
    const found = await find({ session, match: 'END', limit: 1 });
    expect(found.matches).toHaveLength(1);
    expect(found.matches[0]?.text.length).toBeLessThan(1002);
  });
});

test('an invalid pattern is refused with the reason', async () => {
  const { session } = await agent.shell({ cmd: 'true' });
  expectRefusal(
    await agent.call('read_session', { session, match: '(' }),
    400,
    'Invalid args',
    /not a regular expression.*backslash/,
  );
  expectRefusal(await agent.call('read_session', { session, match: '' }), 400, 'Invalid args', /match must be/);
});

/** CPU time of a process in user mode, in hundredths of a second: to start takes a few. */
function cpuTicks(pid: number): number {
  const [, fields = ''] = readProc(`${pid}/stat`)?.split(') ') ?? [];
  return Number(fields.split(' ')[11]);
}

function childrenOf(pid: number): number[] {
  const pids = Bun.spawnSync(['pgrep', '-P', String(pid)]).stdout.toString();
  return pids.split('\n').filter(Boolean).map(Number);
}
