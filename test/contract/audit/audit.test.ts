import { afterAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { EVENTS } from '../../../src/cli/audit.ts';
import { startAgent } from '../../helpers/agent.ts';
import type { Reply } from '../../helpers/answer.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const ROOT = join(import.meta.dir, '../../..');
const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());
let made = 0;
const newRecord = (): string => directory.join(`audit-${++made}.jsonl`);

type Line = Record<string, unknown>;
const linesOf = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
const verify = (path: string) => agent3(['audit', 'verify', '--file', path]);

describe('the audit record', () => {
  test('has a command when it starts and when it ends, before it is answered', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const { session } = await agent.shell({ cmd: 'echo hi; exit 3', env: { NAME: 'x' }, stdin: 'abc', cwd: '/tmp' });
    const [begun, start, end] = linesOf(path);
    expect(begun).toMatchObject({ seq: 1, event: 'agent', what: 'started', prev: '0'.repeat(64) });
    expect(start).toMatchObject({
      seq: 2,
      event: 'start',
      session,
      token: 'default',
      address: '127.0.0.1',
      profile: 'full',
      cmd: 'echo hi; exit 3',
      cwd: '/tmp',
      env: ['NAME'],
      stdin_bytes: 3,
    });
    expect(end).toMatchObject({
      seq: 3,
      event: 'end',
      session,
      status: 'done',
      exit_code: 3,
      stdout_bytes: 3,
      stdout_sha256: createHash('sha256').update('hi\n').digest('hex'),
    });
    const { stdout, code } = await verify(path);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('✓ 3 lines in 1 file') });
  });

  test('has every other operation, and what was refused', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const { session } = await agent.shell({ cmd: 'cat', interactive: true });
    await agent.call('write_session', { session, input: 'a secret\n' });
    await agent.call('kill_session', { session, signal: 'KILL' });
    await agent.call('read_session', { session: 'none' });
    await agent.call('shell', { cmd: 'ls', timeout: 'x' });
    const operations = linesOf(path).filter(({ event }) => event === 'operation');
    expect(operations).toMatchObject([
      { op: 'write_session', session, input_bytes: 9, token: 'default', address: '127.0.0.1' },
      { op: 'kill_session', session, signal: 'KILL' },
      { op: 'read_session', refused: expect.stringContaining('Session not found') },
      { op: 'shell', refused: expect.stringContaining('Invalid args') },
    ]);
    expect(readFileSync(path, 'utf8')).not.toContain('a secret');
  });

  test('has what rules decide', async () => {
    const path = newRecord();
    const profiles = directory.join('rules');
    await Bun.write(`${profiles}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "deny"\ncommand = "mkfs"\n');
    await using agent = await startAgent({
      AGENT3_AUDIT_FILE: path,
      AGENT3_PROFILES_DIR: profiles,
      AGENT3_PROFILE: 'careful',
    });
    const { session } = await agent.shell({ cmd: 'mkfs /dev/x' });
    expect(linesOf(path).slice(1)).toMatchObject([
      { event: 'decision', decision: 'denied', session, rule: 1, profile: 'careful', cmd: 'mkfs /dev/x' },
      { event: 'end', session, status: 'denied', exit_code: 126 },
    ]);
  });

  test('and the log have no secrets of a command', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    await agent.shell({ cmd: `: --password hunter22 https://me:hunter22@example.com/ ${agent.token}` });
    await agent.call('read_session', { session: 'password=hunter22' });
    const record = readFileSync(path, 'utf8');
    expect(record).toContain(': --password ‹password› https://me:‹password›@example.com/ ‹token›');
    for (const text of [record, JSON.stringify(agent.logs)]) {
      expect(text).not.toContain('hunter22');
      expect(text).not.toContain(agent.token);
    }
  });

  test('of much output has its hash, in a line of its own', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    await agent.shell({ cmd: 'head -c 3000000 /dev/zero' });
    const sha256 = createHash('sha256').update(Buffer.alloc(3_000_000)).digest('hex');
    await eventually('the hash is there', () => linesOf(path).some((line) => line['stdout_sha256'] === sha256));
    expect((await verify(path)).code).toBe(0);
  });

  test('is continued after a restart, and after rotation', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    for (let round = 0; round < 3; round++) {
      await agent.shell({ cmd: `echo ${round}` });
      if (round > 0) writeFileSync(`${path}.2.gz`, gzipSync(readFileSync(`${path}.1`)));
      renameSync(path, `${path}.1`);
      // logrotate signals the agent a moment later: until then it writes to the file that was put aside.
      await agent.shell({ cmd: 'echo between' });
      agent.signal('SIGHUP');
      await eventually('the new file is there', () => Bun.file(path).size >= 0 && Bun.file(path).exists());
      if (round === 1) {
        await agent.restart();
        expect((await verify(path)).stdout).toContain('in 3 files');
        break;
      }
    }
    await agent.shell({ cmd: 'echo after' });
    expect((await verify(path)).code).toBe(0);
    const { stdout } = await agent3(['audit', 'grep', 'echo', '--event', 'start', '--file', path]);
    expect(stdout.trim().split('\n')).toHaveLength(5);
    const tail = await agent3(['audit', 'tail', '-n', '2', '--event', 'start', '--file', path]);
    expect(
      tail.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).cmd),
    ).toEqual(['echo between', 'echo after']);
  });

  const refused = (reply: Reply, why: string): void => {
    expect(reply.text).toContain('Nothing was done: the audit record of this server cannot be written');
    expect(reply.text).toContain(why);
  };

  test('that cannot be written keeps commands from running', async () => {
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: '/dev/full' });
    const reply = await agent.call('shell', { cmd: 'touch /tmp/agent3-unrecorded' });
    expect(reply.status).toBe(503);
    refused(reply, '/dev/full: the disk is full (ENOSPC)');
    expect(await Bun.file('/tmp/agent3-unrecorded').exists()).toBe(false);
    for (const end of ['head', 'synced']) rmSync(`/dev/full.${end}`, { force: true });
  });

  test('whose directory is gone says so, and continues when it is back', async () => {
    const place = directory.join('logs');
    mkdirSync(place);
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: `${place}/audit.jsonl` });
    rmSync(place, { recursive: true });
    const cmd = `touch ${directory.join('unrecorded')}`;
    refused(await agent.call('shell', { cmd }), `${place}/audit.jsonl: its directory is missing (ENOENT)`);
    refused(await agent.call('shell', { cmd, key: 'x' }), 'its directory is missing');
    expect(existsSync(directory.join('unrecorded'))).toBe(false);
    mkdirSync(place);
    expect(await agent.shell({ cmd: 'echo back' })).toMatchObject({ stdout: 'back\n' });
    expect(linesOf(`${place}/audit.jsonl`)[0]).toMatchObject({ event: 'tampered', what: 'the file was removed' });
  });

  test('is of one agent at a time', async () => {
    const path = newRecord();
    await using _agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const second = await agent3(['serve'], {
      AGENT3_API_TOKEN: 'x'.repeat(32),
      AGENT3_PORT: '0',
      AGENT3_AUDIT_FILE: path,
    });
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('another agent writes the audit record') });
  });

  test('is whole, and has every command that was answered, when the agent is killed in the middle of 1,000', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const answered = new Set<string>();
    let sent = 0;
    for (let kills = 0; sent < 1000; kills++) {
      const work = async (): Promise<void> => {
        while (sent < 1000) {
          const { session } = await agent.shell({ cmd: `echo ${sent++}` });
          answered.add(session);
        }
      };
      // A client that waits for an answer when the agent dies gets none.
      const clients = Array.from({ length: 8 }, () => work().catch(() => {}));
      if (kills < 3) {
        await eventually('a part is done', () => sent >= (kills + 1) * 250);
        await agent.kill9();
      }
      await Promise.all(clients);
      if (kills < 3) await agent.restart();
    }
    const { code, stdout } = await verify(path);
    expect({ code, stdout }).toMatchObject({ code: 0 });
    const ended = new Set(
      linesOf(path)
        .filter(({ event }) => event === 'end')
        .map(({ session }) => session),
    );
    expect([...answered].filter((session) => !ended.has(session))).toEqual([]);
    expect(answered.size).toBeGreaterThan(900);
  }, 120_000);
});

