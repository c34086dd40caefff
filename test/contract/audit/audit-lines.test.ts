import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf, type RecordLine, sha256, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());
let made = 0;
const newRecord = (): string => directory.join(`record-${++made}.jsonl`);
const isRoot = process.geteuid?.() === 0;

const operationsOf = (path: string): RecordLine[] => linesOf(path).filter(({ event }) => event === 'operation');

describe('a line of a command', () => {
  test('has all of it, however long, and hashes of what went in', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const cmd = `: ${'é'.repeat(99_980)}; true`;
    await agent.shell({ cmd, stdin: 'abc', env: { B: '2', A: '1' } });
    expect(linesOf(path)[1]).toMatchObject({
      event: 'start',
      cmd,
      cmd_sha256: sha256(cmd),
      stdin_bytes: 3,
      stdin_sha256: sha256('abc'),
      env: ['B', 'A'],
      env_sha256: sha256('A=1\0B=2'),
    });
    await agent.restart();
    expect((await verify(path)).code).toBe(0);
  });

  test('hides nothing that runs behind a mark', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    await agent.shell({ cmd: 'echo evil # -----END PRIVATE KEY-----' });
    await agent.shell({ cmd: ': cookie:xyz;echo evil' });
    expect(
      linesOf(path)
        .filter(({ event }) => event === 'start')
        .map(({ cmd }) => cmd),
    ).toEqual(['echo evil # -----END PRIVATE KEY-----', ': cookie:‹token›;echo evil']);
  });

  test('tells of input by its hash', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const { session } = await agent.shell({ cmd: 'cat', interactive: true });
    await agent.call('write_session', { session, input: 'typed\n', close: true });
    expect(operationsOf(path)).toMatchObject([
      { op: 'write_session', input_bytes: 6, input_sha256: sha256('typed\n') },
    ]);
  });
});

