import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { WireRefusal } from '../../../src/console/channel.ts';
import type { Part, PastLines, PastSessions, SessionDetails } from '../../../src/console/shown-past.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { readMarks } from '../../../src/sessions/timing-marks.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const GIB = 1_073_741_824;
const HOSTILE = 'echo "<img src=x onerror=alert(1)>"; printf "\\033[31mred\\033]0;title\\007"; # \u202e';

describe('the history that the agent shows to the console', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  let agent: Agent;
  let wire: WireClient;

  beforeAll(async () => {
    const { AGENT3_CONSOLE_SOCKET: socket, AGENT3_CONSOLE_KEY: key } = files.settings;
    agent = await startAgent({
      ...files.settings,
      AGENT3_AUDIT_FILE: place.join('audit.jsonl'),
      AGENT3_MAX_SESSION_BYTES: String(2 * GIB),
    });
    wire = new WireClient(socket, key);
  });
  afterAll(async () => {
    wire?.close();
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const ask = async <T>(op: string, args: object) => (await wire.request(op, args)) as T;
  const history = (args: object) => ask<PastSessions>('history', args);
  const record = (args: object) => ask<PastLines>('record', args);
  const details = (session: string) => ask<SessionDetails>('session', { session });
  const output = async (session: string, from: number, bytes: number) => {
    const { base64, size } = await ask<Part>('output', { session, stream: 'stdout', from, bytes });
    return { bytes: Buffer.from(base64, 'base64'), size };
  };
  const timing = async (session: string) => {
    const { base64, next } = await ask<{ base64: string; next: number | null }>('timing', { session, from: 0 });
    expect(next).toBe(null);
    return readMarks(Buffer.from(base64, 'base64'));
  };
  const run = async (cmd: string, more = {}) => String((await agent.shell({ cmd, ...more })).session);

  test('has sessions by time, token, status and text, as they are, and lines of the record with them', async () => {
    const began = Date.now();
    const session = await run(HOSTILE, { key: 'hostile' });
    await run('exit 3', { key: 'three' });
    const { sessions, tokens } = await history({ text: 'onerror', token: 'default', from: began - 1000 });
    expect(sessions).toMatchObject([{ session, cmd: HOSTILE, status: 'done', exit_code: 0, terminal: false }]);
    expect(tokens).toEqual(['default']);
    expect((await history({ to: began - 1000 })).sessions).toEqual([]);
    expect((await details(session)) as object).toMatchObject({ cmd: HOSTILE, cwd: expect.any(String), decision: null });
    const { lines } = await record({ session });
    expect(lines.map(({ event }) => event)).toEqual(['end', 'start']);
    expect(lines[1]).toMatchObject({ cmd: HOSTILE, token: 'default' });
    expect(lines[1]).not.toContainAnyKeys(['prev', 'mac']);
    expect((await output(session, 0, 1000)).bytes.toString()).toContain('\u001b[31mred');
  });

  test('keeps when a terminal wrote what, and nothing of what is over at once', async () => {
    const cmd = 'for i in 1 2 3 4 5; do echo $i; sleep 0.3; done';
    const [terminal, files_, short] = await Promise.all([
      run(cmd, { pty: true, rows: 10, cols: 40 }),
      run(cmd, { key: 'files' }),
      run('echo short', { key: 'short' }),
    ]);
    expect(await details(terminal)).toMatchObject({ terminal: true, rows: 10, cols: 40, has_timing: true });
    const marks = await timing(terminal);
    expect(marks.length).toBeGreaterThanOrEqual(4);
    expect(marks.at(-1)?.stdout).toBe((await details(terminal)).stdout_bytes);
    expect((marks.at(-1)?.ms ?? 0) - (marks[0]?.ms ?? 0)).toBeGreaterThan(1000);
    // The files were looked at from the first second on.
    const later = await timing(files_);
    expect(later.at(-1)).toMatchObject({ stdout: 10 });
    expect(later.at(-1)?.ms).toBeGreaterThan(1000);
    expect(await details(short)).toMatchObject({ has_timing: false });
    expect(await timing(short)).toEqual([]);
  });

  test('reads a gigabyte part by part, and does not grow by it', async () => {
    const rss = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1]);
    const session = await run(`truncate -s ${GIB} /proc/self/fd/1; echo end`, { key: 'gib' });
    const { stdout_bytes: size } = await details(session);
    expect(size).toBe(GIB + 4);
    await output(session, 0, 262_144);
    const before = rss();
    for (let at = 0; at < 40; at++) await output(session, Math.floor((size / 40) * at), 262_144);
    expect((await output(session, size - 4, 100)).bytes.toString()).toBe('end\n');
    expect(rss() - before).toBeLessThan(32_768);
  });

  test('says of a session that is gone that it has expired; the record still knows it', async () => {
    const session = await run('echo gone', { key: 'gone' });
    await agent.call('close_session', { session });
    expect((await details(session)) as object).toEqual({ expired: true });
    await expect(output(session, 0, 10)).rejects.toThrow('expired');
    expect((await history({ text: 'echo gone' })).sessions).toEqual([]);
    expect((await record({ text: 'echo gone' })).lines[0]).toMatchObject({ event: 'start', session });
  });

  test('takes no path for a session, and no more than it gives', async () => {
    const session = await run('true', { key: 'path' });
    for (const [op, args] of [
      ['session', { session: '../../etc/passwd' }],
      ['session', { session: `${session}/../${session}` }],
      ['timing', { session: '..', from: 0 }],
      ['output', { session: '.', stream: 'stdout', from: 0, bytes: 10 }],
      ['output', { session, stream: '../meta.json', from: 0, bytes: 10 }],
      ['output', { session, stream: 'stdout', from: 0, bytes: 10_000_000 }],
      ['output', { session, stream: 'stdout', from: -1, bytes: 10 }],
      ['history', { before: '../..' }],
      ['record', { session: '../..' }],
    ] as const)
      expect(await wire.request(op, args).catch((error) => error)).toBeInstanceOf(WireRefusal);
  });
});