describe('agent3 audit grep and tail', () => {
  const path = newRecord();
  const line = (seq: number, event: string): string =>
    JSON.stringify({ seq, time: '2026-11-26T08:00:00Z', event, token: 'reports#1', cmd: 'echo', prev: '0'.repeat(64) });
  writeFileSync(path, `${line(1, 'start')}\n${line(2, 'end')}\n`);
  const grep = (...args: string[]) => agent3(['audit', 'grep', '--file', path, ...args]);

  test.concurrent('end with 0 where a line matches', async () => {
    expect(await grep('echo', '--event', 'end')).toEqual({ code: 0, stdout: `${line(2, 'end')}\n`, stderr: '' });
  });

  const none: readonly (readonly string[])[] = [
    ['nothing'],
    ['--token', 'unknown'],
    ['--session', 'no id at all'],
    ['--event', 'login'],
    ['--until', '2020-01-01'],
  ];
  test.concurrent.each(none.map((args) => [args]))('grep %j matches nothing: 1, as grep', async (args) => {
    expect(await grep(...args)).toEqual({ code: 1, stdout: '', stderr: 'agent3: no line matches\n' });
  });

  test.concurrent('tail without a line that matches says so', async () => {
    const tail = await agent3(['audit', 'tail', '--token', 'unknown', '--file', path]);
    expect(tail).toEqual({ code: 0, stdout: '', stderr: 'agent3: no line matches\n' });
  });

  const wrong: readonly [args: readonly string[], told: string][] = [
    [['grep', '('], 'not a regular expression'],
    [['grep', '--since', 'x'], 'Write a time as 2h'],
    [['grep', '--event', 'strat'], 'start, end, decision, operation, output, login, grant, agent, recovered, tampered'],
    [['tail', '--event', 'strat'], 'start, end, decision, operation, output, login, grant, agent, recovered, tampered'],
    [['grep', '--file', directory.join('none.jsonl')], `there is no record ${directory.join('none.jsonl')}`],
    [['grep', '--file', '/none/audit.jsonl'], '/none/audit.jsonl cannot be read'],
    [['grep', '--file', '/dev'], '/dev cannot be read'],
  ];
  test.concurrent.each(wrong)('%j is a mistake: 2', async (args, told) => {
    const { code, stdout, stderr } = await agent3(['audit', ...args], { AGENT3_AUDIT_FILE: path });
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: expect.stringContaining(told) });
  });

  test.concurrent('tail of a record that is not there fails', async () => {
    const tail = await agent3(['audit', 'tail', '--file', directory.join('none.jsonl')]);
    expect(tail).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no record') });
  });

  test('know every event that the agent writes', async () => {
    const written = new Set<string>();
    for (const file of new Bun.Glob('src/{audit,calls,commands,operations}/*.ts').scanSync(ROOT)) {
      const text = readFileSync(join(ROOT, file), 'utf8');
      for (const [, event] of text.matchAll(/\bevent: '(\w+)'/g)) written.add(event ?? '');
    }
    expect([...written].sort()).toEqual([...EVENTS].sort());
  });
});

