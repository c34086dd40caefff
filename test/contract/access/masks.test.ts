import { afterAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';

const directory = new TemporaryDirectory();
writeFileSync(directory.join('discreet.toml'), 'extends = "full"\nmask = true\n');
const settings = { AGENT3_PROFILES_DIR: directory.path, AGENT3_PROFILE: 'discreet' };
const agent = await startAgent(settings);
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const MASKED = 'What looks like a secret is masked in this answer';
const cat = (stdin: string, more: object = {}): Promise<Answer> => agent.shell({ cmd: 'cat', stdin, ...more });
const matchesOf = async (args: object): Promise<readonly { text: string; before?: string[]; after?: string[] }[]> => {
  const answer = await agent.read({ ...args });
  return (answer as unknown as { matches: { text: string }[] }).matches;
};

const BODY = 'QUJDREVG'.repeat(8);
const pem = (lines: number): string =>
  `-----BEGIN PRIVATE KEY-----\n${`${BODY}\n`.repeat(lines)}-----END PRIVATE KEY-----\n`;

describe('a search', () => {
  test('shows nothing of a secret in or behind a line that is too long to be looked at whole', async () => {
    const long = 'x '.repeat(15_000);
    const { session } = await cat(`first\n${long}password:\n  hunter22\npassword=${'a'.repeat(3000)} ${long}\nlast\n`);
    const found = await matchesOf({ session, match: '^  hunter22', context_lines: 2 });
    expect(found).toMatchObject([{ text: '  ‹password›' }]);
    expect(found[0]?.before?.[1]).toMatch(/^(?:x ){400}/);
    expect(found[0]?.after?.[0]).toStartWith('password=‹password›');
    expect(JSON.stringify(found)).not.toContain('hunter22');
    expect(JSON.stringify(found)).not.toContain('aaaa');
  });

  test('shows no line of a key', async () => {
    const { session } = await cat(`first\n${pem(30)}last\n`);
    for (const context of [0, 2]) {
      const found = await matchesOf({ session, match: '^[A-Za-z0-9+/]{60,}', context });
      expect(found.length).toBe(30);
      expect(JSON.stringify(found)).not.toContain('QUJD');
      expect(found[9]?.text).toBe('‹private key›');
    }
    expect(await matchesOf({ session, match: '^last', context_lines: 1 })).toMatchObject([
      { text: 'last', before: ['‹private key›'] },
    ]);
  });

  test('shows no beginning of a secret where it cuts a long line', async () => {
    const token = 'ghp_0123456789abcdefghijABCDEFGHIJ012345';
    for (const before of [960, 975, 985, 996]) {
      const { session } = await cat(`${'a '.repeat(before / 2)}${before % 2 === 0 ? '' : ' '}${token} end\n`);
      const [found] = await matchesOf({ session, match: 'ghp_' });
      expect(found?.text).toMatch(/^[a ]+(?:‹[a-z ]*›?)?[a-z ]*…?$/);
    }
  });

  test('of one match with many long lines fits its answer', async () => {
    await using tight = await startAgent({ AGENT3_MAX_REPLY_CHARS: '5000' });
    const { session } = await tight.shell({ cmd: `cat`, stdin: `${'\x1b"'.repeat(500)}\n`.repeat(50) });
    const reply = await tight.call('read_session', { session, match: '.', context_lines: 20, limit: 1 });
    expect(reply.text.length).toBeLessThan(5000);
    expect(reply.body).toMatchObject({ matches: [{ line: 1 }] });
  });
});

test('a secret at a cut is found where the stream before it is not UTF-8', async () => {
  const lines = "for i in $(seq 300); do echo 'some AKIAIOSFODNN7EXAMPLE text'; done";
  const cmd = `head -c 300 /dev/zero | tr '\\0' '\\377'; ${lines}`;
  for (let max_output = 1000; max_output < 1075; max_output += 3) {
    const { stdout } = await agent.shell({ cmd, max_output });
    expect(stdout).not.toMatch(/AKIA|EXAMPLE/);
  }
});

test('an output with a note about an omission still shows no secret', async () => {
  const { stdout, omitted } = await agent.shell({
    cmd: 'cat',
    stdin: `password=hunter22\n`.repeat(100),
    max_output: 300,
  });
  const { offset, bytes } = omitted?.stdout ?? { offset: 0, bytes: 0 };
  const note = `[agent3: ${bytes} bytes omitted; read_session offset ${offset} reads them]`;
  expect(stdout).toContain(note);
  expect(stdout).not.toContain('hunter');
});

test('no part of a long key is shown, by any page', async () => {
  const { session } = await cat(`${pem(420)}all is well\n`);
  for (const encoding of ['utf8', 'base64']) {
    for (let offset = 1; offset < 420 * 65; offset += 3000) {
      const { stdout, message } = await agent.read({ session, offset, limit: 300, encoding });
      const text = encoding === 'utf8' ? stdout : Buffer.from(stdout, 'base64').toString();
      expect(text).toBe('‹private key›');
      expect(message).toContain(MASKED);
    }
  }
  expect(await agent.read({ session, offset: -12 })).toMatchObject({ stdout: 'all is well\n' });
});

test('no part of a value in quotes is shown, by any page', async () => {
  const text = 'password: "correct horse battery"\nsecret = \'battery horse\'\n<token>horse horse</token>\nend\n';
  const { session, stdout: whole } = await cat(text);
  expect(whole).toBe('password: "‹password›"\nsecret = \'‹password›\'\n<token>‹password›</token>\nend\n');
  for (const encoding of ['utf8', 'base64']) {
    for (let offset = 0; offset < text.length; offset += 3) {
      const { stdout } = await agent.read({ session, offset, limit: 7, encoding });
      const page = encoding === 'utf8' ? stdout : Buffer.from(stdout, 'base64').toString();
      expect(page).not.toMatch(/corr|ect|hor|rse|bat|tery/);
    }
  }
  expect(await matchesOf({ session, match: 'horse' })).toMatchObject([
    { text: 'password: "‹password›"' },
    { text: "secret = '‹password›'" },
    { text: '<token>‹password›</token>' },
  ]);
});

test('a stream says at its end that something was masked in it', async () => {
  const eventsOf = async (stdin: string): Promise<string> => {
    const { session } = await cat(stdin);
    const headers = { 'x-auth-token': agent.token };
    return (await fetch(`${agent.url}/sessions/${session}/stream`, { headers })).text();
  };
  const events = await eventsOf('password=hunter22\n');
  expect(events).toContain('password=‹password›');
  expect(events.slice(events.indexOf('event: end'))).toContain(MASKED);
  expect(await eventsOf('nothing\n')).not.toContain('masked');
});

describe('a secret that is written piece by piece', () => {
  const TOKEN = 'ghp_0123456789abcdefghijABCDEFGHIJ012345';
  /** Waits without a process of its own: on a busy machine, `sleep` begins late, and the word seems to be over. */
  const slowly = `exec 3<> <(:); for part in ghp_0123456789abc defghijABC DEFGHIJ012345; do printf %s "$part"; read -rt 0.4 -u 3; done`;
  const start = async (cmd: string): Promise<string> => (await agent.shell({ cmd, background: true })).session;

  test.concurrent.each([
    ['and a line break', `${slowly}; echo; sleep 0.3`],
    ['at the end', slowly],
    ['behind other words', `printf 'x y '; ${slowly}; echo; echo z`],
  ])('is masked in a stream: %s', async (_, cmd) => {
    const session = await start(cmd);
    const headers = { 'x-auth-token': agent.token };
    const events = await (await fetch(`${agent.url}/sessions/${session}/stream`, { headers })).text();
    expect(events).toContain('‹github token›');
    expect(events).not.toContain('ghp_0');
  });

  test.concurrent('is masked in a read that waits', async () => {
    const session = await start(`${slowly}; echo; sleep 5`);
    const { stdout, next_offset } = await agent.read({ session, wait: 10, until: 'output' });
    expect(stdout.trimEnd()).toBe('‹github token›');
    expect(next_offset).toBeGreaterThanOrEqual(TOKEN.length);
  });

  test.concurrent('a word that nothing follows is shown after a moment, also a question', async () => {
    const session = await start('printf name; sleep 20');
    const before = performance.now();
    expect((await agent.read({ session, wait: 10, until: 'output' })).stdout).toBe('name');
    expect(performance.now() - before).toBeLessThan(5000);
    const response = await fetch(`${agent.url}/sessions/${session}/stream`, {
      headers: { 'x-auth-token': agent.token },
    });
    for await (const chunk of response.body ?? []) if (Buffer.from(chunk).toString().includes('name')) break;
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});

describe('an answer stays within its limit, whatever is masked in it, with', () => {
  const line = fc.constantFrom(
    'pwd=abc',
    'pwd=abc pwd=abc pwd=abc ',
    'token: xyz',
    'password=hünter22',
    'x://a:bcd@e',
    'AKIAIOSFODNN7EXAMPLE',
    '"',
    '\x1b[1mred',
    '\r',
    '-----BEGIN PRIVATE KEY-----',
    '-----END PRIVATE KEY-----',
    'é😀',
    'plain text',
  );
  const content = fc.record({ lines: fc.array(line, { minLength: 1, maxLength: 8 }), count: fc.nat(20_000) });
  const keep = fc.constantFrom('both', 'head', 'tail');

  /** Every way to read: how many characters the longest answer has. */
  const longestOf = async (own: Agent, mcp: McpClient, args: { stdin: string; cmd: string; keep: string }) => {
    const first = await own.call('shell', args);
    const { session } = first.body;
    const reads = [
      { session },
      { session, plain: true, offset: -9000 },
      { session, encoding: 'base64', offset: 5 },
      { session, stream: 'stderr', offset: 7 },
      { session, match: '.' },
      { session, match: 'pwd|token', context_lines: 5 },
    ];
    const replies = [first, ...(await Promise.all(reads.map((read) => own.call('read_session', read))))];
    const results = [
      await mcp.call('shell', args),
      ...(await Promise.all(reads.map((read) => mcp.call('read_session', read)))),
    ];
    for (const { status, text } of replies)
      expect({ status, text: status === 200 ? '' : text }).toEqual({ status: 200, text: '' });
    return Math.max(...replies.map(({ text }) => text.length), ...results.map(({ chars }) => chars));
  };

  test.each([5000, 12_000, 30_000, 100_000])(
    'at most %i characters',
    async (limit) => {
      await using own = await startAgent({ ...settings, AGENT3_MAX_REPLY_CHARS: String(limit) });
      await using mcp = await McpClient.overHttp(own);
      await fc.assert(
        fc.asyncProperty(content, keep, async ({ lines, count }, part) => {
          const text = `${lines.join('\n')}\n`;
          const stdin = text.repeat(Math.ceil(count / text.length)).slice(0, 130_000);
          const longest = await longestOf(own, mcp, { cmd: 'tee /dev/fd/3 3>&2', stdin, keep: part });
          expect(longest).toBeLessThan(limit);
        }),
        { numRuns: 12 },
      );
    },
    60_000,
  );
});
