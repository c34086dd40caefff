import { afterAll, describe, expect, test } from 'bun:test';
import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY, randomToken } from '../../helpers/binary.ts';
import { clientEnvironment } from '../../helpers/client.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

/** The number of a pipe that nobody reads from any more: its reader has ended. */
const DEAF_PIPE = 'exec 4> >(exec true); wait $!; ';

/** Runs a script of bash to its end, with `args` as its `$@`. */
async function inBash(script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn(['bash', '-c', script, 'bash', ...args], {
    cwd: directory.path,
    env: { ...BASE_ENVIRONMENT, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const ended = Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const [stdout, stderr, code] = await within('the script', ended);
  return { code, stdout, stderr };
}

/** A record that is longer than any pipe. */
const record = directory.join('audit.jsonl');
const line = (seq: number): string => `{"seq":${seq},"time":"2026-11-26T08:00:00Z","event":"start","cmd":"echo"}\n`;
writeFileSync(record, Array.from({ length: 20_000 }, (_, at) => line(at + 1)).join(''));

describe('a reader that has gone ends it quietly, with the code of SIGPIPE', () => {
  const commands: readonly string[][] = [
    ['--help'],
    ['token', '--help'],
    ['token', 'new'],
    ['profile', 'list'],
    ['profile', 'list', '--json'],
    ['completion', 'bash'],
    ['gpt', '--url', 'https://agent.example.org'],
    ['audit', 'tail', '-n', '1000', '--file', record],
    ['audit', 'tail', '-f', '--file', record],
    ['audit', 'grep', 'echo', '--file', record],
    ['audit', 'verify', '--file', record],
  ];
  test.concurrent.each(commands.map((args) => [args]))('%j', async (args) => {
    const ended = await inBash(`${DEAF_PIPE} "$@" >&4`, [BINARY, ...args]);
    expect(ended).toEqual({ code: 141, stdout: '', stderr: '' });
  });

  test.concurrent('also that of standard error', async () => {
    expect(
      await inBash(`${DEAF_PIPE} "$@" 2>&4`, [BINARY, 'token', 'list', '--file', directory.join('none.json')]),
    ).toEqual({ code: 141, stdout: '', stderr: '' });
  });

  test.concurrent.each(['tail -n 20000', 'grep echo'])('in the middle of audit %s', async (words) => {
    const script = `'${BINARY}' audit ${words} --file '${record}' | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await inBash(script, []);
    expect({ stdout, stderr }).toEqual({ stdout: `${line(1)}141\n`, stderr: '' });
  });

  test('of agent3 session', async () => {
    await using agent = await startAgent();
    await agent.shell({ cmd: 'true' });
    const script = `${DEAF_PIPE} "$@" >&4`;
    const ended = await inBash(script, [BINARY, 'session', 'list'], clientEnvironment(agent));
    expect(ended).toEqual({ code: 141, stdout: '', stderr: '' });
  });

  test.concurrent('and a reader that takes its time gets everything', async () => {
    const script = `'${BINARY}' audit grep echo --file '${record}' | (sleep 1; wc -l); echo "\${PIPESTATUS[0]}"`;
    expect(await inBash(script, [])).toMatchObject({ stdout: '20000\n0\n', stderr: '' });
  });
});

test.each(['audit grep echo', 'profile list'])('output of %s that cannot be written is told', async (words) => {
  const { code, stderr } = await inBash(`'${BINARY}' ${words} > /dev/full`, [], { AGENT3_AUDIT_FILE: record });
  const told = 'agent3: the output cannot be written: the disk is full (ENOSPC)\n';
  expect({ code, stderr }).toEqual({ code: 1, stderr: told });
});

describe('what must not stop half-way continues without a reader', () => {
  const filesOf = (root: string): string[] => readdirSync(root, { recursive: true }).map(String).sort();

  test('agent3 install', async () => {
    const [whole, unread] = [directory.join('whole'), directory.join('unread')];
    expect((await inBash('"$@"', [BINARY, 'install', '--root', whole])).code).toBe(0);
    const ended = await inBash(`${DEAF_PIPE} "$@" >&4 2>&4`, [BINARY, 'install', '--root', unread]);
    expect(ended).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(filesOf(unread)).toEqual(filesOf(whole));
    const removed = await inBash(`${DEAF_PIPE} "$@" >&4 2>&4`, [BINARY, 'uninstall', '--root', unread, '--purge']);
    expect(removed.code).toBe(0);
    expect(filesOf(unread)).not.toContain('usr/local/bin/agent3');
  });

  test('agent3 install that fails says so by its code', async () => {
    const root = directory.join('failing');
    mkdirSync(join(root, 'etc/agent3/agent3.env'), { recursive: true });
    const ended = await inBash(`${DEAF_PIPE} "$@" >&4 2>&4`, [BINARY, 'install', '--root', root]);
    expect(ended).toEqual({ code: 1, stdout: '', stderr: '' });
  });

  test('ops/install | head', async () => {
    const bundle = directory.join('bundle');
    mkdirSync(join(bundle, 'ops'), { recursive: true });
    copyFileSync(join(import.meta.dir, '../../../ops/install'), join(bundle, 'ops/install'));
    symlinkSync(BINARY, join(bundle, 'agent3'));
    const script = `sh "$1/ops/install" --root "$1/root" 2>&1 | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await inBash(script, [bundle]);
    expect({ stdout, stderr }).toEqual({ stdout: expect.stringMatching(/^\S.*\n0\n$/), stderr: '' });
    expect(filesOf(join(bundle, 'root'))).toContain('etc/agent3/install.json');
  });

  test('agent3 serve', async () => {
    const port = await freePort();
    const child = Bun.spawn(['bash', '-c', `${DEAF_PIPE} exec "$@" >&4 2>&4`, 'bash', BINARY, 'serve'], {
      cwd: directory.path,
      env: { ...BASE_ENVIRONMENT, AGENT3_API_TOKEN: randomToken(), AGENT3_PORT: String(port) },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    try {
      const health = () =>
        fetch(`http://127.0.0.1:${port}/healthz`).then(
          ({ ok }) => ok,
          () => false,
        );
      await eventually('it answers', health);
      // Each refusal is a line of the log.
      for (let count = 0; count < 5; count++) await fetch(`http://127.0.0.1:${port}/none`);
      expect(await health()).toBe(true);
    } finally {
      child.kill('SIGTERM');
    }
    expect(await within('its end', child.exited)).toBe(0);
  });

  test('a command of agent3 exec whose words for people nobody reads', async () => {
    await using agent = await startAgent();
    const env = clientEnvironment(agent);
    const exec = [BINARY, 'exec', '--key', 'once', 'echo out; exit 3'];
    await inBash('"$@"', exec, env);
    const again = await inBash(`${DEAF_PIPE} "$@" 2>&4`, exec, env);
    expect(again).toEqual({ code: 3, stdout: 'out\n', stderr: '' });
  });
});
