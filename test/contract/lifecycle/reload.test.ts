import { describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY, randomToken } from '../../helpers/binary.ts';
import { makeCertificate } from '../../helpers/certificates.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { eventually } from '../../helpers/waiting.ts';

/** An agent whose log goes to a file, or that speaks TLS: `startAgent` reads its log from standard error. */
async function startOn(settings: Readonly<Record<string, string>>, origin: string) {
  const token = randomToken();
  const directory = new TemporaryDirectory();
  const child = Bun.spawn([BINARY, 'serve'], {
    cwd: directory.path,
    env: { ...BASE_ENVIRONMENT, AGENT3_API_TOKEN: token, ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const call = (cmd: string, headers: Readonly<Record<string, string>> = {}) =>
    fetch(`${origin}/`, {
      method: 'POST',
      headers: { 'x-auth-token': token, ...headers },
      body: JSON.stringify({ op: 'shell', args: { cmd } }),
      // Each call makes a connection of its own, as a new certificate shows on new connections alone.
      keepalive: false,
      tls: { rejectUnauthorized: false },
    });
  await eventually('an answer', async () => (await fetch(`${origin}/healthz`, INSECURE).catch(() => undefined))?.ok);
  return {
    child,
    call,
    [Symbol.dispose]: () => {
      child.kill('SIGKILL');
      directory[Symbol.dispose]();
    },
  };
}

const INSECURE = { tls: { rejectUnauthorized: false } };

describe('a log file', () => {
  test('takes every line, also after it was moved away and SIGHUP was sent', async () => {
    using directory = new TemporaryDirectory();
    const port = await freePort();
    const file = join(directory.path, 'agent3.log');
    using agent = await startOn({ AGENT3_PORT: String(port), AGENT3_LOG_FILE: file }, `http://127.0.0.1:${port}`);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    const count = 60;
    const calls: Promise<Response>[] = [];
    for (let one = 0; one < count; one++) {
      calls.push(agent.call(`echo ${one}`));
      if (one % 20 === 10) {
        renameSync(file, `${file}.${one}`);
        agent.child.kill('SIGHUP');
      }
      await calls[one];
    }
    await eventually('a new file', () => existsSync(file));
    agent.child.kill('SIGTERM');
    expect(await agent.child.exited).toBe(0);
    const lines = [`${file}.10`, `${file}.30`, `${file}.50`, file].flatMap((path) =>
      readFileSync(path, 'utf8').trim().split('\n'),
    );
    const parsed = lines.map((line) => JSON.parse(line));
    expect(parsed.filter(({ op }) => op === 'shell')).toHaveLength(count);
    expect(parsed.filter(({ msg }) => msg === 'reloaded')).toHaveLength(3);
    expect(await agent.child.stderr.text()).toBe('');
  });

  test('that cannot be opened is named, and the agent does not start', async () => {
    const { code, stderr } = await agent3(['serve'], {
      AGENT3_API_TOKEN: randomToken(),
      AGENT3_PORT: '0',
      AGENT3_LOG_FILE: '/no/such/directory/agent3.log',
    });
    expect(code).toBe(1);
    expect(stderr).toContain('/no/such/directory/agent3.log');
    expect(stderr.split('\n')).toHaveLength(2);
  });
});

describe('SIGHUP', () => {
  test('does not end the agent, nor a command that runs', async () => {
    await using agent = await startAgent();
    const answer = agent.shell({ cmd: 'echo ready; sleep 1; echo done' });
    await eventually('the session', () => agent.sessionsOnDisk().length === 1);
    agent.signal('SIGHUP');
    await agent.log.find('reloaded', (line) => line['msg'] === 'reloaded');
    expect((await answer).stdout).toBe('ready\ndone\n');
  });
});

describe('TLS', () => {
  test('is spoken with the certificate of the settings, and with a new one after SIGHUP', async () => {
    using directory = new TemporaryDirectory();
    const port = await freePort();
    const { cert, key } = makeCertificate(directory.path, 'first.test');
    const origin = `https://127.0.0.1:${port}`;
    using agent = await startOn({ AGENT3_PORT: String(port), AGENT3_TLS_CERT: cert, AGENT3_TLS_KEY: key }, origin);
    expect(await (await agent.call('echo over TLS')).json()).toMatchObject({ stdout: 'over TLS\n' });
    expect(subjectOn(port)).toContain('first.test');

    const slow = agent.call('sleep 1; echo slow');
    makeCertificate(directory.path, 'second.test');
    agent.child.kill('SIGHUP');
    await eventually('the new certificate', () => subjectOn(port).includes('second.test'));
    expect(await (await agent.call('echo new')).json()).toMatchObject({ stdout: 'new\n' });
    expect(await (await slow).json()).toMatchObject({ stdout: 'slow\n' });

    writeFileSync(key, 'no key at all');
    agent.child.kill('SIGHUP');
    expect(await (await agent.call('echo still')).json()).toMatchObject({ stdout: 'still\n' });
    expect(subjectOn(port)).toContain('second.test');
    agent.child.kill('SIGTERM');
    expect(await agent.child.exited).toBe(0);
    const log = await agent.child.stderr.text();
    expect(log).toContain('the certificate was not reloaded');
    expect(log).not.toContain('no key at all');
  });

  test('is spoken after every SIGHUP, whatever connects or starts just then', async () => {
    using directory = new TemporaryDirectory();
    const port = await freePort();
    const { cert, key } = makeCertificate(directory.path, 'again.test');
    const origin = `https://127.0.0.1:${port}`;
    using agent = await startOn({ AGENT3_PORT: String(port), AGENT3_TLS_CERT: cert, AGENT3_TLS_KEY: key }, origin);
    for (let round = 0; round < 60; round++) {
      const inTheWay = agent.call('true').catch(() => undefined);
      // From before the connection to behind the start of its command.
      await Bun.sleep(round / 5);
      agent.child.kill('SIGHUP');
      await inTheWay;
      await eventually(
        'an answer',
        async () => (await fetch(`${origin}/healthz`, INSECURE).catch(() => undefined))?.ok,
      );
    }
    agent.child.kill('SIGTERM');
    expect(await agent.child.exited).toBe(0);
    expect(await agent.child.stderr.text()).not.toContain('was not reloaded');
  });

  const wrong: readonly [what: string, change: (files: { cert: string; key: string }) => void, told: string][] = [
    ['a certificate that is none', ({ cert }) => writeFileSync(cert, 'none'), 'AGENT3_TLS_CERT'],
    ['a key that is none', ({ key }) => writeFileSync(key, 'none'), 'AGENT3_TLS_KEY'],
    [
      'the key of another certificate',
      ({ key }) => {
        using other = new TemporaryDirectory();
        writeFileSync(key, readFileSync(makeCertificate(other.path, 'other.test').key));
      },
      'does not belong to',
    ],
    ['a key that is not there', ({ key }) => renameSync(key, `${key}.away`), 'AGENT3_TLS_KEY'],
  ];
  test.each(wrong)('with %s is refused at the start', async (_what, change, told) => {
    using directory = new TemporaryDirectory();
    const files = makeCertificate(directory.path, 'wrong.test');
    chmodSync(files.key, 0o600);
    change(files);
    const { code, stderr } = await agent3(['serve'], {
      AGENT3_API_TOKEN: randomToken(),
      AGENT3_PORT: '0',
      AGENT3_TLS_CERT: files.cert,
      AGENT3_TLS_KEY: files.key,
    });
    expect(code).toBe(1);
    expect(stderr).toContain(told);
  });

  test('needs certificate and key together', async () => {
    const { code, stderr } = await agent3(['serve'], {
      AGENT3_API_TOKEN: randomToken(),
      AGENT3_TLS_KEY: '/etc/agent3/key.pem',
    });
    expect(code).toBe(2);
    expect(stderr).toContain('AGENT3_TLS_CERT and AGENT3_TLS_KEY');
  });
});

/** What a new connection is shown, by openssl(1): a client that keeps no connection. */
function subjectOn(port: number): string {
  const { stdout } = Bun.spawnSync(['openssl', 's_client', '-connect', `127.0.0.1:${port}`], {
    stdin: new Uint8Array(),
    stderr: 'ignore',
  });
  return /^subject=.*$/m.exec(stdout.toString())?.[0] ?? '';
}

describe('behind a trusted proxy', () => {
  test('the client of the log is the one that the proxy names', async () => {
    await using agent = await startAgent({ AGENT3_TRUSTED_PROXIES: '127.0.0.1,::1' });
    await agent.post('{}', { 'x-forwarded-for': '6.6.6.6, 203.0.113.7' });
    const line = await agent.log.find('the refusal', (one) => one['status'] === 400);
    expect(line['address']).toBe('203.0.113.7');
  });

  test('guessing locks out the guesser, not the proxy', async () => {
    await using agent = await startAgent({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
    const guess = (from: string) =>
      agent.request('/', { method: 'POST', body: '{}', headers: { 'x-auth-token': 'wrong', 'x-forwarded-for': from } });
    const statuses: number[] = [];
    for (let count = 0; count < 12; count++) statuses.push((await guess('203.0.113.7')).status);
    expect(statuses.filter((status) => status === 429)).toHaveLength(2);
    expect((await guess('203.0.113.8')).status).toBe(403);
  });

  test('an invalid address is refused at the start', async () => {
    const { code, stderr } = await agent3(['serve'], {
      AGENT3_API_TOKEN: randomToken(),
      AGENT3_TRUSTED_PROXIES: '127.0.0.1,localhost',
    });
    expect(code).toBe(2);
    expect(stderr).toContain('AGENT3_TRUSTED_PROXIES: "localhost"');
  });
});
