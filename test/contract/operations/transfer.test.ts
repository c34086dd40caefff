import { afterAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { digestOf, hexOf, linkFor, put } from '../../helpers/links.ts';
import { linesOf } from '../../helpers/record.ts';
import { RawConnection } from '../../helpers/sockets.ts';
import { eventually } from '../../helpers/waiting.ts';

const MIB = 1_048_576;
const files = new TemporaryDirectory();
const audit = files.join('audit.jsonl');
const agent = await startAgent({ AGENT3_AUDIT_FILE: audit, AGENT3_MAX_TRANSFER_BYTES: String(64 * MIB) });
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  files[Symbol.dispose]();
});

let made = 0;
/** A path of its own for each test. */
const newPath = (): string => files.join(`file-${++made}`);
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
const secretOf = (url: string): string => url.split('/').at(-1) ?? '';

describe('download', () => {
  test('gives a link that reads the file once, with its hash', async () => {
    const bytes = random(3 * MIB + 17);
    const path = fileOf(bytes);
    const { url, ...link } = await linkFor(agent, 'download', { path });
    expect(link).toMatchObject({ status: 200, bytes: bytes.length, sha256: hexOf(bytes), expires_seconds: 600 });
    expect(url).toMatch(new RegExp(`^${agent.url}/transfer/[\\w-]{43}$`));
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename*=UTF-8''${path.split('/').at(-1)}`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': 'sandbox',
      'cache-control': 'no-store',
    });
    expect(hexOf(await response.bytes())).toBe(hexOf(bytes));
    const again = await fetch(url);
    expect({ status: again.status, body: await again.json() }).toMatchObject({
      status: 404,
      body: { error: 'Not found' },
    });
    const after = await fetch(url, { method: 'HEAD' });
    expect([after.status, after.headers.get('repr-digest')]).toEqual([410, digestOf(bytes)]);
  });

  test('reads the file that was there when the link was made', async () => {
    const path = fileOf('first');
    const { url } = await linkFor(agent, 'download', { path });
    writeFileSync(`${path}.new`, 'second');
    const { exitCode } = Bun.spawnSync(['mv', `${path}.new`, path]);
    expect(exitCode).toBe(0);
    expect(await (await fetch(url)).text()).toBe('first');
  });

  test('gives ranges until all bytes have passed', async () => {
    const { url } = await linkFor(agent, 'download', { path: fileOf('0123456789') });
    const part = async (range: string, more: Record<string, string> = {}) => {
      const response = await fetch(url, { headers: { range, ...more } });
      return [response.status, await response.text(), response.headers.get('content-range')];
    };
    expect(await part('bytes=4-6')).toEqual([206, '456', 'bytes 4-6/10']);
    expect(await part('bytes=4-6')).toEqual([206, '456', 'bytes 4-6/10']);
    expect(await part('bytes=-3')).toEqual([206, '789', 'bytes 7-9/10']);
    expect((await part('bytes=10-'))[0]).toBe(416);
    expect((await part('bytes=6-4'))[0]).toBe(416);
    expect(await part('bytes=0-1', { 'if-range': '"another"' })).toEqual([200, '0123456789', null]);
    expect((await fetch(url)).status).toBe(404);
  });

  test('takes several ranges at once for all of the file: no answer is larger than it', async () => {
    const { url } = await linkFor(agent, 'download', { path: fileOf('0123456789') });
    const response = await fetch(url, { headers: { range: `bytes=${'0-,'.repeat(1000)}0-` } });
    expect([response.status, await response.text()]).toEqual([200, '0123456789']);
  });

  test('an empty file passes at once', async () => {
    const { url, bytes } = await linkFor(agent, 'download', { path: fileOf('') });
    expect([bytes, await (await fetch(url)).text(), (await fetch(url)).status]).toEqual([0, '', 404]);
  });

  test('is not used up by HEAD, by the preview of a chat, or by a client that goes away', async () => {
    const bytes = random(8 * MIB);
    const { url } = await linkFor(agent, 'download', { path: fileOf(bytes) });
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(bytes.length)]);
    for (const agentName of [
      'Slackbot-LinkExpanding 1.0',
      'TelegramBot (like TwitterBot)',
      'WhatsApp/2.23',
      'facebookexternalhit/1.1',
      'Iframely/1.3.1 (+https://iframely.com/docs/about)',
      'Mattermost-LinkExpander',
      'LinkedInApp',
      'Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)',
      'YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html',
      'Outlook/16 safelinks',
      'kakaotalk-scrap/1.0',
      'Slack-ImgProxy (+https://api.slack.com/robots)',
      'meta-externalfetcher/1.1',
      'Anything/1.0 (+https://example.org/about)',
    ]) {
      const preview = await fetch(url, { headers: { 'user-agent': agentName } });
      expect(preview.status).toBe(404);
    }
    for (let time = 0; time < 3; time++) {
      using gone = await RawConnection.open(agent);
      gone.send(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await gone.until(/\r\n\r\n/);
    }
    expect(hexOf(await (await fetch(url)).bytes())).toBe(hexOf(bytes));
  });

  test.each([
    'curl/8.14.1',
    'Wget/1.25.0',
    'python-requests/2.32.3',
    'Go-http-client/2.0',
    'got (https://github.com/sindresorhus/got)',
    'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
  ])('is given to %s', async (agentName) => {
    const { url } = await linkFor(agent, 'download', { path: fileOf('for clients') });
    expect(await (await fetch(url, { headers: { 'user-agent': agentName } })).text()).toBe('for clients');
  });

  test('a small file that a client looks at and leaves is not used up either', async () => {
    const { url } = await linkFor(agent, 'download', { path: fileOf('a few bytes') });
    using gone = await RawConnection.open(agent);
    gone.send(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await gone.until(/a few/);
    gone.socket.destroy();
    await eventually('its line of the log', () =>
      agent.logs.some(({ path, bytes }) => path === '/transfer/…' && bytes === 10),
    );
    expect(await (await fetch(url)).text()).toBe('a few bytes');
  });

  test('a file that becomes shorter on its way does not pass for a whole one', async () => {
    const path = fileOf(random(32 * MIB));
    const { url } = await linkFor(agent, 'download', { path });
    using slow = await RawConnection.open(agent);
    slow.send(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await slow.until(/\r\n\r\n/);
    slow.socket.pause();
    writeFileSync(path, 'short', { flag: 'r+' });
    Bun.spawnSync(['truncate', '--size=5', path]);
    slow.socket.resume();
    await slow.closed;
    expect(slow.received.endsWith('0\r\n\r\n')).toBe(false);
  });

  test.each([
    ['that is relative', 'etc/hostname', /absolute/],
    ['that does not exist', '/nothing/there', /does not exist|no such/i],
    ['of a directory', '/etc', /directory/],
    ['of a device', '/dev/null', /not a regular file|device/],
    ['of a file of the kernel', '/proc/meminfo', /kernel/],
  ])('refuses a path %s', async (_what, path, message) => {
    const refused = await linkFor(agent, 'download', { path });
    expect(refused.status).toBeOneOf([400, 404]);
    expect(refused.message).toMatch(message);
  });

  test('follows no link at the end, and waits for no pipe', async () => {
    const link = newPath();
    symlinkSync('/etc/shadow', link);
    expect((await linkFor(agent, 'download', { path: link })).message).toMatch(/symbolic link/);
    const pipe = newPath();
    expect(Bun.spawnSync(['mkfifo', pipe]).exitCode).toBe(0);
    expect((await linkFor(agent, 'download', { path: pipe })).message).toMatch(/not a regular file|pipe/);
  });

  test('refuses a file that is larger than AGENT3_MAX_TRANSFER_BYTES', async () => {
    const path = newPath();
    expect(Bun.spawnSync(['truncate', `--size=${64 * MIB + 1}`, path]).exitCode).toBe(0);
    expect(await linkFor(agent, 'download', { path })).toMatchObject({ status: 413, error: 'Request too large' });
  });
});

describe('upload', () => {
  test('gives a link that writes a file, whole and once', async () => {
    const bytes = random(5 * MIB + 3);
    const path = newPath();
    const { url, ...link } = await linkFor(agent, 'upload', { path, mode: '750' });
    expect(link).toMatchObject({ status: 200, max_bytes: 64 * MIB });
    const sent = await put(url, bytes);
    expect(sent).toMatchObject({ status: 201, body: { path, bytes: bytes.length, sha256: hexOf(bytes) } });
    expect(sent.headers.get('repr-digest')).toBe(digestOf(bytes));
    expect([hexOf(readFileSync(path)), statSync(path).mode & 0o7777]).toEqual([hexOf(bytes), 0o750]);
    expect((await put(url, 'again')).status).toBe(404);
  });

  test('keeps mode and owner of what it replaces', async () => {
    const path = fileOf('before');
    chmodSync(path, 0o604);
    const { url } = await linkFor(agent, 'upload', { path });
    expect(readFileSync(path, 'utf8')).toBe('before');
    expect((await put(url, 'after')).status).toBe(201);
    expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o7777]).toEqual(['after', 0o604]);
  });

  test('goes on where a connection broke', async () => {
    const bytes = random(6 * MIB);
    const path = newPath();
    const { url } = await linkFor(agent, 'upload', { path });
    using broken = await RawConnection.open(agent);
    broken.send(`PUT ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes.length}\r\n\r\n`);
    broken.socket.write(bytes.subarray(0, 3 * MIB + 5));
    const offset = await eventually('some bytes on the disk', async () => {
      const at = Number((await fetch(url, { method: 'HEAD' })).headers.get('upload-offset'));
      return at >= 3 * MIB ? at : undefined;
    });
    expect((await put(url, 'x')).status).toBe(409);
    broken.socket.destroy();
    const rest = await eventually('the rest is taken', async () => {
      const at = Number((await fetch(url, { method: 'HEAD' })).headers.get('upload-offset'));
      const range = `bytes ${at}-${bytes.length - 1}/${bytes.length}`;
      const reply = await put(url, bytes.subarray(at), { 'content-range': range });
      return reply.status === 409 ? undefined : reply;
    });
    expect(offset).toBeGreaterThan(0);
    expect(rest).toMatchObject({ status: 201, body: { bytes: bytes.length, sha256: hexOf(bytes) } });
    expect(hexOf(readFileSync(path))).toBe(hexOf(bytes));
  });

  test('begins again with a body that begins at 0, also after a part', async () => {
    const path = newPath();
    const { url } = await linkFor(agent, 'upload', { path });
    const part = await put(url, 'half of', { 'content-range': 'bytes 0-6/12' });
    expect(part).toMatchObject({ status: 202, body: { received: 7, bytes: 12 } });
    expect((await put(url, 'x', { 'content-range': 'bytes 3-3/12' })).status).toBe(409);
    expect((await put(url, 'all of it')).body).toMatchObject({ bytes: 9, sha256: hexOf('all of it') });
    expect(readFileSync(path, 'utf8')).toBe('all of it');
  });

  test('of a body that is not whole leaves the old file', async () => {
    const path = fileOf('before');
    const { url } = await linkFor(agent, 'upload', { path });
    using broken = await RawConnection.open(agent);
    broken.send(
      `PUT ${new URL(url).pathname} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
    );
    await eventually(
      'it is on its way',
      async () => (await put(url, 'y', { 'content-range': 'bytes 1-1/9' })).status === 409,
    );
    broken.socket.destroy();
    await eventually('it is given up', () =>
      agent.logs.some(({ method, path: of, status }) => method === 'PUT' && of === '/transfer/…' && status === 400),
    );
    expect(readFileSync(path, 'utf8')).toBe('before');
  });

  test('refuses more than AGENT3_MAX_TRANSFER_BYTES, said or not', async () => {
    const path = newPath();
    const { url } = await linkFor(agent, 'upload', { path });
    const large = new Uint8Array(MIB);
    expect((await put(url, 'x', { 'content-range': `bytes 0-0/${65 * MIB}` })).status).toBe(413);
    let left = 65;
    const endless = new ReadableStream({
      pull: (controller) => (left-- > 0 ? controller.enqueue(large) : controller.close()),
    });
    expect((await put(url, endless)).status).toBe(413);
    expect((await fetch(url, { method: 'HEAD' })).headers.get('upload-offset')).toBe('0');
    expect((await put(url, 'small enough')).status).toBe(201);
    expect(readFileSync(path, 'utf8')).toBe('small enough');
  });

  test.each(['bytes 5-2/10', 'bytes 0-10/10', 'bytes 0-1/*', 'lines 0-1/2', 'bytes=0-1'])(
    'refuses Content-Range: %s',
    async (range) => {
      const { url } = await linkFor(agent, 'upload', { path: newPath() });
      expect(await put(url, 'ab', { 'content-range': range })).toMatchObject({
        status: 400,
        body: { error: 'Invalid request' },
      });
    },
  );

  test('refuses a body that is compressed, and keeps the link', async () => {
    const path = newPath();
    const { url } = await linkFor(agent, 'upload', { path });
    const refused = await put(url, Bun.gzipSync('text'), { 'content-encoding': 'gzip' });
    expect(refused).toMatchObject({ status: 415, body: { error: 'Unsupported encoding' } });
    expect(existsSync(path)).toBe(false);
    expect((await put(url, 'text', { 'content-encoding': 'identity' })).status).toBe(201);
    expect(readFileSync(path, 'utf8')).toBe('text');
  });

  test('refuses set-id bits, directories, links and what has no directory', async () => {
    for (const mode of ['4755', '2755', '1777', 'u+s'])
      expect((await linkFor(agent, 'upload', { path: newPath(), mode })).status).toBe(400);
    expect((await linkFor(agent, 'upload', { path: files.path })).message).toMatch(/directory/);
    expect((await linkFor(agent, 'upload', { path: files.join('no/such/file') })).message).toMatch(
      /directory does not exist|no such directory/i,
    );
    const link = newPath();
    symlinkSync('/etc/passwd', link);
    expect((await linkFor(agent, 'upload', { path: link })).message).toMatch(/symbolic link/);
  });

  test('a target that becomes a link or a directory meanwhile stays what it is', async () => {
    const place = files.join('meanwhile');
    mkdirSync(place);
    const path = `${place}/first`;
    const { url } = await linkFor(agent, 'upload', { path });
    mkdirSync(path);
    expect((await put(url, 'text')).status).toBe(400);
    const other = `${place}/other`;
    const second = await linkFor(agent, 'upload', { path: other });
    symlinkSync('/etc/agent3-nothing', other);
    expect((await put(second.url, 'text')).status).toBe(400);
    expect(lstatSync(other).isSymbolicLink()).toBe(true);
    expect(readdirSync(place).sort()).toEqual(['first', 'other']);
  });
});

