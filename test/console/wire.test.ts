import { afterEach, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentAway, Channel, WireRefusal } from '../../src/console/channel.ts';
import { WireClient } from '../../src/console/wire-client.ts';
import { type Answer, WireServer } from '../../src/console/wire-server.ts';
import { eventually } from '../helpers/waiting.ts';

const KEY = 'a-key-of-the-console-0123456789abcdef';

const open: { close(): void }[] = [];
const directory = mkdtempSync(join(tmpdir(), 'agent3-wire-'));
let number = 0;

afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** What the agent's log was told. */
const told: string[] = [];
const logger = {
  warn: (_: object, message: string) => void told.push(message),
  error: (_: object, message: string) => void told.push(message),
};

function newPath(): string {
  return join(directory, `${number++}.sock`);
}

function serve(answer: Answer, path = newPath()): string {
  const server = new WireServer(path, KEY, answer, logger);
  server.open();
  open.push(server);
  return path;
}

function clientOf(path: string, key = KEY): WireClient {
  const client = new WireClient(path, key);
  open.push(client);
  return client;
}

const echo: Answer = async ({ op, args }) => {
  if (op === 'refuse') throw new WireRefusal('BadRequest', 'as you like');
  if (op === 'break') throw new Error('a secret of the agent');
  return () => ({ op, args });
};

