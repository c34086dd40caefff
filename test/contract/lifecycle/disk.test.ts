import { afterAll, describe, expect, test } from 'bun:test';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { gone, pidIn } from '../../helpers/processes.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { within } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const MIB = 1_048_576;
const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

describe('a session on disk', () => {
  test.concurrent('is a directory of its own that only its user can enter', async () => {
    const { session } = await agent.shell({ cmd: 'echo out' });
    expect(modeOf(join(agent.sessionsDir, session))).toBe('700');
  });

  test.concurrent('has files that only its user can read', async () => {
    const { session } = await agent.shell({ cmd: 'echo out; echo err >&2', stdin: 'in', key: crypto.randomUUID() });
    const directory = join(agent.sessionsDir, session);
    const files = readdirSync(directory);
    expect(files).toContain('meta.json');
    for (const file of files) expect(`${file} ${modeOf(join(directory, file))}`).toBe(`${file} 600`);
  });

  test.concurrent('leaves the umask of the agent out of it', async () => {
    expect((await agent.shell({ cmd: 'umask' })).stdout).toBe('0022\n');
  });
});

describe('the sessions directory', () => {
  test.concurrent('is made when it is not there, for its user alone', async () => {
    using parent = new TemporaryDirectory();
    const directory = parent.join('not/there/yet');
    await using fresh = await startAgent({ AGENT3_SESSIONS_DIR: directory });
    const { session } = await fresh.shell({ cmd: 'true' });
    expect(modeOf(directory)).toBe('700');
    expect(readdirSync(directory)).toContain(session);
  });

  test.concurrent('may hold what is no session', async () => {
    await using tolerant = await startAgent();
    writeFileSync(join(tolerant.sessionsDir, 'README'), 'hands off');
    writeFileSync(join(tolerant.sessionsDir, crypto.randomUUID()), 'a file, no directory');
    await tolerant.restart();
    expect((await tolerant.shell({ cmd: 'echo ran' })).stdout).toBe('ran\n');
    expect(statSync(join(tolerant.sessionsDir, 'README')).size).toBe(9);
  });

  test.concurrent('that was taken away is a clear error, and the agent keeps running', async () => {
    await using robbed = await startAgent();
    const { session } = await robbed.shell({ cmd: 'echo before' });
    rmSync(robbed.sessionsDir, { recursive: true });
    writeFileSync(robbed.sessionsDir, 'a file in its place');
    expectRefusal(await robbed.call('shell', { cmd: 'echo ran' }), 503, 'Not available', /session|director|disk/i);
    expectRefusal(await robbed.call('read_session', { session }), 404, 'Session not found');
    expect((await robbed.request('/healthz')).status).toBe(200);
    rmSync(robbed.sessionsDir);
    Bun.spawnSync(['mkdir', '-m', '700', robbed.sessionsDir]);
    expect((await robbed.shell({ cmd: 'echo again' })).stdout).toBe('again\n');
  });
});

