import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { digestOf, hexOf, type LinkAnswer, put } from '../../helpers/links.ts';
import { TestNats } from '../../helpers/nats.ts';
import { linesOf } from '../../helpers/record.ts';
import { RawConnection } from '../../helpers/sockets.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const MIB = 1_048_576;
const files = new TemporaryDirectory();
const TOKENS = files.join('tokens.json');
const PROFILES = files.join('profiles.d');
const APPROVALS = files.join('approvals');
const WEB_AUDIT = files.join('web1.jsonl');
mkdirSync(PROFILES);
mkdirSync(APPROVALS, { mode: 0o750 });
writeFileSync(
  `${PROFILES}/careful.toml`,
  'extends = "full"\n[[rules]]\naction = "confirm"\nwrites = ["/**/asked*"]\n[[rules]]\naction = "confirm"\ncommand = "cat"\narguments = "/**/private*"\n[[rules]]\naction = "deny"\nwrites = ["/**/denied*"]\n',
);

let nats: TestNats;
let hub: Agent;
let web1: Agent;
let web2: Agent;

beforeAll(async () => {
  nats = await TestNats.start('web1', 'web2');
  web1 = await startAgent({
    ...nats.serverSettings('web1', 'careful'),
    AGENT3_PROFILES_DIR: PROFILES,
    AGENT3_APPROVALS_DIR: APPROVALS,
    AGENT3_AUDIT_FILE: WEB_AUDIT,
    AGENT3_MAX_TRANSFER_BYTES: String(256 * MIB),
  });
  web2 = await startAgent(nats.serverSettings('web2'));
  hub = await startAgent({ ...nats.hubSettings, AGENT3_TOKENS_FILE: TOKENS });
  await connected('web1', 'web2');
});
afterAll(async () => {
  for (const one of [hub, web1, web2, nats]) await one?.[Symbol.asyncDispose]();
  files[Symbol.dispose]();
});

let made = 0;
const newPath = (name = 'file'): string => files.join(`${name}-${++made}`);
const fileOf = (bytes: Uint8Array | string): string => {
  const path = newPath();
  writeFileSync(path, bytes);
  return path;
};
const random = (bytes: number): Uint8Array => {
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(all.subarray(at, at + 65_536));
  return all;
};

type Fields = Readonly<Record<string, unknown>>;

async function call<T = Fields>(operation: string, args: Fields, token = hub.token): Promise<T & { http: number }> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify(args) };
  const { status, text } = await hub.request(`/${operation}`, init);
  return { ...(JSON.parse(text) as T), http: status };
}

async function connected(...names: string[]): Promise<void> {
  for (const server of names)
    await eventually(`${server} is connected`, async () => (await call('look', { server, cmd: 'true' })).http === 200);
}

const link = (operation: 'upload' | 'download', path: string, server = 'web1', more: Fields = {}, token = hub.token) =>
  call<LinkAnswer & Fields>(operation, { server, path, ...more }, token);

const tagOf = (server: string): string => nats.keyOf(server).publicKey.slice(2, 10).toLowerCase();
const rssOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Approves at the server what waits there, and waits for what comes of it. */
async function approve(session: string): Promise<void> {
  expect(session).toMatch(new RegExp(`^[0-9a-f-]{36}@${tagOf('web1')}$`));
  const places = { AGENT3_APPROVALS_DIR: APPROVALS, AGENT3_SESSIONS_DIR: web1.sessionsDir };
  const id = session.slice(0, 36);
  const digest = /digest ([0-9a-f]{64})/.exec((await agent3(['approval', 'show', id], places)).stdout)?.[1] ?? '';
  expect((await agent3(['approval', 'approve', id, '--digest', digest], places)).code).toBe(0);
  expect(await call('read_session', { session, wait: 20 })).toMatchObject({ exit_code: 0 });
}

