import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { delay } from '../../../src/lib/clock.ts';
import { startAgent } from '../../helpers/agent.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { postText, RawConnection } from '../../helpers/sockets.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

const MAX_BODY_BYTES = 1_048_576;
const ran = '{"op":"shell","args":{"cmd":"echo ran"}}';

describe('the body is read as JSON whatever its Content-Type says', () => {
  const types = [
    'application/json',
    'application/json; charset=utf-8',
    'application/x-www-form-urlencoded',
    'text/plain',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/octet-stream',
    'nonsense',
    '',
  ];
  test.concurrent.each(types)('%p', async (type) => {
    const reply = await agent.post(ran, { 'content-type': type });
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: 'ran\n' });
  });

  test.concurrent('none at all', async () => {
    using connection = await RawConnection.open(agent);
    connection.send(postText(agent, ran));
    expect(await connection.until(/ran\\n/)).toStartWith('HTTP/1.1 200');
  });

  test.concurrent('an answer is JSON', async () => {
    expect((await agent.post(ran)).headers.get('content-type')).toStartWith('application/json');
  });
});

describe('a body with a Content-Encoding is refused, and says so', () => {
  test.concurrent.each(['gzip', 'GZIP', 'br', 'zstd', 'deflate, gzip'])('%s', async (encoding) => {
    for (const path of ['/', '/shell', '/mcp']) {
      const headers = { 'x-auth-token': agent.token, 'content-encoding': encoding };
      const reply = await agent.request(path, { method: 'POST', body: Bun.gzipSync(ran), headers });
      expectRefusal(reply, 415, 'Unsupported encoding', new RegExp(`Content-Encoding "${encoding}".*plain JSON`));
    }
  });

  test.concurrent('but identity is none', async () => {
    expect((await agent.post(ran, { 'content-encoding': 'identity' })).body.stdout).toBe('ran\n');
  });
});

describe('a body that is no JSON is refused', () => {
  const bodies: [string, string | Uint8Array<ArrayBuffer>][] = [
    ['empty', ''],
    ['white space', ' \n'],
    ['a word', 'shell'],
    ['a form', 'op=shell&cmd=id'],
    ['cut short', '{"op":"shell","args":{"cmd":"id"'],
    ['followed by more', '{"op":"shell"}{}'],
    ['single quotes', "{'op':'shell'}"],
    ['a trailing comma', '{"op":"shell",}'],
    ['a raw line break within a string', '{"op":"shell","args":{"cmd":"a\nb"}}'],
    [
      'a Latin-1 letter',
      Uint8Array.from([...Buffer.from('{"op":"shell","args":{"cmd":"echo '), 0xe9, ...Buffer.from('"}}')]),
    ],
    ['a surrogate in UTF-8', Uint8Array.from([...Buffer.from('{"op":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')])],
    ['UTF-16', Uint8Array.from(Buffer.from(ran, 'utf16le'))],
  ];
  test.concurrent.each(bodies)('%s', async (_, body) => {
    expectRefusal(await agent.post(body), 400, 'Invalid JSON');
  });
});

describe('a body that is JSON but no request is refused', () => {
  test.concurrent.each(['[]', '"shell"', '42', 'true', 'null', '[{"op":"shell","args":{"cmd":"id"}}]'])(
    '%s',
    async (body) => {
      const reply = await agent.post(body);
      expect(reply.status).toBe(400);
      expect(['Invalid JSON', 'Invalid op', 'Invalid args']).toContain(reply.body.error);
    },
  );

  const operations = [
    '{}',
    '{"op":""}',
    '{"op":"nope"}',
    '{"op":"SHELL"}',
    '{"op":null}',
    '{"op":1}',
    '{"op":["shell"]}',
  ];
  const inherited = ['{"op":"__proto__"}', '{"op":"constructor"}', '{"op":"toString"}', '{"args":{"cmd":"id"}}'];
  test.concurrent.each([...operations, ...inherited])('%s', async (body) => {
    expectRefusal(await agent.post(body), 400, 'Invalid op');
  });

  test.concurrent.each(['[]', '"id"', '5', 'true'])('args %s', async (args) => {
    expectRefusal(await agent.post(`{"op":"shell","args":${args}}`), 400, 'Invalid args', /./);
  });
});

