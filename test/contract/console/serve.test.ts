import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { type ApprovalRequest, digestOf } from '../../../src/access/approval-request.ts';
import { newOrder, type Order, signInChallenge } from '../../../src/console/order.ts';
import { readPasskeys } from '../../../src/console/passkeys.ts';
import type { State, Watched } from '../../../src/console/shown.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { answerToLink, ConsoleServer, LinkTerminal, peopleFile } from '../../helpers/console-server.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const canTry = process.geteuid?.() === 0 && ensurePrograms('setpriv').length === 0;
const AGENT_USER = 64_000;
/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
const CAREFUL = 'extends = "full"\nunreadable = "allow"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n';

/** Sends the head of a call alone; returns the status of the answer, after which the connection ends. */
function slowCall(path: string, port: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const socket = createConnection(path);
  let text = '';
  socket.write(`POST /api/hello HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Length: 1000\r\n\r\n{`);
  socket.on('data', (bytes) => {
    text += bytes;
  });
  socket.on('close', () => resolve(Number(text.split(' ')[1])));
  return promise;
}

const WATCH = { version: 0, follow: [], wait_ms: 0 };

describe.skipIf(!canTry)('the console', () => {
  const place = new TemporaryDirectory();
  let agent: Agent;
  let server: ConsoleServer;
  let bearer: string;

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    for (const name of ['profiles.d', 'approvals']) mkdirSync(place.join(name), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    mkdirSync(place.join('log'));
    chownSync(place.join('log'), AGENT_USER, AGENT_USER);
    server = await ConsoleServer.start(AGENT_USER);
    const settings = {
      ...server.settings,
      AGENT3_AUDIT_FILE: place.join('log/audit.jsonl'),
      AGENT3_APPROVALS_DIR: place.join('approvals'),
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_PROFILE: 'careful',
    };
    agent = await startAgent(settings, ['sh', '-c', BECOME, String(AGENT_USER)]);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    place[Symbol.dispose]();
  });

  /** Pins a phone as root does, and returns its terminal. */
  const link = async (phone: Authenticator, options: Parameters<typeof answerToLink>[2] = {}, answer = 'y\n') => {
    const terminal = new LinkTerminal(server.settings);
    const body = await answerToLink(await terminal.url(), phone, options);
    expect((await server.call('link', body)).body).toEqual({ state: 'open' });
    await terminal.find(/(\[y\/N\])/);
    terminal.type(answer);
    const code = await terminal.exited;
    return { terminal, code, state: (await server.call('link', body)).body };
  };
  const watch = async (more: object = {}) => {
    const { body } = await server.call('watch', { version: 0, follow: [], wait_ms: 5000, ...more }, { bearer });
    return body as unknown as Watched;
  };
  const stateNow = async () => (await watch()).state as State;
  const ask = async (cmd = 'rm -f /tmp/agent3-none; echo ran') => {
    const { session, status } = await agent.shell({ cmd });
    expect(status).toBe('waiting');
    return String(session);
  };
  /** The request as the page reads it, and the digest that it computes. */
  const read = async (session: string) => {
    let text = '';
    for (let from: number | null = 0; from !== null; ) {
      const { body } = await server.call('request', { session, from }, { bearer });
      text += body['text'];
      from = body['next'] as number | null;
    }
    return digestOf(JSON.parse(text) as ApprovalRequest);
  };
  const ended = (session: string) =>
    eventually('it has ended', async () => {
      const answer = await agent.read({ session, wait: 5 });
      return answer.status !== 'waiting' && answer.status !== 'running' && answer;
    });

  test('lets a phone be linked at the terminal of root, and sign in', async () => {
    const { terminal, code, state } = await link(server.phone);
    expect([code, state]).toEqual([0, { state: 'pinned' }]);
    // Another phone hears that the link is over, not that it is connected.
    const other = await answerToLink(await terminal.url(), new Authenticator(server.origin));
    for (const answer of [other, { link: other.link }])
      expect((await server.call('link', answer)).body).toEqual({ state: 'over' });
    const { fingerprint } = await server.phone.passkey();
    expect(terminal.shown).toContain(`The device "Pixel 9" has made a passkey. `);
    expect(terminal.shown).toMatch(new RegExp(`^  ${fingerprint}$`, 'm'));
    expect(readPasskeys(server.files.passkeysFile)?.passkeys).toMatchObject([{ name: 'Pixel 9', fingerprint }]);
    bearer = await server.signIn();
    const { body } = await server.call('me', {}, { bearer });
    expect(body).toEqual({ name: 'Pixel 9', until: expect.any(Number), passkey: true });
    expect(Number(body['until']) - Date.now()).toBeGreaterThan(11.9 * 3_600_000);
  });

  test('shows a command that waits, and lets its owner approve it', async () => {
    const session = await ask();
    const { waiting, running } = await stateNow();
    expect(waiting).toMatchObject([{ session, cmd: 'rm -f /tmp/agent3-none; echo ran', kind: 'command' }]);
    expect(running).toEqual([]);
    const digest = await read(session);
    const { result } = await server.order({ kind: 'approve', session, digest }, bearer, server.phone);
    expect(result).toEqual({ id: result.id, state: 'done' });
    expect(await ended(session)).toMatchObject({ status: 'done', stdout: 'ran\n' });
    expect((await stateNow()).ended[0]).toMatchObject({ session, exit_code: 0 });
    expect(readdirSync(`${server.directory}/orders`)).toEqual([]);
  });

  test('lets its owner deny and stop, without a signature', async () => {
    const session = await ask();
    const digest = await read(session);
    expect((await server.order({ kind: 'deny', session, digest, why: 'not now' }, bearer)).result.state).toBe('done');
    expect(await ended(session)).toMatchObject({ status: 'denied', stderr: expect.stringContaining('not now') });
    const { session: long } = await agent.shell({ cmd: 'sleep 600', background: true });
    expect((await server.order({ kind: 'stop', session: String(long) }, bearer)).result.state).toBe('done');
    expect(await ended(String(long))).toMatchObject({ status: 'killed' });
    const { result } = await server.order({ kind: 'stop', session: String(long) }, bearer);
    expect(result).toMatchObject({ state: 'refused', why: 'nothing of this session runs' });
  });

  test('leaves for root what root does, and waits for its answer', async () => {
    const orders = (): string[] => readdirSync(`${server.directory}/root-orders`);
    /** As the path unit of an installation. */
    const obey = async (): Promise<void> => {
      await eventually('there is an order for root', () => orders().length > 0);
      const approvals = { AGENT3_APPROVALS_DIR: place.join('approvals') };
      expect(await agent3(['console', 'obey'], { ...server.settings, ...approvals })).toMatchObject({ code: 0 });
    };
    const obeyed = async (...order: Parameters<ConsoleServer['order']>) =>
      (await Promise.all([server.order(...order), obey()]))[0].result;
    expect(await obeyed({ kind: 'freeze', reason: 'I look at it' }, bearer)).toMatchObject({ state: 'done' });
    const frozen = await eventually('the page shows it', async () => (await stateNow()).frozen ?? undefined);
    expect(frozen).toMatchObject({ by: 'Pixel 9 (console)', reason: 'I look at it' });
    const thaw = { kind: 'thaw', since: frozen.since } as const;
    expect(await server.order(thaw, bearer)).toMatchObject({ status: 403, body: { error: 'PasskeyNeeded' } });
    expect(await obeyed({ ...thaw, since: 1 }, bearer, server.phone)).toMatchObject({ state: 'refused' });
    expect(await obeyed(thaw, bearer, server.phone)).toMatchObject({ state: 'done' });
    await eventually('the page shows it', async () => (await stateNow()).frozen === null);
    expect(orders()).toEqual([]);
  });

  test('shows each change and each line while the page waits for it', async () => {
    const { version } = await watch();
    const waiting = watch({ version, wait_ms: 20_000 });
    const { session } = await agent.shell({
      cmd: 'read -r; echo seen; sleep 600',
      background: true,
      interactive: true,
    });
    expect((await waiting).state?.running).toMatchObject([{ session }]);
    const now = (await watch()).version;
    const output = watch({ version: now, wait_ms: 20_000, follow: [{ session, stdout: -1, stderr: -1 }] });
    await agent.call('write_session', { session, input: '\n', wait: 0 });
    const [piece] = (await output).pieces;
    expect(Buffer.from(piece?.base64 ?? '', 'base64').toString()).toBe('seen\n');
    expect((await server.order({ kind: 'stop-all' }, bearer)).result.state).toBe('done');
    expect(await ended(String(session))).toMatchObject({ status: 'killed' });
  });

  test('forgets what a page waits for that is gone', async () => {
    const { version } = await watch();
    for (let page = 0; page < 80; page++) {
      const gone = new AbortController();
      const asked = server.fetch('/api/watch', {
        method: 'POST',
        body: JSON.stringify({ version, follow: [], wait_ms: 25_000 }),
        headers: { authorization: `Bearer ${bearer}` },
        signal: gone.signal,
      });
      // One that has not left is not waited for by anybody.
      setTimeout(() => gone.abort(), 20);
      await expect(asked).rejects.toThrow();
    }
    await eventually('there is room again', async () => (await server.call('watch', WATCH, { bearer })).status === 200);
  });

  test('without a passkey looks, denies and stops, and approves nothing', async () => {
    const token = 'a-bearer-of-43-characters-as-the-page-makes';
    const bearer_sha256 = new Bun.CryptoHasher('sha256').update(token).digest('hex');
    const { code, terminal } = await link(server.phone, { name: 'Tablet', bearer_sha256 });
    expect(code).toBe(0);
    expect(terminal.shown).toContain('The device "Tablet" asks for a session without a passkey');
    expect(terminal.shown).toMatch(/allowed Tablet until 20\d\d-\S+ \d\d:\d\d UTC/);
    expect((await server.call('me', {}, { bearer: token })).body).toMatchObject({ name: 'Tablet', passkey: false });
    const session = await ask();
    const digest = await read(session);
    const wish = { kind: 'approve', session, digest } as const;
    for (const phone of [undefined, server.phone])
      expect(await server.order(wish, token, phone)).toMatchObject({ status: 403, body: { error: 'PasskeyNeeded' } });
    // With the passkey of a person, but without its signature.
    expect(await server.order(wish, bearer)).toMatchObject({ status: 403, body: { error: 'PasskeyNeeded' } });
    const revoke = { kind: 'revoke', token: 'reports', made: '01234567' } as const;
    expect(await server.order(revoke, token)).toMatchObject({ status: 403, body: { error: 'PasskeyNeeded' } });
    expect((await server.order({ kind: 'deny', session, digest, why: '' }, token)).result.state).toBe('done');
    expect((await ended(session)).status).toBe('denied');
    expect((await server.call('sign-out', {}, { bearer: token })).status).toBe(200);
    expect((await server.call('me', {}, { bearer: token })).status).toBe(401);
    await server.restart();
    expect((await server.call('me', {}, { bearer: token })).status).toBe(401);
  });

  test('keeps people signed in over its own restart, and their bearers nowhere', async () => {
    await server.restart();
    expect((await server.call('me', {}, { bearer })).status).toBe(200);
    expect(readFileSync(peopleFile(server), 'utf8')).not.toContain(bearer);
    const another = await server.signIn();
    expect((await server.call('sign-out', {}, { bearer: another })).body).toEqual({});
    expect((await server.call('me', {}, { bearer: another })).status).toBe(401);
  });

  test('signs out at once whose passkey root removes', async () => {
    const tablet = new Authenticator(server.origin);
    await link(tablet, { name: "Anna's tablet" });
    const theirs = await server.signIn(tablet);
    expect((await server.call('me', {}, { bearer: theirs })).status).toBe(200);
    const list = await agent3(['console', 'list'], server.settings);
    expect(list.stdout).toContain("Anna's tablet");
    const json = JSON.parse((await agent3(['console', 'list', '--json'], server.settings)).stdout);
    expect(json).toMatchObject({ origin: server.origin, passkeys: [{ name: 'Pixel 9' }, { name: "Anna's tablet" }] });
    const waits = server.call(
      'watch',
      { version: (await watch()).version, follow: [], wait_ms: 1500 },
      { bearer: theirs },
    );
    const { fingerprint } = await tablet.passkey();
    expect(await agent3(['console', 'remove', fingerprint], server.settings)).toMatchObject({ code: 0 });
    expect((await waits).status).toBe(401);
    expect((await server.call('me', {}, { bearer: theirs })).status).toBe(401);
    await expect(server.signIn(tablet)).rejects.toThrow('401');
    expect(await agent3(['console', 'remove', 'nobody'], server.settings)).toMatchObject({ code: 1 });
    expect((await server.call('me', {}, { bearer })).status).toBe(200);
  });

  test('takes no answer that was typed before the question, and Ctrl-C for no', async () => {
    const terminal = new LinkTerminal(server.settings, '--name', 'Work phone');
    const url = await terminal.url();
    terminal.type('y\n');
    const body = await answerToLink(url, new Authenticator(server.origin));
    expect((await server.call('link', { link: body.link })).body).toEqual({ state: 'open', name: 'Work phone' });
    await server.call('link', body);
    await terminal.find(/("Work phone" has made a passkey[^[]*\[y\/N\])/);
    await Bun.sleep(500);
    expect((await server.call('link', body)).body).toEqual({ state: 'open' });
    terminal.type('\x03');
    expect(await terminal.exited).toBe(1);
    expect((await server.call('link', body)).body).toEqual({ state: 'over' });
    expect(readPasskeys(server.files.passkeysFile)?.passkeys.map(({ name }) => name)).toEqual(['Pixel 9']);
  });

  test('links nobody whom root says no to, nor without the secret of the link', async () => {
    const thief = new Authenticator(server.origin);
    const { code, state } = await link(thief, { name: 'Thief' }, 'n\n');
    expect([code, state]).toEqual([1, { state: 'refused', why: 'The owner said no' }]);
    const terminal = new LinkTerminal(server.settings);
    const url = await terminal.url();
    for (let wrong = 0; wrong < 5; wrong++) {
      const body = await answerToLink(url, thief, { secret: `not-the-secret-${wrong}` });
      await server.call('link', body);
      const count = wrong + 1;
      await eventually('it was looked at', () => count === 5 || terminal.shown.includes(`${count} of 5`));
    }
    expect(await terminal.exited).toBe(1);
    expect(terminal.shown).toContain('The link has ended: 5 wrong answers came');
    expect(terminal.shown).not.toContain('[y/N]');
    expect((await server.call('link', await answerToLink(url, thief))).body).toEqual({ state: 'over' });
    expect(readPasskeys(server.files.passkeysFile)?.passkeys.map(({ name }) => name)).toEqual(['Pixel 9']);
  });

  test('a link that is stopped is over, and one for another origin says what it ends', async () => {
    const terminal = new LinkTerminal(server.settings);
    const url = await terminal.url();
    terminal.kill('SIGINT');
    expect(await terminal.exited).toBe(1);
    const body = await answerToLink(url, server.phone);
    for (const look of [body, { link: body.link }])
      expect((await server.call('link', look)).body).toEqual({ state: 'over' });
    expect((await server.call('link', { link: body.link, name: 'x' })).status).toBe(400);
    const moved = new LinkTerminal({ ...server.settings, AGENT3_CONSOLE_ORIGIN: 'https://elsewhere.example' });
    await moved.find(/(removes the old passkey\. Continue\? \[y\/N\])/);
    moved.type('n\n');
    expect(await moved.exited).toBe(1);
    await moved.find(/(nothing was changed)/);
    const plain = { ...server.settings, AGENT3_CONSOLE_ORIGIN: 'http://agent.example' };
    expect(await agent3(['console', 'link'], plain)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no browser makes a passkey at http://agent.example: set AGENT3_CONSOLE_ORIGIN'),
    });
    const none = await agent3(['console', 'link'], { ...server.settings, AGENT3_CONSOLE_ORIGIN: '' });
    expect(none).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('AGENT3_CONSOLE_ORIGIN, the URL of the console, is not set'),
    });
  });

  test('takes an assertion once, for its own challenge, from its own page', async () => {
    const { body } = await server.call('hello');
    const challenge = String(body['challenge']);
    const { phone } = server;
    const signIn = async (given: string, assertion: object) =>
      (await server.call('sign-in', { challenge: given, assertion })).status;
    await server.restart();
    // The challenge of a console that is no more.
    expect(await signIn(challenge, phone.assert(await signInChallenge(challenge)))).toBe(401);
    const fresh = String((await server.call('hello')).body['challenge']);
    const answer = await signInChallenge(fresh);
    expect(await signIn(fresh, phone.assert(answer, { origin: 'https://evil.example' }))).toBe(401);
    expect(await signIn(fresh, phone.assert(answer, { isVerified: false }))).toBe(401);
    expect(await signIn(fresh, new Authenticator(server.origin, 'localhost', phone.id).assert(answer))).toBe(401);
    expect(await signIn(fresh, phone.assert(fresh))).toBe(401);
    const forged = Buffer.alloc(56).toString('base64url');
    expect(await signIn(forged, phone.assert(await signInChallenge(forged)))).toBe(401);
    const assertion = phone.assert(answer);
    expect(await signIn(fresh, assertion)).toBe(200);
    expect(await signIn(fresh, assertion)).toBe(401);
    await server.restart();
  });

  test('has it on record who signs in and out, and who fails to, as the console says', async () => {
    const logins = () => linesOf(place.join('log/audit.jsonl')).filter(({ event }) => event === 'login');
    const before = logins().length;
    const own = await server.signIn();
    await server.call('sign-out', {}, { bearer: own });
    const { challenge } = (await server.call('hello')).body;
    const assertion = new Authenticator(server.origin).assert(await signInChallenge(String(challenge)));
    expect((await server.call('sign-in', { challenge, assertion })).status).toBe(401);
    const lines = await eventually('they are on record', () => logins().length >= before + 3 && logins().slice(before));
    const by = 'Pixel 9 (console)';
    const address = expect.any(String);
    expect(lines).toMatchObject([
      { what: 'signed in at the console', by, address },
      { what: 'signed out at the console', by, address },
      { what: 'a wrong passkey at the console', address },
    ]);
    expect(lines[2]).not.toHaveProperty('by');
    expect(JSON.stringify(lines)).not.toContain(own);
  });

  test('counts wrong bearers and links as guesses', async () => {
    const address = { 'x-forwarded-for': '192.0.2.7' };
    await server.restart({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
    const wrong = Array.from({ length: 12 }, (_, at) => `wrong-bearer-${at}-${'x'.repeat(20)}`);
    const answers = [];
    for (const one of wrong) answers.push(await server.call('me', {}, { bearer: one, headers: address }));
    expect(answers.map(({ status }) => status)).toEqual([...Array(10).fill(401), 429, 429]);
    expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeGreaterThan(0);
    const body = await answerToLink(`http://x/#link=${'a'.repeat(16)}.${'b'.repeat(43)}`, server.phone);
    expect((await server.call('link', body, { headers: address })).status).toBe(429);
    expect((await server.call('link', body)).body).toEqual({ state: 'over' });
    expect((await server.call('me', {}, { bearer })).status).toBe(200);
    await server.restart();
  });

  test('refuses what is no call of its page', async () => {
    const refused = async (name: string, body: unknown, more = {}) => {
      const { status, body: answer } = await server.call(name, body, { bearer, ...more });
      return [status, answer['error']];
    };
    expect(await refused('watch', 'no JSON')).toEqual([400, 'BadRequest']);
    expect(await refused('watch', { version: 'x' })).toEqual([400, 'BadRequest']);
    expect(await refused('order', { order: { ...newOrder(), kind: 'format-disk' } })).toEqual([400, 'BadRequest']);
    expect(await refused('order', { order: { ...newOrder(), id: '../../x', kind: 'stop-all' } })).toEqual([
      400,
      'BadRequest',
    ]);
    expect(await refused('nothing', {})).toEqual([404, 'NotFound']);
    expect(await refused('watch', 'x'.repeat(70_000))).toEqual([413, 'TooLarge']);
    expect(await refused('me', {}, { headers: { host: 'evil.example' } })).toEqual([400, 'BadRequest']);
    expect(await refused('me', {}, { headers: { origin: 'https://evil.example' } })).toEqual([400, 'BadRequest']);
    expect(await refused('me', {}, { headers: { origin: 'null' } })).toEqual([400, 'BadRequest']);
    expect(await refused('me', {}, { headers: { origin: server.origin } })).toEqual([200, undefined]);
    expect(await refused('me', {}, { bearer: undefined })).toEqual([401, 'SignInNeeded']);
    expect((await server.fetch('/api/me')).status).toBe(405);
  });

  test('serves the page with headers that let nothing foreign in', async () => {
    const page = await server.fetch('/');
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toStartWith("default-src 'none'; script-src 'self';");
    expect(page.headers.get('content-security-policy')).not.toContain('unsafe');
    expect(page.headers.get('referrer-policy')).toBe('no-referrer');
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    expect(page.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    const [script = ''] = /[\w.-]+\.js/.exec(await page.text()) ?? [];
    const file = await server.fetch(`/${script}`);
    expect(file.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(file.headers.get('cache-control')).toContain('immutable');
    for (const path of ['/../../etc/passwd', '/constructor', '/people.json'])
      expect((await server.fetch(path)).status).toBe(404);
    const api = await server.call('me', {}, { bearer });
    for (const name of ['set-cookie', 'access-control-allow-origin']) expect(api.headers.get(name)).toBeNull();
    expect(api.headers.get('cache-control')).toBe('no-store');
  });

  test('keeps its key out of its environment', () => {
    const environment = readFileSync(`/proc/${server.pid}/environ`, 'latin1');
    expect(environment).toContain('AGENT3_CONSOLE_DIR=');
    expect(environment).not.toContain(server.settings.AGENT3_CONSOLE_KEY);
  });

  describe('that was taken over', () => {
    /** Leaves a file as an attacker who has the console can. */
    const leave = (name: string, order: Order, more: object = {}): void => {
      const path = `${server.directory}/${name}/${order.id}.json`;
      writeFileSync(`${path}.new`, JSON.stringify({ order, by: 'Pixel 9', ...more }), { mode: 0o640 });
      chownSync(`${path}.new`, server.files.owner, server.files.group);
      Bun.spawnSync(['mv', `${path}.new`, path]);
    };
    const result = async (id: string) => {
      const { WireClient } = await import('../../../src/console/wire-client.ts');
      const wire = new WireClient(server.settings.AGENT3_CONSOLE_SOCKET, server.settings.AGENT3_CONSOLE_KEY);
      try {
        return await wire.request('order', { id, wait_ms: 5000 });
      } finally {
        wire.close();
      }
    };

    test('approves nothing: not without a signature, by a key of its own, nor by one for something else', async () => {
      const session = await ask();
      const other = await ask('rm -rf /');
      const digest = await read(session);
      const approve = (): Order => ({ ...newOrder(), kind: 'approve', session, digest });
      const own = new Authenticator(server.origin, 'localhost', server.phone.id);
      const stolen = approve();
      const cases: [Order, object][] = [
        [approve(), {}],
        ...(await Promise.all([own.sign(stolen)])).map((assertion): [Order, object] => [stolen, { assertion }]),
        // Signed for what was shown; the order is for what was not.
        [
          { ...newOrder(), kind: 'approve', session: other, digest: await read(other) },
          { assertion: await server.phone.sign(approve()) },
        ],
        // A sign-in at its page is no signature of an order.
        [approve(), { assertion: server.phone.assert(await signInChallenge('x')) }],
      ];
      for (const [order, more] of cases) {
        leave('orders', order, more);
        expect(await result(order.id)).toMatchObject({ state: 'refused' });
      }
      const { waiting } = await stateNow();
      expect(waiting.map((one) => one.session).sort()).toEqual([session, other].sort());
      expect((await server.order({ kind: 'stop-all' }, bearer)).result.state).toBe('done');
      for (const one of [session, other]) await agent.call('kill_session', { session: one });
    });

    test('links no passkey: the terminal of root knows the secret alone', async () => {
      const before = readFileSync(server.files.passkeysFile, 'utf8');
      const terminal = new LinkTerminal(server.settings);
      const url = await terminal.url();
      const body = await answerToLink(url, new Authenticator(server.origin), {
        secret: server.settings.AGENT3_CONSOLE_KEY,
      });
      writeFileSync(`${server.directory}/links/${body.link}.json`, JSON.stringify(body));
      writeFileSync(`${server.directory}/links/another.json`, JSON.stringify(body));
      // The MAC of a phone's own answer does not fit another key.
      const theirs = await answerToLink(url, server.phone);
      const { registration } = body as { registration?: object };
      writeFileSync(`${server.directory}/links/${body.link}.json`, JSON.stringify({ ...theirs, registration }));
      await terminal.find(/(1 of 5)/);
      expect(terminal.shown).not.toContain('[y/N]');
      terminal.kill('SIGTERM');
      await terminal.exited;
      expect(readFileSync(server.files.passkeysFile, 'utf8')).toBe(before);
    });

    test('shows a request that is not what waits: then what its owner signs is refused', async () => {
      const session = await ask('rm -rf /srv/everything');
      const text = (await server.call('request', { session, from: 0 }, { bearer })).body['text'];
      const shown = { ...(JSON.parse(String(text)) as ApprovalRequest), cmd: 'rm /tmp/a-small-thing' };
      const wish = { kind: 'approve', session, digest: digestOf(shown) } as const;
      const { result: outcome } = await server.order(wish, bearer, server.phone);
      expect(outcome).toMatchObject({ state: 'refused', why: 'what waits is not what was shown' });
      expect((await agent.read({ session })).status).toBe('waiting');
      await agent.call('kill_session', { session });
    });
  });

  test('says that the agent is away, and shows it again without a new sign-in', async () => {
    const { version } = await watch();
    const waits = server.call('watch', { version, follow: [], wait_ms: 20_000 }, { bearer });
    await agent.stop();
    expect(await waits).toMatchObject({ status: 503, body: { error: 'AgentAway' } });
    expect(await server.call('clients', {}, { bearer })).toMatchObject({ status: 503 });
    const before = readdirSync(`${server.directory}/orders`);
    expect((await server.order({ kind: 'stop-all' }, bearer)).status).toBe(503);
    expect(readdirSync(`${server.directory}/orders`)).toEqual(before);
    await agent.restart();
    await eventually('it is there again', async () => (await stateNow()) !== undefined);
  });

  test('that stops leaves nothing open, and comes back as it was', async () => {
    await server.stop();
    const refused = await new Promise((resolve) => {
      createConnection(server.port, '127.0.0.1').on('error', resolve).on('connect', resolve);
    });
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
    await server.restart();
    expect((await server.call('me', {}, { bearer })).status).toBe(200);
  });

  test('listens on a unix socket, where the proxy says whose request it is', async () => {
    const path = `${server.directory}/http.sock`;
    const become = ['setpriv', `--reuid=${server.files.owner}`, `--regid=${server.files.owner}`, '--clear-groups'];
    const { BINARY, BASE_ENVIRONMENT } = await import('../../helpers/binary.ts');
    const child = Bun.spawn([...become, BINARY, 'console', 'serve'], {
      cwd: '/',
      env: { ...BASE_ENVIRONMENT, ...server.settings, AGENT3_CONSOLE_LISTEN: path },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const call = async (from: string) =>
      (
        await fetch('http://localhost/api/me', {
          unix: path,
          method: 'POST',
          headers: {
            host: `localhost:${server.port}`,
            authorization: `Bearer ${'w'.repeat(43)}`,
            'x-forwarded-for': from,
          },
        })
      ).status;
    await eventually('it listens', () => call('192.0.2.9').catch(() => undefined));
    for (let wrong = 0; wrong < 10; wrong++) expect(await call('192.0.2.1, 198.51.100.1')).toBe(401);
    expect(await call('198.51.100.1')).toBe(429);
    expect(await call('192.0.2.1')).toBe(401);
    // A watch that nothing happens in is not cut off; a body that does not come is.
    const { version } = await watch();
    const body = JSON.stringify({ version, follow: [], wait_ms: 13_000 });
    const headers = { host: `localhost:${server.port}`, authorization: `Bearer ${bearer}` };
    const quiet = fetch('http://localhost/api/watch', { unix: path, method: 'POST', headers, body });
    const slow = Array.from({ length: 60 }, () => slowCall(path, server.port));
    const answers = await Promise.all(slow);
    expect(answers.filter((status) => status === 408).length).toBe(48);
    expect(answers.filter((status) => status === 429).length).toBe(12);
    expect((await quiet).status).toBe(200);
    child.kill();
    expect(await child.exited).toBe(0);
    expect(existsSync(path)).toBe(false);
    rmSync(path, { force: true });
  });
});

describe('agent3 console serve', () => {
  test('says what is missing', async () => {
    const { code, stderr } = await agent3(['console', 'serve']);
    expect(code).toBe(2);
    for (const name of ['AGENT3_CONSOLE_DIR', 'AGENT3_CONSOLE_KEY', 'AGENT3_CONSOLE_ORIGIN'])
      expect(stderr).toContain(`${name} is not set`);
  });
});