describe('a link', () => {
  test('takes the methods of its kind alone', async () => {
    const download = await linkFor(agent, 'download', { path: fileOf('x') });
    const upload = await linkFor(agent, 'upload', { path: newPath() });
    expect((await put(download.url, 'y')).status).toBe(405);
    const get = await fetch(upload.url);
    expect([get.status, get.headers.get('allow')]).toEqual([405, 'PUT, HEAD']);
    expect((await fetch(download.url, { method: 'DELETE' })).status).toBe(405);
  });

  test('shows in no log and no record, and what has passed is on record', async () => {
    const path = fileOf('on record');
    const { url } = await linkFor(agent, 'download', { path });
    await fetch(url);
    await fetch(`${agent.url}//transfer/${secretOf(url)}`);
    await fetch(`${agent.url}/transfer%2F${secretOf(url)}`);
    const lines = await eventually('it is on record', () => {
      const all = linesOf(audit).filter((line) => line['path'] === path);
      return all.length >= 2 ? all : undefined;
    });
    expect(lines.map(({ event, op }) => [event, op])).toEqual([
      ['operation', 'download'],
      ['operation', 'download'],
    ]);
    expect(lines.at(-1)).toMatchObject({ passed: true, bytes: 9, sha256: hexOf('on record'), token: 'default' });
    await eventually(
      'the lines of the log',
      () => agent.logs.filter(({ path: of }) => String(of).includes('transfer')).length > 2,
    );
    expect(JSON.stringify(agent.logs)).not.toContain(secretOf(url));
    expect(readFileSync(audit, 'utf8')).not.toContain(secretOf(url));
  });

  test('is one of at most so many: thousands of them are refused, and the agent goes on', async () => {
    await using other = await startAgent();
    const path = fileOf('x');
    const answers = await Promise.all(Array.from({ length: 300 }, () => linkFor(other, 'download', { path })));
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(48);
    expect(refused[0]?.message).toMatch(/48 links of this token are open/);
    const [first] = answers.filter(({ status }) => status === 200);
    expect(await (await fetch(first?.url ?? '')).text()).toBe('x');
    expect((await linkFor(other, 'download', { path })).status).toBe(200);
  });

  test('ends with the agent, and leaves no file', async () => {
    using place = new TemporaryDirectory();
    await using other = await startAgent();
    const { url } = await linkFor(other, 'upload', { path: place.join('file') });
    await put(url, 'part', { 'content-range': 'bytes 0-3/10' });
    await other.restart();
    expect(readdirSync(place.path)).toEqual([]);
    expect((await put(url.replace(/^.*\/transfer/, `${other.url}/transfer`), 'x')).status).toBe(404);
  });

  test('begins with AGENT3_PUBLIC_URL where that is set', async () => {
    await using other = await startAgent({ AGENT3_PUBLIC_URL: 'https://agent.example.org' });
    const { url } = await linkFor(other, 'upload', { path: newPath() });
    expect(url).toStartWith('https://agent.example.org/transfer/');
  });
});

describe.skipIf(process.geteuid?.() !== 0 || ensurePrograms('unshare').length > 0)('a full disk', () => {
  test('is answered 503, and frees what was written', async () => {
    using place = new TemporaryDirectory();
    expect(Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', place.path]).exitCode).toBe(0);
    try {
      const { url } = await linkFor(agent, 'upload', { path: place.join('file') });
      const full = await put(url, new Uint8Array(4 * MIB));
      expect(full).toMatchObject({ status: 503, body: { message: expect.stringContaining('the disk is full') } });
      expect((await put(url, new Uint8Array(MIB))).status).toBe(201);
    } finally {
      Bun.spawnSync(['umount', '--lazy', place.path]);
    }
  });
});
