import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { byteLength, partsOf, readBytes, readGap } from '../../helpers/streams.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const OUTPUT_BYTES = 92_160;
const REPLY_CHARS = 100_000;

/** Shell words that write `bytes` bytes of one repeated text. */
const write = (text: string, bytes: number) => `yes '${text}' | tr -d '\\n' | head -c ${bytes}`;

describe('output of exactly 92,160 bytes', () => {
  test.concurrent('comes whole', async () => {
    const answer = await agent.shell({ cmd: write('a', OUTPUT_BYTES) });
    expect(answer.stdout === 'a'.repeat(OUTPUT_BYTES)).toBe(true);
    expect(answer).toMatchObject({ truncated: false, stdout_bytes: OUTPUT_BYTES });
    expect(answer).not.toHaveProperty('omitted');
    expect(answer).not.toHaveProperty('message');
  });

  test.concurrent('comes whole on stderr', async () => {
    const answer = await agent.shell({ cmd: `${write('a', OUTPUT_BYTES)} >&2` });
    expect(answer.stderr === 'a'.repeat(OUTPUT_BYTES)).toBe(true);
    expect(answer.truncated).toBe(false);
  });

  test.concurrent('comes whole from both streams together', async () => {
    const answer = await agent.shell({ cmd: `${write('a', 72_160)}; ${write('b', 20_000)} >&2` });
    expect([answer.stdout.length, answer.stderr.length, answer.truncated]).toEqual([72_160, 20_000, false]);
  });
});

describe('output of 92,161 bytes', () => {
  const cmd = `${write('a', 30_720)}; printf X; ${write('b', 61_440)}`;

  test.concurrent('has its first third and its last two thirds in the answer, with one line between them', async () => {
    const answer = await agent.shell({ cmd });
    const { head, tail, gap } = partsOf(answer.stdout);
    expect(head === 'a'.repeat(30_720)).toBe(true);
    expect(tail === 'b'.repeat(61_440)).toBe(true);
    expect(answer.stdout).toContain('\n[agent3: 1 bytes omitted; read_session offset 30720 reads them]\n');
    expect(gap).toEqual({ offset: 30_720, bytes: 1 });
    expect(answer).toMatchObject({ truncated: true, stdout_bytes: 92_161, omitted: { stdout: gap } });
    expect(answer.omitted).not.toHaveProperty('stderr');
    expect(answer.message).toContain('read_session');
  });

  test.concurrent('has nothing but the missing part at the offset it tells', async () => {
    const { session } = await agent.shell({ cmd });
    expect((await agent.read({ session, offset: 30_720, limit: 1 })).stdout).toBe('X');
  });
});

describe('with keep', () => {
  const cmd = 'seq -w 0 99999'; // 600,000 bytes
  const whole = Array.from({ length: 100_000 }, (_, n) => `${String(n).padStart(5, '0')}\n`).join('');

  test.concurrent('head the beginning comes, and the rest is omitted', async () => {
    const answer = await agent.shell({ cmd, keep: 'head' });
    const gap = answer.omitted?.stdout ?? { offset: 0, bytes: 0 };
    expect(gap.offset + gap.bytes).toBe(600_000);
    expect(gap.offset).toBeGreaterThan(80_000);
    expect(gap.offset).toBeLessThanOrEqual(OUTPUT_BYTES);
    expect(answer.stdout.startsWith(whole.slice(0, gap.offset))).toBe(true);
    expect((await readGap(agent, answer.session, gap)).toString() === whole.slice(gap.offset)).toBe(true);
  });

  test.concurrent('tail the end comes, and what is before it is omitted', async () => {
    const answer = await agent.shell({ cmd, keep: 'tail' });
    const gap = answer.omitted?.stdout ?? { offset: -1, bytes: 0 };
    expect(gap.offset).toBe(0);
    expect(600_000 - gap.bytes).toBeGreaterThan(80_000);
    expect(600_000 - gap.bytes).toBeLessThanOrEqual(OUTPUT_BYTES);
    expect(answer.stdout.endsWith(whole.slice(gap.bytes))).toBe(true);
    expect((await readGap(agent, answer.session, gap)).toString() === whole.slice(0, gap.bytes)).toBe(true);
  });

  test.concurrent('both the parts and the gap join to the whole', async () => {
    const answer = await agent.shell({ cmd, keep: 'both' });
    const { head, tail, gap } = partsOf(answer.stdout);
    const middle = await readGap(agent, answer.session, gap);
    expect(head + middle.toString() + tail === whole).toBe(true);
    expect(answer.omitted).toEqual({ stdout: gap });
  });
});

describe('max_output', () => {
  test.concurrent.each([256, 1000, 30_000])('%p is the most that comes of both streams together', async (bytes) => {
    const answer = await agent.shell({ cmd: 'seq 100000; seq 100000 >&2', max_output: bytes });
    const [out, err] = [partsOf(answer.stdout), partsOf(answer.stderr)];
    const [outBytes, errBytes] = [out, err].map(({ head, tail }) => byteLength(head) + byteLength(tail));
    expect((outBytes ?? 0) + (errBytes ?? 0)).toBeLessThanOrEqual(bytes);
    expect((outBytes ?? 0) + (errBytes ?? 0)).toBeGreaterThan(bytes - 20);
    expect(answer.truncated).toBe(true);
  });

  test.concurrent('leaves what fits it whole', async () => {
    const answer = await agent.shell({ cmd: write('a', 256), max_output: 256 });
    expect([answer.stdout.length, answer.truncated]).toEqual([256, false]);
  });
});