describe('the wire', () => {
  test('answers requests, each with its own answer', async () => {
    const client = clientOf(serve(echo));
    const all = await Promise.all(Array.from({ length: 50 }, (_, at) => client.request('state', { at })));
    expect(all).toEqual(Array.from({ length: 50 }, (_, at) => ({ op: 'state', args: { at } })));
  });

  test('carries answers of a megabyte, and half characters', async () => {
    const client = clientOf(serve(async () => () => ({ text: `${'é'.repeat(500_000)}\ud83d` })));
    expect(await client.request('request', {})).toEqual({ text: `${'é'.repeat(500_000)}\ud83d` });
  });

  test('says what was refused, and of a fault nothing', async () => {
    const client = clientOf(serve(echo));
    await expect(client.request('refuse', {})).rejects.toThrow('as you like');
    await expect(client.request('break', {})).rejects.toThrow('The agent failed');
    expect(await client.request('state', 1)).toEqual({ op: 'state', args: 1 });
  });

  test('refuses an answer that is too long, and lives', async () => {
    const client = clientOf(
      serve(
        async ({ op }) =>
          () =>
            op === 'long' ? 'x'.repeat(2_000_000) : 'short',
      ),
    );
    await expect(client.request('long', {})).rejects.toThrow('too long');
    expect(await client.request('short', {})).toBe('short');
  });

  test('takes back a request whose signal aborts', async () => {
    const aborted = Promise.withResolvers<void>();
    const controller = new AbortController();
    const path = serve(({ signal }) => {
      setTimeout(() => controller.abort(new Error('gone')));
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => {
        aborted.resolve();
        reject(new WireRefusal('BadRequest', 'taken back'));
      });
      return promise;
    });
    const asked = clientOf(path).request('watch', {}, controller.signal);
    await expect(asked).rejects.toThrow('gone');
    await aborted.promise;
  });

  test('ends what waits when the console is gone', async () => {
    const aborted = Promise.withResolvers<void>();
    const path = serve(({ signal }) => {
      setTimeout(() => client.close());
      signal.addEventListener('abort', () => aborted.resolve());
      return new Promise(() => {});
    });
    const client = clientOf(path);
    const asked = client.request('watch', {});
    await expect(asked).rejects.toThrow(AgentAway);
    await aborted.promise;
  });

  test('lets 64 requests wait at once, and refuses more', async () => {
    const go = Promise.withResolvers<void>();
    const seen: string[] = [];
    const path = serve(async ({ op }) => {
      seen.push(op);
      await go.promise;
      return () => 'done';
    });
    const client = clientOf(path);
    const all = Promise.allSettled(Array.from({ length: 70 }, () => client.request('watch', {})));
    await eventually('64 wait', async () => seen.length === 64);
    go.resolve();
    const settled = await all;
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(64);
  });

  test('says that the agent is away, and finds it again', async () => {
    const path = newPath();
    const client = clientOf(path);
    await expect(client.request('state', {})).rejects.toThrow(AgentAway);
    const server = new WireServer(path, KEY, echo, logger);
    server.open();
    expect(await client.request('state', 1)).toEqual({ op: 'state', args: 1 });
    server.close();
    await eventually(
      'away',
      async () => (await client.request('state', {}).catch((error) => error)) instanceof AgentAway,
    );
    expect(existsSync(path)).toBe(false);
    serve(echo, path);
    expect(await client.request('state', 2)).toEqual({ op: 'state', args: 2 });
  });

  test('comes when its directory does', async () => {
    const path = join(directory, 'late', 'console.sock');
    serve(echo, path);
    const client = clientOf(path);
    await expect(client.request('state', {})).rejects.toThrow(AgentAway);
    mkdirSync(join(directory, 'late'));
    await eventually('the agent listens', () => client.request('state', 1).catch(() => undefined));
  });

  test('outlives what is put in its place', async () => {
    const place = join(directory, 'changing');
    mkdirSync(place);
    const path = serve(echo, join(place, 'console.sock'));
    const client = clientOf(path);
    for (const put of [() => mkdirSync(path), () => writeFileSync(path, ''), () => symlinkSync('/dev/zero', path)]) {
      rmSync(path, { recursive: true });
      put();
      client.close();
      const isAway = async (): Promise<boolean> =>
        (await client.request('state', 0).catch((error) => error)) instanceof AgentAway;
      await eventually('it is away', isAway);
      if (statSync(path).isDirectory()) rmSync(path, { recursive: true });
      await eventually('it is back', () => client.request('state', 1).catch(() => undefined));
    }
    rmSync(place, { recursive: true });
    writeFileSync(place, '');
    client.close();
    told.length = 0;
    await eventually('it was tried', () => told.some((message) => message.includes('cannot be made')));
    rmSync(place);
    mkdirSync(place);
    await eventually('it is back', () => client.request('state', 1).catch(() => undefined));
  }, 30_000);

  test('trusts nobody with another key', async () => {
    await expect(clientOf(serve(echo), 'another-key-of-32-characters-and-more').request('state', {})).rejects.toThrow(
      AgentAway,
    );
  });

  test('trusts nobody who took the path of the socket, and takes it back', async () => {
    const path = serve(echo);
    rmSync(path);
    const heard: Buffer[] = [];
    const thief = Bun.listen({
      unix: path,
      socket: {
        open: (socket) => void socket.write(Buffer.alloc(64, 1)),
        data: (_, bytes) => void heard.push(Buffer.from(bytes)),
      },
    });
    const client = clientOf(path);
    await expect(client.request('order', { secret: 'of the owner' })).rejects.toThrow(AgentAway);
    expect(Buffer.concat(heard).toString('latin1')).not.toContain('of the owner');
    expect(Buffer.concat(heard).toString('latin1')).not.toContain(KEY);
    await eventually('the agent has its path back', () => client.request('state', 3).catch(() => undefined));
    thief.stop(true);
  });

  test('takes no word of somebody in between who changes, repeats or adds', async () => {
    for (const meddle of [changed, repeated, added]) {
      const seen: unknown[] = [];
      const path = serve(async ({ args }) => {
        seen.push(args);
        return () => args;
      });
      const between = newPath();
      let count = 0;
      const proxy = Bun.listen<{ agent: ReturnType<typeof connect> }>({
        unix: between,
        socket: {
          open: (socket) => {
            const agent = connect(path);
            socket.data = { agent };
            agent.on('data', (bytes) => socket.write(bytes));
            agent.on('close', () => socket.end());
            agent.on('error', () => socket.end());
          },
          // Nonce and proof pass, at 64 bytes.
          data: ({ data: { agent } }, bytes) => {
            const isHello = count < 64;
            count += bytes.length;
            for (const one of isHello ? [bytes] : meddle(Buffer.from(bytes))) agent.write(one);
          },
          close: ({ data: { agent } }) => void agent.destroy(),
        },
      });
      const client = clientOf(between);
      const first = await client.request('order', 'first').catch((error) => error);
      const second = await client.request('order', 'second').catch((error) => error);
      expect([first, second].some((one) => one instanceof AgentAway)).toBe(true);
      expect(seen.filter((one) => one !== 'first' && one !== 'second')).toEqual([]);
      expect(new Set(seen).size).toBe(seen.length);
      proxy.stop(true);
    }
  });

  test('closes a connection of garbage, and answers the others', async () => {
    const path = serve(echo);
    const garbage = connect(path);
    const closed = Promise.withResolvers<void>();
    garbage.on('error', () => {});
    garbage.on('close', () => closed.resolve());
    garbage.resume();
    garbage.write(Buffer.alloc(100_000, 'x'));
    await closed.promise;
    expect(await clientOf(path).request('state', 1)).toEqual({ op: 'state', args: 1 });
  });

  test('has room for the console however many connect and say nothing', async () => {
    const path = serve(echo);
    const silentOnes = Array.from({ length: 50 }, () => connect(path));
    for (const one of silentOnes) one.on('error', () => {});
    expect(await clientOf(path).request('state', 1)).toEqual({ op: 'state', args: 1 });
    for (const one of silentOnes) one.destroy();
  });

  test('keeps little for a console that does not read', async () => {
    let made = 0;
    const path = serve(async () => () => {
      made++;
      return 'x'.repeat(1_000_000);
    });
    const socket = connect(path);
    const channel = new Channel('console', KEY, {
      write: (bytes) => {
        socket.write(Buffer.from(bytes));
        return bytes.length;
      },
    });
    channel.open();
    const proved = Promise.withResolvers<void>();
    socket.on('data', (bytes) => {
      channel.receive(Buffer.from(bytes));
      if (!channel.isProved) return;
      socket.removeAllListeners('data');
      socket.pause();
      proved.resolve();
    });
    await proved.promise;
    for (let id = 1; id <= 60; id++) channel.send(() => JSON.stringify({ id, op: 'state', args: {} }));
    // Others are answered meanwhile, and this one after them: what it asks has come by then.
    expect(await clientOf(path).request('state', 0)).toHaveLength(1_000_000);
    expect(made).toBeLessThan(10);
    socket.destroy();
  });
});

function changed(bytes: Buffer): Buffer[] {
  bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1;
  return [bytes];
}

function repeated(bytes: Buffer): Buffer[] {
  return [bytes, bytes];
}

function added(bytes: Buffer): Buffer[] {
  const json = Buffer.from('{"id":99,"op":"order","args":"mine"}');
  const head = Buffer.alloc(36);
  head.writeUInt32BE(json.length);
  return [Buffer.concat([head, json]), bytes];
}