describe('args', () => {
  test.concurrent('may be missing: shell then misses its cmd', async () => {
    expectRefusal(await agent.post('{"op":"shell"}'), 400, 'Missing cmd');
  });

  test.concurrent('may be missing: the other operations then miss their session', async () => {
    expectRefusal(await agent.post('{"op":"read_session"}'), 400, 'Invalid args', /session/);
    expectRefusal(await agent.post('{"op":"close_session"}'), 400, 'Invalid args', /session/);
  });

  test.concurrent('unknown to shell are ignored and named', async () => {
    const answer = await agent.shell({ cmd: 'echo ran', workdir: '/tmp', colour: 1 });
    expect(answer.stdout).toBe('ran\n');
    expect(answer.message).toContain('workdir');
    expect(answer.message).toContain('colour');
  });

  test.concurrent('unknown to read_session are ignored and named', async () => {
    const { session } = await agent.shell({ cmd: 'echo ran' });
    const answer = await agent.read({ session, lines: 10 });
    expect(answer.stdout).toBe('ran\n');
    expect(answer.message).toContain('lines');
  });

  test.concurrent('unknown to close_session are refused, and nothing is closed', async () => {
    const { session } = await agent.shell({ cmd: 'echo ran' });
    expectRefusal(await agent.call('close_session', { session, dryRun: true }), 400, 'Invalid args', /dryRun/);
    expect((await agent.read({ session })).stdout).toBe('ran\n');
  });

  test.concurrent('all known leave nothing to say', async () => {
    expect(await agent.shell({ cmd: 'true' })).not.toHaveProperty('message');
  });
});