describe('download from a server', () => {
  test('is a link of the hub with the tag of the server, which reads the file once', async () => {
    const bytes = random(3 * MIB + 17);
    const path = fileOf(bytes);
    const { url, ...answer } = await link('download', path);
    expect(answer).toMatchObject({ http: 200, server: 'web1', bytes: bytes.length, sha256: hexOf(bytes) });
    expect(url).toMatch(new RegExp(`^${hub.url}/transfer/[\\w-]{43}@${tagOf('web1')}$`));
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-disposition')).toEndWith(path.split('/').at(-1) ?? '');
    expect(hexOf(await response.bytes())).toBe(hexOf(bytes));
    expect((await fetch(url)).status).toBe(404);
    const after = await fetch(url, { method: 'HEAD' });
    expect([after.status, after.headers.get('repr-digest')]).toEqual([410, digestOf(bytes)]);
    const passed = await eventually('it is on record', () =>
      linesOf(WEB_AUDIT).find((line) => line['path'] === path && line['passed'] === true),
    );
    expect(passed).toMatchObject({
      ...{ server: `web1@${tagOf('web1')}`, token: 'hub/default', address: '127.0.0.1' },
      ...{ bytes: bytes.length, sha256: hexOf(bytes) },
    });
  });

  test('gives ranges until all bytes have passed, and is used up by neither HEAD nor a preview', async () => {
    const { url } = await link('download', fileOf('0123456789'));
    const part = async (range: string, more: Record<string, string> = {}) => {
      const response = await fetch(url, { headers: { range, ...more } });
      return [response.status, await response.text(), response.headers.get('content-range')];
    };
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
    expect((await fetch(url, { headers: { 'user-agent': 'Slackbot' } })).status).toBe(404);
    expect(await part('bytes=4-6')).toEqual([206, '456', 'bytes 4-6/10']);
    expect(await part('bytes=-3')).toEqual([206, '789', 'bytes 7-9/10']);
    expect((await part('bytes=10-'))[0]).toBe(416);
    expect(await part('bytes=0-1', { 'if-range': '"another"' })).toEqual([200, '0123456789', null]);
    expect((await fetch(url.replace('@', '%40'))).status).toBe(404);
  });

  test('of an empty file passes at once, and %40 is @', async () => {
    const { url } = await link('download', fileOf(''));
    expect(await (await fetch(url.replace('@', '%40'))).text()).toBe('');
    expect((await fetch(url)).status).toBe(404);
  });

  test('is not used up by a client that goes away', async () => {
    const bytes = random(8 * MIB);
    const { url } = await link('download', fileOf(bytes));
    for (let time = 0; time < 2; time++) {
      using gone = await RawConnection.open(hub);
      gone.send(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await gone.until(/\r\n\r\n/);
    }
    expect(hexOf(await (await fetch(url)).bytes())).toBe(hexOf(bytes));
  });

  test('waits for a person of the server where its rules ask', async () => {
    const path = newPath('private');
    writeFileSync(path, 'approved');
    const asked = await link('download', path);
    expect(asked).toMatchObject({ http: 200, server: 'web1', status: 'waiting' });
    expect(asked).not.toHaveProperty('sha256');
    for (const method of ['GET', 'HEAD']) expect((await fetch(asked.url, { method })).status).toBe(409);
    await approve(String(asked['session']));
    expect(await (await fetch(asked.url)).text()).toBe('approved');
  });

  test('waits while the server is frozen', async () => {
    const { url } = await link('download', fileOf('after the thaw'));
    expect((await agent3(['freeze', 'a test'], { AGENT3_APPROVALS_DIR: APPROVALS })).code).toBe(0);
    const frozen = await eventually('it is frozen', async () => {
      const response = await fetch(url);
      return response.status === 503 && ((await response.json()) as Fields);
    });
    expect(frozen).toMatchObject({ error: 'Frozen', message: expect.stringMatching(/^web1: .*a test/) });
    expect((await agent3(['thaw'], { AGENT3_APPROVALS_DIR: APPROVALS })).code).toBe(0);
    const text = await eventually('it is thawed', async () => {
      const response = await fetch(url);
      return response.status === 200 && (await response.text());
    });
    expect(text).toBe('after the thaw');
  });

  test('keeps to what the server allows', async () => {
    expect(await link('download', '/etc')).toMatchObject({
      http: 400,
      message: expect.stringMatching(/^web1: .*directory/),
    });
    expect((await link('download', '/nothing/there')).http).toBe(400);
    expect((await link('download', fileOf('x'), 'web3')).http).toBe(400);
    const large = newPath();
    expect(Bun.spawnSync(['truncate', `--size=${256 * MIB + 1}`, large]).exitCode).toBe(0);
    expect((await link('download', large)).http).toBe(413);
    rmSync(large);
  });
});

describe('upload to a server', () => {
  test('is a link of the hub that writes the file, whole and once', async () => {
    const bytes = random(5 * MIB + 3);
    const path = newPath();
    const { url, ...answer } = await link('upload', path, 'web1', { mode: '750' });
    expect(answer).toMatchObject({ http: 200, server: 'web1', max_bytes: 256 * MIB });
    const sent = await put(url, bytes);
    expect(sent).toMatchObject({
      status: 201,
      body: { server: 'web1', path, bytes: bytes.length, sha256: hexOf(bytes) },
    });
    expect(sent.headers.get('repr-digest')).toBe(digestOf(bytes));
    expect([hexOf(readFileSync(path)), statSync(path).mode & 0o7777]).toEqual([hexOf(bytes), 0o750]);
    expect((await put(url, 'again')).status).toBe(404);
    const empty = newPath();
    expect((await put((await link('upload', empty)).url, '')).status).toBe(201);
    expect(statSync(empty).size).toBe(0);
  });

  test('continues where a connection broke', async () => {
    const bytes = random(6 * MIB);
    const path = newPath();
    const { url } = await link('upload', path);
    using broken = await RawConnection.open(hub);
    broken.send(`PUT ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes.length}\r\n\r\n`);
    broken.socket.write(bytes.subarray(0, 3 * MIB + 5));
    const received = async (): Promise<number> =>
      Number((await fetch(url, { method: 'HEAD' })).headers.get('upload-offset'));
    await eventually('some bytes are there', async () => (await received()) >= 2 * MIB);
    expect((await put(url, 'x')).status).toBe(409);
    broken.socket.destroy();
    const rest = await eventually('the rest is taken', async () => {
      const at = await received();
      const range = `bytes ${at}-${bytes.length - 1}/${bytes.length}`;
      const reply = await put(url, bytes.subarray(at), { 'content-range': range });
      return reply.status === 409 ? undefined : reply;
    });
    expect(rest).toMatchObject({ status: 201, body: { bytes: bytes.length, sha256: hexOf(bytes) } });
    expect(hexOf(readFileSync(path))).toBe(hexOf(bytes));
  });

  test('refuses more than the server takes, said or not, and parts that are not the next', async () => {
    const path = newPath();
    const { url } = await link('upload', path);
    expect((await put(url, 'x', { 'content-range': `bytes 0-0/${257 * MIB}` })).status).toBe(413);
    expect((await put(url, 'half of', { 'content-range': 'bytes 0-6/12' })).body).toMatchObject({ received: 7 });
    expect((await put(url, 'x', { 'content-range': 'bytes 3-3/12' })).status).toBe(409);
    expect((await put(url, 'all of it')).body).toMatchObject({ bytes: 9, sha256: hexOf('all of it') });
    expect(readFileSync(path, 'utf8')).toBe('all of it');
    expect((await link('upload', newPath('denied'))).http).toBe(403);
  });

  test('waits for a person of the server where its rules ask, and the session is named by its server', async () => {
    const path = newPath('asked');
    const { url } = await link('upload', path);
    const sent = await put(url, 'asked for');
    expect(sent).toMatchObject({
      status: 202,
      body: { server: 'web1', status: 'waiting', sha256: hexOf('asked for') },
    });
    await approve(String(sent.body['session']));
    expect(readFileSync(path, 'utf8')).toBe('asked for');
  });
});

describe('a link through the hub', () => {
  test('is of its own server, its own secret, and of no other door', async () => {
    const { url } = await link('download', fileOf('mine'));
    const secret = /transfer\/([\w-]{43})@/.exec(url)?.[1] ?? '';
    for (const wrong of [
      secret,
      `${secret}@${tagOf('web2')}`,
      `${secret}@aaaaaaaa`,
      `${'a'.repeat(43)}@${tagOf('web1')}`,
    ])
      expect((await fetch(`${hub.url}/transfer/${wrong}`)).status).toBe(404);
    // The server itself opens it to nobody else.
    expect((await fetch(`${web1.url}/transfer/${secret}`)).status).toBe(404);
    const init = {
      method: 'POST',
      headers: { 'x-auth-token': web1.token },
      body: JSON.stringify({ path: fileOf('x') }),
    };
    const own = (await (await fetch(`${web1.url}/download`, init)).json()) as LinkAnswer;
    expect((await fetch(`${hub.url}/transfer/${own.url.split('/').at(-1)}@${tagOf('web1')}`)).status).toBe(404);
    expect((await fetch(url, { method: 'PUT', body: 'x' })).status).toBe(405);
    expect(await (await fetch(url)).text()).toBe('mine');
    await eventually('a line of the log', () => hub.logs.some(({ path }) => String(path).includes('transfer')));
    for (const { logs } of [hub, web1]) expect(JSON.stringify(logs)).not.toContain(secret);
    expect(readFileSync(WEB_AUDIT, 'utf8')).not.toContain(secret);
  });

  test('ends with the token that it was made for, and no other link does', async () => {
    const env = { AGENT3_TOKENS_FILE: TOKENS };
    const token = (await agent3(['token', 'create', 'links', '--profile', 'full'], env)).stdout.trim();
    await eventually('it is known', async () => (await call('list_servers', {}, token)).http === 200);
    const path = newPath();
    const ended = await link('upload', path, 'web1', {}, token);
    const other = await link('download', fileOf('stays'));
    expect((await put(ended.url, 'part', { 'content-range': 'bytes 0-3/10' })).status).toBe(202);
    expect((await agent3(['token', 'revoke', 'links'], env)).code).toBe(0);
    await eventually('it has ended', async () => (await put(ended.url, 'x')).status === 404);
    await eventually('nothing is left at the server', () =>
      readdirSync(files.path).every((name) => !name.startsWith('.agent3-')),
    );
    expect(await (await fetch(other.url)).text()).toBe('stays');
  });

  test('for a token that only reads writes nothing', async () => {
    const env = { AGENT3_TOKENS_FILE: TOKENS };
    const token = (await agent3(['token', 'create', 'reads', '--profile', 'readonly'], env)).stdout.trim();
    await eventually('it is known', async () => (await call('list_servers', {}, token)).http === 200);
    expect((await link('upload', newPath(), 'web2', {}, token)).http).toBeGreaterThanOrEqual(400);
    const { url } = await link('download', '/usr/lib/os-release', 'web2', {}, token);
    expect(await (await fetch(url)).text()).toBe(readFileSync('/usr/lib/os-release', 'utf8'));
  });

  test(`of 200 MB takes no memory of the hub, in either direction`, async () => {
    const path = newPath();
    const back = newPath();
    const bytes = Buffer.concat(Array(200).fill(Buffer.from(random(1_000_000))));
    writeFileSync(path, bytes);
    const sha256 = hexOf(bytes);
    // The first megabytes bring what stays: code, and the buffers of connections.
    const warm = await link('download', fileOf(random(20 * MIB)));
    await (await fetch(warm.url)).bytes();
    const before = rssOf(hub.pid);
    let most = before;
    const timer = setInterval(() => (most = Math.max(most, rssOf(hub.pid))), 20);
    const { url } = await link('download', path);
    const hash = new Bun.CryptoHasher('sha256');
    for await (const piece of (await fetch(url)).body ?? []) hash.update(piece);
    expect(hash.digest('hex')).toBe(sha256);
    const up = await link('upload', back);
    const sent = await put(up.url, Bun.file(path).stream());
    clearInterval(timer);
    expect(sent).toMatchObject({ status: 201, body: { bytes: bytes.length, sha256 } });
    expect(most - before).toBeLessThan(32);
    for (const one of [path, back]) rmSync(one);
  }, 120_000);
});

describe('a server that goes away in the middle', () => {
  test('breaks a download off; the rest comes by the same link when the network is back', async () => {
    const bytes = random(40 * MIB);
    const { url } = await link('download', fileOf(bytes), 'web2');
    using slow = await RawConnection.open(hub);
    slow.send(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await slow.until(/\r\n\r\n/);
    slow.socket.pause();
    web2.signal('SIGSTOP');
    slow.socket.resume();
    await within('the end of the connection', slow.closed, 40_000);
    expect(slow.received.endsWith('0\r\n\r\n')).toBe(false);
    expect((await fetch(url)).status).toBeGreaterThanOrEqual(503);
    web2.signal('SIGCONT');
    await connected('web2');
    const rest = await eventually('the rest', async () => {
      const response = await fetch(url, { headers: { range: 'bytes=1000-' } });
      return response.status === 206 ? await response.bytes() : undefined;
    });
    expect(hexOf(rest)).toBe(hexOf(bytes.subarray(1000)));
  }, 120_000);

  test('refuses an upload, which leaves nothing there after its restart', async () => {
    const place = files.join('gone');
    mkdirSync(place);
    const { url } = await link('upload', `${place}/file`, 'web2');
    const bytes = random(2 * MIB);
    let sent = 0;
    const killed = Promise.withResolvers<void>();
    const body = new ReadableStream({
      pull: async (controller) => {
        if (sent === 8) {
          await web2.kill9();
          killed.resolve();
        }
        controller.enqueue(bytes);
        if (++sent === 20) controller.close();
      },
    });
    const answer = await within('the answer', put(url, body), 40_000);
    await killed.promise;
    expect(answer.status).toBeOneOf([503, 504]);
    expect((await fetch(url)).status).toBe(503);
    await web2.restart();
    await connected('web2');
    expect((await put(url, 'x')).status).toBe(404);
    expect(readdirSync(place).filter((name) => name === 'file')).toEqual([]);
  }, 120_000);

  test('and is removed from the fleet takes its links with it', async () => {
    const { url } = await link('download', fileOf(random(MIB)), 'web2');
    nats.remove('web2');
    nats.reload();
    await eventually('it is gone', async () => (await fetch(url)).status === 404);
  });
});
