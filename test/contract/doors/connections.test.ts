import { afterAll, describe, expect, test } from 'bun:test';
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY, randomToken } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { postText, RawConnection } from '../../helpers/sockets.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_MAX_RUNNING: '64' });
afterAll(() => agent[Symbol.asyncDispose]());

const shellText = (cmd: string) => JSON.stringify({ op: 'shell', args: { cmd } });

/** Others are served while a test holds its strange connections. */
async function expectService(): Promise<void> {
  expect((await within('another call', agent.shell({ cmd: 'echo served' }), 30_000)).stdout).toBe('served\n');
}

/** Opens `count` connections at once; they are closed with the stack. */
async function openMany(count: number, stack: DisposableStack): Promise<RawConnection[]> {
  const connections = await Promise.all(Array.from({ length: count }, () => RawConnection.open(agent)));
  for (const connection of connections) stack.use(connection);
  return connections;
}

describe('others are served beside', () => {
  test('1,000 idle connections, each of which was answered once', async () => {
    using stack = new DisposableStack();
    const connections = await openMany(1000, stack);
    for (const connection of connections) connection.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answers = await Promise.all(connections.map((connection) => connection.until(/"ok"/)));
    expect(answers.every((answer) => answer.startsWith('HTTP/1.1 200'))).toBe(true);
    await expectService();
  });

  test('200 half-sent bodies, which can still be completed', async () => {
    using stack = new DisposableStack();
    const connections = await openMany(200, stack);
    const text = postText(agent, shellText('echo complete'));
    for (const connection of connections) connection.send(text.slice(0, -10));
    await expectService();
    const [first] = connections;
    first?.send(text.slice(-10));
    expect(await first?.until(/complete\\n/)).toStartWith('HTTP/1.1 200');
  });

  test('a body that never comes whole, which is refused when the reply window closes', async () => {
    await using hasty = await startAgent({ AGENT3_REPLY_SECONDS: '1' });
    using half = await RawConnection.open(hasty);
    half.send(postText(hasty, '{"op":', 1000));
    using chunked = await RawConnection.open(hasty);
    const headers = `Host: localhost\r\nX-Auth-Token: ${hasty.token}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    chunked.send(`POST / HTTP/1.1\r\n${headers}6\r\n{"op":\r\n`);
    for (const connection of [half, chunked]) {
      const text = await within('the refusal', connection.until(/\}$/), 30_000);
      expect(text).toMatch(/^HTTP\/1\.1 4\d\d/);
      expect(text).toContain('{"error":');
    }
  });

  test('200 half-sent headers', async () => {
    using stack = new DisposableStack();
    for (const connection of await openMany(200, stack)) connection.send('POST / HTTP/1.1\r\nHost: localh');
    await expectService();
  });

  test('a client that sends a byte at a time', async () => {
    using connection = await RawConnection.open(agent);
    for (const byte of postText(agent, shellText('echo patient'))) {
      connection.send(byte);
      await Bun.sleep(1);
    }
    expect(await connection.until(/patient\\n/)).toStartWith('HTTP/1.1 200');
  });

  test('50 clients that do not read their long answers', async () => {
    using stack = new DisposableStack();
    const connections = await openMany(50, stack);
    for (const { socket } of connections) socket.pause();
    const text = postText(agent, shellText('seq 15000'));
    for (const connection of connections) connection.send(text);
    await expectService();
    const [first] = connections;
    first?.socket.resume();
    expect(await first?.until(/"truncated":false/)).toContain('14999\\n15000\\n');
  });

  test('what is no HTTP', async () => {
    using connection = await RawConnection.open(agent);
    connection.send('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n');
    await within('the end of the connection', connection.closed);
    await expectService();
  });
});

describe('one connection', () => {
  test('carries one request after the other', async () => {
    using connection = await RawConnection.open(agent);
    for (const word of ['one', 'two', 'three']) {
      connection.send(postText(agent, shellText(`echo ${word}`)));
      expect(await connection.until(new RegExp(`"${word}\\\\n"`))).toStartWith('HTTP/1.1 200');
    }
  });

  test('that brings two requests at once is closed, and neither is run', async () => {
    using directory = new TemporaryDirectory();
    const texts = ['first', 'second'].map((name) => postText(agent, shellText(`touch ${directory.join(name)}`)));
    for (let round = 0; round < 5; round++) {
      using connection = await RawConnection.open(agent);
      connection.send(texts.join(''));
      await within('the end of the connection', connection.closed);
      expect(connection.received).toBe('');
    }
    await expectService();
    expect(readdirSync(directory.path)).toEqual([]);
    // What needs no run is answered in order.
    using plain = await RawConnection.open(agent);
    plain.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2));
    expect((await plain.until(/"ok".*"ok"/s)).match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  });

  test('is kept after a refusal', async () => {
    using connection = await RawConnection.open(agent);
    connection.send(postText(agent, 'no json'));
    expect(await connection.until(/Invalid JSON.*\}/)).toStartWith('HTTP/1.1 400');
    connection.send(postText(agent, shellText('echo on')));
    expect(await connection.until(/"on\\n"/)).toContain('HTTP/1.1 200');
  });
});

describe('a client that hangs up', () => {
  test('does not stop its command', async () => {
    using trigger = new Trigger();
    using directory = new TemporaryDirectory();
    const finished = directory.join('finished');
    const connection = await RawConnection.open(agent);
    connection.send(
      postText(agent, shellText(`${trigger.arrive}; ${trigger.wait}; echo done; touch ${finished}; exit 6`)),
    );
    const session = await trigger.arrived();
    connection[Symbol.dispose]();
    await connection.closed;
    await expectService();
    trigger.open();
    await eventually('the command finishes', () => existsSync(finished));
    const answer = await agent.read({ session, offset: 5, wait: 10, until: 'output' });
    expect(answer).toMatchObject({ status: 'done', exit_code: 6, stdout_bytes: 5 });
  });

  test('in the middle of its body runs nothing', async () => {
    const before = agent.sessionsOnDisk().length;
    const connection = await RawConnection.open(agent);
    connection.send(postText(agent, shellText('echo half')).slice(0, -3));
    connection[Symbol.dispose]();
    await expectService();
    expect(agent.sessionsOnDisk()).toHaveLength(before + 1);
  });
});

describe('the port', () => {
  test('cannot be taken by a second agent, which ends with 1 and says why', async () => {
    using sessions = new TemporaryDirectory();
    const settings = { AGENT3_API_TOKEN: agent.token, AGENT3_SESSIONS_DIR: sessions.path };
    const second = await agent3(['serve'], { ...settings, AGENT3_PORT: String(agent.port) });
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(String(agent.port));
    expect(second.stderr).not.toContain('"msg":"listening"');
    await expectService();
  });

  test('is open on the loopback interface alone', async () => {
    const listening = Bun.spawnSync(['cat', '/proc/net/tcp', '/proc/net/tcp6']).stdout.toString();
    const hex = agent.port.toString(16).toUpperCase().padStart(4, '0');
    const addresses = listening.split('\n').flatMap((line) => {
      const [, local, , state] = line.trim().split(/\s+/);
      return state === '0A' && local?.endsWith(`:${hex}`) === true ? [local] : [];
    });
    expect(addresses).toEqual([`0100007F:${hex}`]);
  });
});

test('a log that nobody reads holds nothing up', async () => {
  using directory = new TemporaryDirectory();
  const fifo = directory.join('log');
  Bun.spawnSync(['mkfifo', fifo]);
  // Open for reading too, so that the agent may write; what it writes stays in the pipe, which holds 64 KiB.
  const log = openSync(fifo, 'r+');
  const port = await freePort();
  await using deaf = Bun.spawn([BINARY, 'serve'], {
    cwd: directory.path,
    env: { ...BASE_ENVIRONMENT, AGENT3_API_TOKEN: randomToken(), AGENT3_PORT: String(port) },
    stderr: log,
  });
  const url = `http://127.0.0.1:${port}/healthz`;
  await eventually('the agent listens', () => fetch(url).catch(() => undefined));
  for (let calls = 0; calls < 1000; calls++) await within('an answer', fetch(url));
  deaf.kill('SIGTERM');
  const code = await within('the shutdown', deaf.exited).finally(() => deaf.kill('SIGKILL'));
  expect(code).toBe(0);
  closeSync(log);
});

test('100 calls at once are answered, or refused with 429 for lack of room', async () => {
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, n) => agent.call('shell', { cmd: `sleep 0.2; echo ${n}` })),
  );
  for (const [n, reply] of replies.entries()) {
    if (reply.status === 429) continue;
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: `${n}\n` });
  }
  expect(replies.filter((reply) => reply.status === 200).length).toBeGreaterThanOrEqual(64);
});
