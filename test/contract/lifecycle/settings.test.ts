import { describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY, randomToken } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { eventually, within } from '../../helpers/waiting.ts';

/** Runs `serve` with settings that it must refuse, in an empty directory. */
const refused = (settings: Record<string, string>) => agent3(['serve'], { AGENT3_PORT: '0', ...settings });

describe('the token', () => {
  test.concurrent('must be there; without it the agent says how to make one', async () => {
    const { code, stdout, stderr } = await refused({});
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('AGENT3_API_TOKEN');
    expect(stderr).toContain('agent3 token new');
  });

  test.concurrent('must have 16 characters; a shorter one is refused, and not repeated', async () => {
    const token = 'fifteen-letters';
    const { code, stderr } = await refused({ AGENT3_API_TOKEN: token });
    expect(code).toBe(2);
    expect(stderr).toContain('AGENT3_API_TOKEN');
    expect(stderr).toContain('16');
    expect(stderr).not.toContain(token);
  });

  test.concurrent('may have 16 characters', async () => {
    await using agent = await startAgent({ AGENT3_API_TOKEN: 'sixteen-letters-' });
    expect((await agent.shell({ cmd: 'echo ran' })).stdout).toBe('ran\n');
  });

  test.concurrent('is not read from AGENT3_TOKEN, the second variable of the original', async () => {
    expect((await refused({ AGENT3_TOKEN: randomToken() })).code).toBe(2);
    await using agent = await startAgent({ AGENT3_TOKEN: 'accepted-and-unused-by-the-agent' });
    const init = { method: 'POST', body: '{}', headers: { 'x-auth-token': 'accepted-and-unused-by-the-agent' } };
    expect((await agent.request('/', init)).status).toBe(403);
  });
});

describe('a bad value is named with what is allowed:', () => {
  const bad: [string, string][] = [
    ['AGENT3_PORT', '65536'],
    ['AGENT3_PORT', '-1'],
    ['AGENT3_PORT', 'http'],
    ['AGENT3_PORT', '50.5'],
    ['AGENT3_SHELL', '/no/such/shell'],
    ['AGENT3_SHELL', '/etc/passwd'],
    ['AGENT3_REPLY_SECONDS', '0'],
    ['AGENT3_REPLY_SECONDS', '-40'],
    ['AGENT3_REPLY_SECONDS', '40s'],
    ['AGENT3_MAX_EXEC_SECONDS', '0'],
    ['AGENT3_MAX_EXEC_SECONDS', 'Infinity'],
    ['AGENT3_KILL_GRACE_SECONDS', '-1'],
    ['AGENT3_MAX_OUTPUT_BYTES', '0'],
    ['AGENT3_MAX_OUTPUT_BYTES', '90KB'],
    ['AGENT3_MAX_REPLY_CHARS', '10'],
    ['AGENT3_MAX_SESSION_BYTES', '-1'],
    ['AGENT3_MAX_SESSIONS_BYTES', '1e'],
    ['AGENT3_SESSION_TTL_SECONDS', '-1'],
    ['AGENT3_SESSION_TTL_SECONDS', 'NaN'],
    ['AGENT3_MAX_RUNNING', '0'],
    ['AGENT3_MAX_RUNNING', '1.5'],
    ['AGENT3_LOG_LEVEL', 'loud'],
  ];
  test.concurrent.each(bad)('%s=%s', async (name, value) => {
    const { code, stdout, stderr } = await refused({ AGENT3_API_TOKEN: randomToken(), [name]: value });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(name);
    expect(stderr).toContain(value);
  });

  test.concurrent('all of them at once, in one run', async () => {
    const settings = {
      AGENT3_PORT: 'http',
      AGENT3_REPLY_SECONDS: 'soon',
      AGENT3_MAX_RUNNING: 'many',
      AGENT3_LOG_LEVEL: 'loud',
      AGENT3_MAX_SESSION_BYTES: 'big',
    };
    const { code, stderr } = await refused(settings);
    expect(code).toBe(2);
    for (const [name, value] of Object.entries(settings)) {
      expect(stderr).toContain(name);
      expect(stderr).toContain(value);
    }
    expect(stderr).toContain('AGENT3_API_TOKEN');
  });
});

describe('AGENT3_HOST', () => {
  test.concurrent.each(['not a host', '203.0.113.1'])(
    '%p, which is no address of this machine, is named',
    async (host) => {
      const { code, stderr } = await refused({ AGENT3_API_TOKEN: randomToken(), AGENT3_HOST: host });
      expect([1, 2]).toContain(code);
      expect(stderr).toContain(host);
      expect(stderr).not.toMatch(/\.ts:\d+|\bat .*agent3:/);
    },
  );
});

describe('AGENT3_SESSIONS_DIR', () => {
  test.concurrent('that cannot be made ends the agent with its path and the reason', async () => {
    using directory = new TemporaryDirectory();
    writeFileSync(directory.join('file'), '');
    const path = directory.join('file/sessions');
    const { code, stderr } = await refused({ AGENT3_API_TOKEN: randomToken(), AGENT3_SESSIONS_DIR: path });
    expect([1, 2]).toContain(code);
    expect(stderr).toContain(path);
    expect(stderr).not.toMatch(/\.ts:\d+/);
  });

  test.concurrent('cannot be shared by two agents', async () => {
    await using first = await startAgent();
    const { code, stderr } = await refused({ AGENT3_API_TOKEN: first.token, AGENT3_SESSIONS_DIR: first.sessionsDir });
    expect(code).toBe(1);
    expect(stderr).toContain(first.sessionsDir);
  });

  test.concurrent('is ./sessions where nothing else is said', async () => {
    await using agent = await startAgent({ AGENT3_SESSIONS_DIR: './sessions' });
    const { session } = await agent.shell({ cmd: 'true' });
    expect(await Bun.file(`${agent.directory}/sessions/${session}/meta.json`).exists()).toBe(true);
  });
});

describe('AGENT3_PORT and AGENT3_LOG_LEVEL', () => {
  test.concurrent('say where to listen, and how little to log', async () => {
    using directory = new TemporaryDirectory();
    const [port, token] = [await freePort(), randomToken()];
    const settings = { AGENT3_API_TOKEN: token, AGENT3_PORT: String(port), AGENT3_LOG_LEVEL: 'warn' };
    await using agent = Bun.spawn([BINARY, 'serve'], {
      cwd: directory.path,
      env: { ...BASE_ENVIRONMENT, ...settings },
      stderr: 'pipe',
      stdout: 'ignore',
    });
    const health = await eventually('the agent listens', () =>
      fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined),
    );
    expect(health.status).toBe(200);
    agent.kill('SIGTERM');
    expect(await within('the shutdown', agent.exited)).toBe(0);
    expect(await agent.stderr.text()).toBe('');
  });
});
