import { afterAll, describe, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { byteLength, readBytes, readPages } from '../../helpers/streams.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_REPLY_SECONDS: '2' });
const directory = new TemporaryDirectory();
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Runs a command whose output is exactly `bytes`; returns its session. */
async function sessionOf(bytes: Uint8Array | string): Promise<string> {
  const file = directory.join(crypto.randomUUID());
  writeFileSync(file, bytes);
  return (await agent.shell({ cmd: 'cat "$FILE"', env: { FILE: file } })).session;
}

const FIVE_MB = 5_000_000;

/** Text with letters of every length, so that page borders fall into the middle of some. */
function mixedText(bytes: number): string {
  const words = ['plain words, ', 'été ', '漢字', '😀👩‍👩‍👧', '"quoted"\\', '\x1b[31m', '\n', '\ufeff', '\0'];
  const pieces: string[] = [];
  for (let size = 0; size < bytes; size += byteLength(pieces.at(-1) ?? '')) {
    pieces.push((words[randomBytes(1).readUInt8() % words.length] ?? '').repeat(1 + (randomBytes(1).readUInt8() % 9)));
  }
  return pieces.join('');
}

describe('page after page by next_offset returns the stream', () => {
  test.concurrent('of 5 MB of random bytes, as base64, byte for byte', async () => {
    const whole = randomBytes(FIVE_MB);
    expect((await readBytes(agent, await sessionOf(whole))).equals(whole)).toBe(true);
  });

  test.concurrent('of 5 MB of text in every kind of letter, as utf8', async () => {
    const whole = mixedText(FIVE_MB);
    const pages = await readPages(agent, { session: await sessionOf(whole) });
    expect(pages.map((page) => page.stdout).join('') === whole).toBe(true);
  });

  test.concurrent('of random bytes, as utf8, as decoding them at once would', async () => {
    const whole = randomBytes(1_000_000);
    const pages = await readPages(agent, { session: await sessionOf(whole) });
    expect(pages.map((page) => page.stdout).join('') === whole.toString('utf8')).toBe(true);
  });

  test.concurrent.each([1, 2, 3, 4, 5, 7])('of letters of every length, %p bytes a page', async (limit) => {
    const whole = 'aé語😀é語😀a';
    const session = await sessionOf(whole);
    const pages = await readPages(agent, { session, limit });
    expect(pages.map((page) => page.stdout).join('')).toBe(whole);
    for (const page of pages) expect(byteLength(page.stdout)).toBeLessThanOrEqual(Math.max(limit, 4));
  });

  test.concurrent.each([1, 2, 3, 5])('as base64, exactly %p bytes a page', async (limit) => {
    const whole = randomBytes(20);
    const pages = await readPages(agent, { session: await sessionOf(whole), limit, encoding: 'base64' });
    const pieces = pages.map((page) => Buffer.from(page.stdout, 'base64'));
    expect(Buffer.concat(pieces).equals(whole)).toBe(true);
    expect(pieces.slice(0, -1).every((piece) => piece.length === limit)).toBe(true);
  });

  test.concurrent('also beyond 4 GiB', async () => {
    const limits = { AGENT3_MAX_SESSION_BYTES: String(2 ** 40), AGENT3_MAX_SESSIONS_BYTES: String(2 ** 40) };
    await using large = await startAgent(limits);
    const size = 5 * 2 ** 30;
    const { session, stdout_bytes: bytes } = await large.shell({
      cmd: `truncate -s ${size} /proc/self/fd/1; printf end`,
    });
    expect(bytes).toBe(size + 3);
    expect(await large.read({ session, offset: size, limit: 2 })).toMatchObject({
      stdout: 'en',
      next_offset: size + 2,
    });
    expect(await large.read({ session, offset: -3 })).toMatchObject({
      stdout: 'end',
      next_offset: size + 3,
      eof: true,
    });
  });

  test.concurrent('of stderr', async () => {
    const { session } = await agent.shell({ cmd: 'seq 100000 >&2' });
    const lines = (await readBytes(agent, session, 'stderr')).toString().split('\n');
    expect([lines.length, lines[0], lines[99_999]]).toEqual([100_001, '1', '100000']);
  });
});

describe('every page has a JSON text under 100,000 characters', () => {
  const hardest: [string, Buffer][] = [
    ['ESC', Buffer.alloc(400_000, 0x1b)],
    ['quotes', Buffer.alloc(400_000, '"')],
    ['invalid UTF-8', Buffer.alloc(400_000, 0xff)],
    ['emoji', Buffer.alloc(400_000, '😀')],
    ['letters', Buffer.alloc(400_000, 'a')],
  ];
  test.concurrent.each(hardest)('of %s', async (_, whole) => {
    const session = await sessionOf(whole);
    const sizes: number[] = [];
    const texts: string[] = [];
    for (let offset = 0, eof = false; !eof; ) {
      const { text, body } = await agent.call('read_session', { session, offset, limit: 10_000_000 });
      sizes.push(text.length);
      texts.push(body.stdout);
      [offset, eof] = [body.next_offset, body.eof];
    }
    expect(Math.max(...sizes)).toBeLessThan(100_000);
    expect(texts.join('') === whole.toString()).toBe(true);
    expect(sizes.length).toBeLessThan(30);
  });
});

describe('while the command runs', () => {
  test.concurrent('a letter half written is held back until it is whole', async () => {
    using trigger = new Trigger();
    const cmd = String.raw`printf 'a\xf0\x9f'; ${trigger.arrive}; ${trigger.wait}; printf '\x98\x80b'`;
    const { session, status, stdout } = await agent.shell({ cmd });
    expect({ status, stdout }).toEqual({ status: 'running', stdout: 'a' });
    const first = await agent.read({ session });
    expect(first).toMatchObject({ stdout: 'a', next_offset: 1, eof: false });
    trigger.open();
    const second = await eventually('the command ends', async () => {
      const answer = await agent.read({ session, offset: first.next_offset, wait: 2 });
      return answer.eof && answer;
    });
    expect(second).toMatchObject({ stdout: '😀b', next_offset: 6, status: 'done' });
  });

  test.concurrent('what is there can be read, without eof', async () => {
    using trigger = new Trigger();
    const { session } = await agent.shell({ cmd: `printf 01234; ${trigger.wait}` });
    expect(await agent.read({ session, limit: 3 })).toMatchObject({ stdout: '012', next_offset: 3, eof: false });
    expect(await agent.read({ session, offset: 3 })).toMatchObject({ stdout: '34', next_offset: 5, eof: false });
    expect(await agent.read({ session, offset: -2 })).toMatchObject({ stdout: '34', next_offset: 5, eof: false });
    trigger.open();
  });

  test.concurrent('a letter half written at the end of the command comes as U+FFFD', async () => {
    const session = await sessionOf(Buffer.from([0x61, 0xf0, 0x9f]));
    const pages = await readPages(agent, { session });
    expect(pages.map((page) => page.stdout).join('')).toBe('a\ufffd');
  });
});