describe.skipIf(!isRoot)('a command that was approved', () => {
  test('is on record as asked and approved, with what was shown, before it starts', async () => {
    const path = newRecord();
    const profiles = directory.join('profiles');
    const settings = { AGENT3_APPROVALS_DIR: directory.join('approvals') };
    mkdirSync(profiles);
    mkdirSync(settings.AGENT3_APPROVALS_DIR, { mode: 0o750 });
    writeFileSync(`${profiles}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "true"\n');
    await using agent = await startAgent({
      ...settings,
      AGENT3_AUDIT_FILE: path,
      AGENT3_PROFILES_DIR: profiles,
      AGENT3_PROFILE: 'careful',
    });
    const { session } = await agent.shell({ cmd: 'true' });
    const owner = { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir };
    const [asked] = JSON.parse((await agent3(['approval', 'list', '--json'], owner)).stdout) as { digest: string }[];
    await agent3(['approval', 'approve', session, '--digest', asked?.digest ?? ''], owner);
    await eventually('it has ended', () => linesOf(path).some(({ event }) => event === 'end'));
    const digest = expect.stringMatching(/^[0-9a-f]{64}$/);
    const lines = linesOf(path).filter((line) => line['session'] === session);
    expect(lines).toMatchObject([
      { event: 'decision', decision: 'asked', cmd: 'true', cmd_sha256: sha256('true'), digest },
      { event: 'decision', decision: 'approved', cmd_sha256: sha256('true'), digest },
      { event: 'start', approved_by: expect.any(String) },
      { event: 'end' },
    ]);
    expect(lines[0]?.['digest']).toBe(lines[1]?.['digest']);
  });
});

describe('the record has', () => {
  test('why a command was not run', async () => {
    const path = newRecord();
    const profiles = directory.join('denying');
    mkdirSync(profiles);
    writeFileSync(
      `${profiles}/strict.toml`,
      'extends = "full"\n[[rules]]\naction = "deny"\ncommand = "false"\nreason = "no"\n',
    );
    await using agent = await startAgent({
      AGENT3_AUDIT_FILE: path,
      AGENT3_PROFILES_DIR: profiles,
      AGENT3_PROFILE: 'strict',
    });
    await agent.shell({ cmd: 'false' });
    expect(linesOf(path).find(({ event }) => event === 'end')).toMatchObject({ status: 'denied', reason: 'no' });
  });

  test('a stream that is opened, and one that is refused', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const { session } = await agent.shell({ cmd: 'echo x' });
    const headers = { 'x-auth-token': agent.token };
    expect((await fetch(`${agent.url}/sessions/${session}/stream`, { headers })).status).toBe(200);
    expect((await fetch(`${agent.url}/sessions/none/stream`, { headers })).status).toBe(404);
    expect(operationsOf(path)).toMatchObject([
      { op: 'stream', session, token: 'default', address: '127.0.0.1' },
      { op: 'stream', refused: expect.stringContaining('Session not found') },
    ]);
  });

  test('a call that a key repeats', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const { session } = await agent.shell({ cmd: 'echo x', key: 'one' });
    await agent.shell({ cmd: 'echo x', key: 'one' });
    expect(operationsOf(path)).toMatchObject([{ op: 'shell', session, repeat: true, token: 'default' }]);
  });

  test('wrong tokens without the token, until their address is answered 429', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    for (let count = 0; count < 14; count++)
      await agent.request('/', { method: 'POST', headers: { 'x-auth-token': 'wrong-token-of-somebody' } });
    await agent.request('/', { method: 'POST' });
    const logins = linesOf(path).filter(({ event }) => event === 'login');
    expect(logins).toHaveLength(10);
    expect(logins[0]).toMatchObject({ what: 'a wrong token', address: '127.0.0.1' });
    expect(await Bun.file(path).text()).not.toContain('wrong-token');
  });

  test('tokens that are known and were refused, with their names', async () => {
    const path = newRecord();
    const settings = { AGENT3_TOKENS_FILE: directory.join(`tokens-${made}.json`) };
    const make = async (name: string, ...more: string[]) =>
      (await agent3(['token', 'create', name, '--profile', 'full', ...more], settings)).stdout.trim();
    const [ended, elsewhere] = [await make('ended', '--expires', '1s'), await make('elsewhere', '--ip', '192.0.2.7')];
    await using agent = await startAgent({ ...settings, AGENT3_AUDIT_FILE: path });
    await Bun.sleep(1100);
    for (const token of [ended, elsewhere, 'nobodys']) {
      const { status, text } = await agent.request('/', { method: 'POST', headers: { 'x-auth-token': token } });
      expect({ status, text }).toEqual({ status: 403, text: expect.stringContaining('Unauthorized') });
    }
    expect(linesOf(path).filter(({ event }) => event === 'login')).toMatchObject([
      { what: 'a token that has ended', token: expect.stringMatching(/^ended#/) },
      { what: 'a token from an address that it does not allow', token: expect.stringMatching(/^elsewhere#/) },
      { what: 'a wrong token' },
    ]);
  });

  test('one line of an operation that was done, and a second one where it failed', async () => {
    const path = newRecord();
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
    const { session } = await agent.shell({ cmd: 'true' });
    await agent.call('close_session', { session });
    await agent.call('close_session', { session });
    const [done, again, refused] = operationsOf(path);
    for (const line of [done, again]) {
      expect(line).toMatchObject({ op: 'close_session', session });
      expect(line).not.toHaveProperty('refused');
    }
    expect(refused).toMatchObject({ op: 'close_session', refused: expect.stringContaining('Session not found') });
  });
});

describe('a record that cannot be written', () => {
  test('keeps operations from being done', async () => {
    await using agent = await startAgent();
    const { session } = await agent.shell({ cmd: 'echo $$; exec sleep 60', background: true });
    const { session: other } = await agent.shell({ cmd: 'echo kept' });
    await agent.restart({ AGENT3_AUDIT_FILE: '/dev/full' });
    for (const [op, args] of [
      ['kill_session', { session, signal: 'KILL' }],
      ['close_session', { session: other }],
      ['write_session', { session, input: 'x' }],
    ] as const) {
      const reply = await agent.call(op, args);
      expect({ op, status: reply.status }).toEqual({ op, status: 503 });
      expect(reply.text).toContain('Nothing was done: the audit record');
    }
    expect(existsSync(`${agent.sessionsDir}/${other}`)).toBe(true);
    await agent.restart({ AGENT3_AUDIT_FILE: newRecord() });
    for (const end of ['head', 'synced']) rmSync(`/dev/full.${end}`, { force: true });
    expect(await agent.read({ session })).toMatchObject({ status: 'running' });
    expect((await agent.read({ session: other })).stdout).toBe('kept\n');
  });
});

const hasSandbox = Bun.spawnSync(['bwrap', '--ro-bind', '/', '/', 'true'], { stderr: 'ignore' }).exitCode === 0;
describe.skipIf(!hasSandbox)('a sandbox', () => {
  const seenIn = async (path: string): Promise<string> => {
    for (const name of ['', '.1', '.2.gz', '-20261124']) writeFileSync(`${path}${name}`, 'before\n');
    await using agent = await startAgent({ AGENT3_AUDIT_FILE: path, AGENT3_PROFILE: 'readonly' });
    return (await agent.shell({ cmd: `for file in ${path}*; do [ -e "$file" ] && echo $file && cat $file; done` }))
      .stdout;
  };

  test('sees nothing of the record', async () => {
    // What lies in /tmp is not there anyway.
    using place = new TemporaryDirectory('/var/lib');
    // Users who run commands in a sandbox may enter it.
    chmodSync(place.join(''), 0o755);
    const path = place.join('audit.jsonl');
    const files = ['', '-20261124', '.1', '.2.gz', '.head', '.synced'].map((end) => `${path}${end}\n`);
    expect(await seenIn(path)).toBe(files.join(''));
  });

  test('sees not even a directory that is the agent’s', async () => {
    using place = new TemporaryDirectory('/var/lib');
    // Users who run commands in a sandbox may enter it.
    chmodSync(place.join(''), 0o755);
    mkdirSync(place.join('agent3'));
    expect(await seenIn(place.join('agent3/audit.jsonl'))).toBe('');
  });
});