describe('files that somebody removed', () => {
  test.concurrent.each(['stdout', 'meta.json'])(
    '%s: reading is answered as JSON, and the agent lives on',
    async (file) => {
      const { session } = await agent.shell({ cmd: 'echo out' });
      rmSync(join(agent.sessionsDir, session, file));
      const reply = await agent.call('read_session', { session });
      expect([200, 404]).toContain(reply.status);
      if (file === 'stdout') expectRefusal(reply, 404, 'Session not found', /./);
      expect((await agent.call('close_session', { session })).status).toBe(200);
      expect((await agent.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
    },
  );

  test.concurrent('the whole session: it is not found', async () => {
    const { session } = await agent.shell({ cmd: 'echo out' });
    rmSync(join(agent.sessionsDir, session), { recursive: true });
    expectRefusal(await agent.call('read_session', { session }), 404, 'Session not found');
  });

  test.concurrent('by the command itself while it runs: it is answered', async () => {
    const cmd = `rm -rf ${agent.sessionsDir}/$AGENT3_SESSION; echo out; exit 5`;
    const reply = await within('the answer', agent.call('shell', { cmd }));
    expect(reply.headers.get('content-type')).toStartWith('application/json');
    if (reply.status === 200) expect(reply.body.exit_code).toBe(5);
    expect((await agent.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
  });
});

describe('a command that writes more than AGENT3_MAX_SESSION_BYTES', () => {
  const start = () => startAgent({ AGENT3_MAX_SESSION_BYTES: String(128 * MIB), AGENT3_KILL_GRACE_SECONDS: '1' });

  test.concurrent('as fast as it can is stopped near the limit, and keeps what it wrote', async () => {
    await using capped = await start();
    const answer = await capped.shell({ cmd: 'echo $$ >&2; head -c 20G /dev/zero; true' });
    expect(answer).toMatchObject({ status: 'output_limit', truncated: true });
    expect(answer.exit_code).toBeGreaterThan(128);
    expect(answer.stdout_bytes).toBeGreaterThan(128 * MIB);
    expect(answer.stdout_bytes).toBeLessThan(256 * MIB);
    await gone(pidIn(answer.stderr));
    const end = await capped.read({ session: answer.session, offset: -1, encoding: 'base64' });
    expect(end).toMatchObject({ stdout: 'AA==', status: 'output_limit', eof: true });
  });

  test.concurrent('on both streams together is stopped too', async () => {
    await using capped = await start();
    const answer = await capped.shell({ cmd: 'head -c 90M /dev/zero; head -c 90M /dev/zero >&2; sleep 300' });
    expect(answer.status).toBe('output_limit');
  });

  test.concurrent('by reserving it, which no file size shows, is stopped too, and the disk is free again', async () => {
    await using capped = await start();
    const cmd = 'echo out; fallocate -n -l 300M /proc/self/fd/1 || exit 9; sleep 300';
    const answer = await capped.shell({ cmd });
    if (answer.exit_code === 9) return console.warn('not run: this file system reserves nothing');
    expect(answer).toMatchObject({ status: 'output_limit', stdout: 'out\n', stdout_bytes: 4 });
    expect(answer.message).toContain('it reserved more of the disk for its output than a session may hold');
    const { text } = await capped.request('/metrics');
    expect(Number(/^agent3_session_bytes (\d+)$/m.exec(text)?.[1])).toBeLessThan(MIB);
  });

  test.concurrent('from a process it left behind is stopped too', async () => {
    await using capped = await start();
    const answer = await capped.shell({ cmd: 'setsid head -c 20G /dev/zero & echo $! >&2' });
    await within('the end of the process', gone(pidIn(answer.stderr)), 30_000);
    const { stdout_bytes: bytes } = await capped.read({ session: answer.session, limit: 1 });
    expect(bytes).toBeLessThan(256 * MIB);
  });
});

/** A file system of a few pages; only root can have one. */
class TinyDisk implements Disposable {
  readonly #directory = new TemporaryDirectory();
  readonly path = this.#directory.path;
  readonly mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', this.path]).exitCode === 0;

  [Symbol.dispose](): void {
    if (this.mounted) Bun.spawnSync(['umount', '--lazy', this.path]);
    this.#directory[Symbol.dispose]();
  }
}

test.concurrent('on a full disk commands fail, the agent says so and lives on, and there is room again after close_session', async () => {
  using disk = new TinyDisk();
  if (!disk.mounted) return console.warn('not run: no permission to mount a small file system');
  await using cramped = await startAgent({ AGENT3_SESSIONS_DIR: disk.path });
  const full = await cramped.shell({ cmd: 'head -c 1M /dev/zero; echo $? >&2' });
  expect(full.stdout_bytes).toBeLessThanOrEqual(256 * 1024);
  const reply = await cramped.call('shell', { cmd: 'echo ran' });
  expect([200, 503]).toContain(reply.status);
  if (reply.status === 503) expectRefusal(reply, 503, 'Not available', /disk is full|ENOSPC|no space/i);
  expect((await cramped.request('/healthz')).status).toBe(200);
  expect((await cramped.call('close_session', { session: full.session })).status).toBe(200);
  expect((await cramped.shell({ cmd: 'echo again' })).stdout).toBe('again\n');
});