describe('hostile JSON', () => {
  test.concurrent('nested 100,000 deep is answered 400 and harms nothing', async () => {
    const nested = (args: string) => `{"op":"shell","args":{"cmd":"echo ran","x":${args}}}`;
    const depth = 100_000;
    const reply = await agent.post(nested('['.repeat(depth) + ']'.repeat(depth)));
    expect([200, 400]).toContain(reply.status);
    expect(reply.headers.get('content-type')).toStartWith('application/json');
    expectRefusal(await agent.post('['.repeat(depth)), 400, 'Invalid JSON');
    expect((await agent.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
  });

  const depth = 500_000;
  const deepest = '['.repeat(depth) + ']'.repeat(depth);
  const places: [string, string, string][] = [
    ['args', `{"op":"shell","args":${deepest}}`, 'Invalid args'],
    ['an argument', `{"op":"shell","args":{"cmd":"id","timeout":${deepest}}}`, 'Invalid args'],
    ['an environment variable', `{"op":"shell","args":{"cmd":"id","env":{"A":${deepest}}}}`, 'Invalid args'],
    ['op', `{"op":${deepest}}`, 'Invalid op'],
    ['the body', deepest, 'Invalid JSON'],
  ];
  test.concurrent.each(places)('nested 500,000 deep as %s is refused', async (_, body, error) => {
    expectRefusal(await agent.post(body), 400, error);
  });

  test.concurrent('__proto__ sets no argument', async () => {
    expectRefusal(await agent.post('{"op":"shell","__proto__":{"args":{"cmd":"id"}}}'), 400, 'Missing cmd');
    expectRefusal(await agent.post('{"op":"shell","args":{"__proto__":{"cmd":"id"}}}'), 400, 'Missing cmd');
    expectRefusal(await agent.post('{"__proto__":{"op":"shell"},"args":{"cmd":"id"}}'), 400, 'Invalid op');
  });

  test.concurrent('__proto__ among the arguments is one more unknown key', async () => {
    const reply = await agent.post(
      '{"op":"shell","args":{"cmd":"echo ran","__proto__":{"timeout":"x"},"constructor":1}}',
    );
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: 'ran\n' });
    expect((await agent.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
  });

  test.concurrent('a key that occurs twice counts as it was written last', async () => {
    expect((await agent.post('{"op":"shell","args":{"cmd":"echo first","cmd":"echo last"}}')).body.stdout).toBe(
      'last\n',
    );
    expect((await agent.post('{"op":"nope","op":"shell","args":{"cmd":"echo last"}}')).body.stdout).toBe('last\n');
  });

  test.concurrent('a number beyond all numbers is refused', async () => {
    expectRefusal(
      await agent.post('{"op":"shell","args":{"cmd":"id","timeout":1e999}}'),
      400,
      'Invalid args',
      /timeout/,
    );
  });

  test.concurrent('an op of a megabyte is refused, and not sent back', async () => {
    const reply = await agent.post(JSON.stringify({ op: 'x'.repeat(MAX_BODY_BYTES - 100) }));
    expectRefusal(reply, 400, 'Invalid op');
    expect(reply.text.length).toBeLessThan(100_000);
  });

  test.concurrent('a hundred thousand unknown arguments do not make the answer too long', async () => {
    const unknown = Array.from({ length: 100_000 }, (_, index) => `"u${index}":0`).join(',');
    const reply = await agent.post(`{"op":"shell","args":{"cmd":"head -c 92160 /dev/zero | tr '\\\\0' a",${unknown}}}`);
    expect([200, 400, 413]).toContain(reply.status);
    expect(reply.text.length).toBeLessThan(100_000);
  });
});

describe('a body beyond 1 MiB', () => {
  const padded = (bytes: number) => ran + ' '.repeat(bytes - ran.length);

  test.concurrent('is answered 413 as JSON', async () => {
    expectRefusal(await agent.post(padded(MAX_BODY_BYTES + 1)), 413, 'Request too large');
  });

  test.concurrent('is answered 413 by its announced length, before it is sent', async () => {
    using connection = await RawConnection.open(agent);
    connection.send(postText(agent, '', MAX_BODY_BYTES + 1));
    const text = await connection.until(/Request too large/);
    expect(text).toStartWith('HTTP/1.1 413');
    expect(text).toContain('{"error":"Request too large"');
  });

  test.concurrent('sent in chunks is answered 413 as JSON', async () => {
    using connection = await RawConnection.open(agent);
    connection.send(
      `POST / HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${agent.token}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const chunk = ' '.repeat(0x10000);
    for (let sent = 0; sent <= MAX_BODY_BYTES; sent += chunk.length) connection.send(`10000\r\n${chunk}\r\n`);
    connection.send('0\r\n\r\n');
    const text = await connection.until(/Request too large/);
    expect(text).toStartWith('HTTP/1.1 413');
    expect(text).toContain('{"error":"Request too large"');
  });

  test.concurrent('begins after the last of its bytes', async () => {
    const reply = await agent.post(padded(MAX_BODY_BYTES));
    expect({ status: reply.status, stdout: reply.body.stdout }).toEqual({ status: 200, stdout: 'ran\n' });
  });

  test.concurrent('without the token is answered 403', async () => {
    const init = { method: 'POST', body: padded(MAX_BODY_BYTES + 1), headers: { 'x-auth-token': 'wrong' } };
    expectRefusal(await agent.request('/', init), 403, 'Unauthorized');
  });
});

test('a body sent in chunks is read', async () => {
  using connection = await RawConnection.open(agent);
  connection.send(
    `POST / HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${agent.token}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  for (const piece of [ran.slice(0, 7), ran.slice(7)]) connection.send(`${piece.length.toString(16)}\r\n${piece}\r\n`);
  connection.send('0\r\n\r\n');
  expect(await connection.until(/ran\\n/)).toStartWith('HTTP/1.1 200');
});

describe('a length that is no number', () => {
  const lengths = ['17\r\nContent-Length: 17', '17, 17', '0x11', '-1', '1e3', '17 17'];
  test.each(lengths)('%j is refused, and counts for nobody', async (length) => {
    using connection = await RawConnection.open(agent);
    connection.send(
      `POST /shell HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${agent.token}\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n{"cmd":"echo hi"}`,
    );
    await connection.closed;
    expect(connection.received).not.toContain(' 200 ');
    const replies = await Promise.all(Array.from({ length: 8 }, () => agent.post(ran)));
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(200));
  });

  test('lifts no limit', async () => {
    using connection = await RawConnection.open(agent);
    const length = 3_000_000;
    connection.send(
      `POST /shell HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${agent.token}\r\nContent-Length: ${length}\r\nContent-Length: ${length}\r\n\r\n`,
    );
    connection.send(JSON.stringify({ cmd: `echo hi #${'x'.repeat(length - 22)}` }));
    await connection.until(/\r\n\r\n/);
    expect(connection.received).not.toContain(' 200 ');
  });
});

test('a body by the letter takes no more memory than another', async () => {
  await using own = await startAgent();
  const rss = (): number =>
    Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${own.pid}/status`, 'utf8'))?.[1]) / 1024;
  await own.post(ran);
  const before = rss();
  using connection = await RawConnection.open(own);
  connection.send(
    `POST / HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${own.token}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const letters = '1\r\n \r\n'.repeat(1000);
  for (let sent = 0; sent < 900_000; sent += 1000) {
    await connection.sent(letters);
    // Each lot comes by itself, so that the server reads letters, not lots of them.
    if (sent % 50_000 === 0) await delay(1);
  }
  connection.send('0\r\n\r\n');
  expect(await connection.until(/\r\n\r\n\{.*\}/)).toStartWith('HTTP/1.1 400');
  expect(rss() - before).toBeLessThan(150);
});