test('a rotated file that is damaged, or not a file, is a finding, and hides no other line', async () => {
  const path = newRecord();
  await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
  await agent.shell({ cmd: 'echo MARKED' });
  const packed = gzipSync(readFileSync(path));
  writeFileSync(`${path}.3.gz`, 'no gzip');
  writeFileSync(`${path}.2.gz`, packed.subarray(0, packed.length / 2));
  Bun.spawnSync(['mkfifo', `${path}.1`]);
  const { code, stdout, stderr } = await verify(path);
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  const told = [
    `${path}.3.gz: it cannot be read: the compressed file is damaged (Z_DATA_ERROR)`,
    `${path}.2.gz: it cannot be read: the compressed file is cut off (Z_BUF_ERROR)`,
    `${path}.1: it cannot be read: it is not a regular file`,
  ];
  expect(stdout.split('\n').slice(0, 3)).toEqual(told.map((line) => `✗ ${line}`));
  const [tail, grep] = await Promise.all([
    agent3(['audit', 'tail', '-n', '99', '--file', path]),
    agent3(['audit', 'grep', 'MARKED', '--file', path]),
  ]);
  for (const { stdout, stderr } of [tail, grep]) {
    expect(stdout).toContain('echo MARKED');
    expect(stderr.trimEnd().split('\n')).toHaveLength(3);
  }
  expect([tail.code, grep.code]).toEqual([1, 2]);
  // What is older is read only when it is needed.
  expect(await agent3(['audit', 'tail', '-n', '1', '--file', path])).toMatchObject({ code: 0, stderr: '' });
});