describe('between the streams', () => {
  // A third and two thirds of a share that three does not divide are one byte less together.
  test.concurrent('stderr gets a quarter when both are long', async () => {
    const answer = await agent.shell({ cmd: `${write('o', 200_000)}; ${write('e', 200_000)} >&2` });
    const [out, err] = [partsOf(answer.stdout), partsOf(answer.stderr)];
    expect(out.head.length + out.tail.length).toBe(69_120);
    expect(err.head.length + err.tail.length).toBe(23_040);
    expect(answer.omitted).toEqual({ stdout: out.gap, stderr: err.gap });
    expect([out.gap.bytes, err.gap.bytes]).toEqual([200_000 - 69_120, 200_000 - 23_040]);
    expect(await readGap(agent, answer.session, err.gap, 'stderr')).toHaveLength(err.gap.bytes);
  });

  test.concurrent('stdout gets all that a short stderr leaves', async () => {
    const answer = await agent.shell({ cmd: `${write('o', 200_000)}; ${write('e', 100)} >&2` });
    const { head, tail } = partsOf(answer.stdout);
    expect([head.length + tail.length, answer.stderr.length]).toEqual([OUTPUT_BYTES - 101, 100]);
  });

  test.concurrent('stderr gets all that a short stdout leaves', async () => {
    const answer = await agent.shell({ cmd: `${write('o', 100)}; ${write('e', 200_000)} >&2` });
    const { head, tail } = partsOf(answer.stderr);
    expect([answer.stdout.length, head.length + tail.length]).toEqual([100, OUTPUT_BYTES - 101]);
    expect(answer.omitted).not.toHaveProperty('stdout');
  });
});

describe('the JSON text of an answer is under 100,000 characters, and the session holds the rest, for 90 KB of', () => {
  const kinds: [string, string, Buffer][] = [
    ['quotes', String.raw`\042`, Buffer.from('"')],
    ['backslashes', String.raw`\134`, Buffer.from('\\')],
    ['ESC', String.raw`\033`, Buffer.from([0x1b])],
    ['NUL', String.raw`\000`, Buffer.from([0])],
    ['DEL', String.raw`\177`, Buffer.from([0x7f])],
    ['line breaks', String.raw`\n`, Buffer.from('\n')],
    ['invalid UTF-8', String.raw`\377`, Buffer.from([0xff])],
    ['lone continuation bytes', String.raw`\200`, Buffer.from([0x80])],
  ];
  test.concurrent.each(kinds)('%s', async (_, octal, byte) => {
    const reply = await agent.call('shell', { cmd: `head -c ${OUTPUT_BYTES} /dev/zero | tr '\\0' '${octal}'` });
    expect(reply.text.length).toBeLessThan(REPLY_CHARS);
    const { stdout, session, stdout_bytes: size } = reply.body;
    expect(size).toBe(OUTPUT_BYTES);
    const whole = Buffer.alloc(OUTPUT_BYTES, byte);
    expect((await readBytes(agent, session)).equals(whole)).toBe(true);
    if (!reply.body.truncated) return expect(stdout === whole.toString()).toBe(true);
    const { head, tail, gap } = partsOf(stdout);
    const middle = await readGap(agent, session, gap);
    expect(head + middle.toString() + tail === whole.toString()).toBe(true);
    // What the characters allow is used: an answer half empty would cost the model a second call.
    expect(reply.text.length).toBeGreaterThan(REPLY_CHARS * 0.9);
  });

  const texts: [string, string, number][] = [
    ['4-byte emoji', '😀', OUTPUT_BYTES],
    ['3-byte letters', '語', OUTPUT_BYTES],
    ['line separators U+2028', '\u2028', OUTPUT_BYTES],
    ['4-byte emoji, ten times as much', '😀', OUTPUT_BYTES * 10],
    ['letters of one, two, three and four bytes', 'aé語😀', 400_000],
    ['quotes among emoji', '"😀', 400_000],
  ];
  test.concurrent.each(texts)('%s', async (_, text, bytes) => {
    const reply = await agent.call('shell', { cmd: write(text, bytes) });
    expect(reply.text.length).toBeLessThan(REPLY_CHARS);
    const whole = text.repeat(bytes / byteLength(text));
    expect(reply.text).not.toContain('\ufffd');
    if (bytes <= OUTPUT_BYTES) return expect(reply.body.stdout === whole).toBe(true);
    const { head, tail, gap } = partsOf(reply.body.stdout);
    expect(byteLength(head) + byteLength(tail)).toBeLessThanOrEqual(OUTPUT_BYTES);
    const middle = await readGap(agent, reply.body.session, gap);
    expect(head + middle.toString() + tail === whole).toBe(true);
  });

  test.concurrent('ESC on both streams', async () => {
    const esc = `head -c 200000 /dev/zero | tr '\\0' '\\033'`;
    const reply = await agent.call('shell', { cmd: `${esc}; ${esc} >&2` });
    expect(reply.text.length).toBeLessThan(REPLY_CHARS);
    expect(reply.body.omitted).toEqual({
      stdout: partsOf(reply.body.stdout).gap,
      stderr: partsOf(reply.body.stderr).gap,
    });
  });
});

test('output is as small as AGENT3_MAX_OUTPUT_BYTES and AGENT3_MAX_REPLY_CHARS say', async () => {
  await using small = await startAgent({ AGENT3_MAX_OUTPUT_BYTES: '4096', AGENT3_MAX_REPLY_CHARS: '6000' });
  const plain = await small.shell({ cmd: write('a', 5000) });
  const { head, tail } = partsOf(plain.stdout);
  expect(head.length + tail.length).toBe(4095);
  const escaped = await small.call('shell', { cmd: `head -c 4096 /dev/zero` });
  expect(escaped.text.length).toBeLessThan(6000);
  expect((await readBytes(small, escaped.body.session)).equals(Buffer.alloc(4096))).toBe(true);
});