describe('agent3 audit verify --require-key', () => {
  const KEY = 'a-key-of-the-record-with-40-characters-x';
  const strictly = (path: string, env: Record<string, string> = {}) =>
    agent3(['audit', 'verify', '--require-key', '--file', path], env);

  test('takes nothing unsealed for whole', async () => {
    const [sealed, unsealed] = [newRecord(), newRecord()];
    for (const [path, key] of [
      [sealed, { AGENT3_AUDIT_KEY: KEY }],
      [unsealed, {}],
    ] as const) {
      await using agent = await startAgent({ AGENT3_AUDIT_FILE: path, ...key });
      await agent.shell({ cmd: 'echo' });
    }
    expect(await strictly(sealed, { AGENT3_AUDIT_KEY: KEY })).toMatchObject({ code: 0, stderr: '' });
    const other = await strictly(sealed, { AGENT3_AUDIT_KEY: `${KEY}y` });
    expect(other).toMatchObject({ code: 1, stdout: expect.stringContaining('it is forged') });
    const keyless = await strictly(sealed);
    expect(keyless).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('set AGENT3_AUDIT_KEY') });
    const without = await strictly(unsealed, { AGENT3_AUDIT_KEY: KEY });
    expect(without).toMatchObject({
      code: 1,
      stderr: 'agent3: no line is sealed, and --require-key requires a seal\n',
    });
    expect((await agent3(['audit', 'verify', '--help'])).stdout).toContain('--require-key');
  });
});

describe('meddling with the record is found', () => {
  const path = newRecord();
  let whole = '';
  let head = '';

  test('which is whole before', async () => {
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    for (let count = 0; count < 10; count++) await agent.shell({ cmd: `echo ${count}` });
    await agent.stop();
    whole = readFileSync(path, 'utf8');
    head = readFileSync(`${path}.head`, 'utf8');
    expect((await verify(path)).code).toBe(0);
  });

  const meddle = (change: (lines: string[]) => string[]): void => {
    const lines = whole.split('\n').slice(0, -1);
    writeFileSync(path, `${change(lines).join('\n')}\n`);
    writeFileSync(`${path}.head`, head);
  };
  const rows: readonly [what: string, change: (lines: string[]) => string[], line: number][] = [
    ['a changed line', (lines) => lines.with(3, (lines[3] ?? '').replace('echo', 'exho')), 4],
    ['a changed byte in a number', (lines) => lines.with(8, (lines[8] ?? '').replace('"seq":9', '"seq":8')), 9],
    ['a deleted line', (lines) => lines.toSpliced(6, 1), 7],
    [
      'the first line deleted and the next made the first',
      (lines) => [(lines[1] ?? '').replace('"seq":2', '"seq":1'), ...lines.slice(2)],
      1,
    ],
    ['two lines swapped', (lines) => lines.with(3, lines[4] ?? '').with(4, lines[3] ?? ''), 4],
    ['a line put in', (lines) => lines.toSpliced(5, 0, lines[4] ?? ''), 6],
    ['a forged line', (lines) => lines.toSpliced(5, 0, '{"seq":6,"time":"x","event":"start","prev":"x"}'), 6],
    ['a line that is none', (lines) => lines.toSpliced(5, 0, 'hello'), 6],
    ['a line that is cut', (lines) => lines.with(5, (lines[5] ?? '').slice(0, 20)), 6],
    ['the last line changed', (lines) => lines.with(-1, (lines.at(-1) ?? '').replace('agent', 'agxnt')), 0],
    ['the last lines cut off', (lines) => lines.slice(0, -3), 0],
    ['everything cut off', () => [], 1],
    ['lines added at the end', (lines) => [...lines, 'x'], 23],
  ];
  test.each(rows)('%s', async (_, change, line) => {
    meddle(change);
    const { code, stdout } = await verify(path);
    expect(code).toBe(1);
    expect(stdout).toContain(line === 0 ? `✗ ${path}: ` : `✗ ${path}:${line}: `);
  });

  test('also when the agent continues after it', async () => {
    for (const change of [rows[0]?.[1], rows[9]?.[1], rows[10]?.[1]]) {
      meddle(change ?? ((lines) => lines));
      await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
      await agent.shell({ cmd: 'echo on' });
      expect((await verify(path)).code).toBe(1);
    }
  });

  test('while the agent writes, which warns its owner', async () => {
    const record = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: record });
    await agent.shell({ cmd: 'echo a' });
    appendFileSync(record, '{"forged":true}\n');
    await agent.shell({ cmd: 'echo b' });
    truncateSync(record, 100);
    await agent.shell({ cmd: 'echo c' });
    rmSync(record);
    await agent.shell({ cmd: 'echo d' });
    await agent.log.find('the warning', ({ msg }) => msg === 'the audit record was changed by somebody else');
    expect(linesOf(record).map(({ event }) => event)).toEqual(['tampered', 'start', 'end']);
    expect((await verify(record)).stdout).toContain('the file was removed');
  });
});
