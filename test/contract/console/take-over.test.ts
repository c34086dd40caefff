import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { newOrder, type TakeOverOrder } from '../../../src/console/order.ts';
import { writePasskeys } from '../../../src/console/passkeys.ts';
import type { State } from '../../../src/console/shown.ts';
import { newTypingKeys, signFrame, type TypedFrame } from '../../../src/console/typed.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleServer } from '../../helpers/console-server.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const canTry = process.geteuid?.() === 0 && ensurePrograms('setpriv').length === 0;
const AGENT_USER = 64_000;
/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
const ASKS =
  'read -rp "Name: " name; read -rsp "Password: " word; echo; printf "%s has %s\\n" "$name" "$(printf %s "$word" | wc -c)"; cat';

describe.skipIf(!canTry)('a terminal that the owner takes over', () => {
  const place = new TemporaryDirectory();
  const AUDIT = place.join('audit/audit.jsonl');
  const TOKENS = { AGENT3_TOKENS_FILE: place.join('tokens.json') };
  let agent: Agent;
  let server: ConsoleServer;
  let bearer: string;

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    mkdirSync(place.join('audit'), { mode: 0o755 });
    chownSync(place.join('audit'), AGENT_USER, AGENT_USER);
    server = await ConsoleServer.start(AGENT_USER);
    const { origin, rpId: rp_id } = server.phone;
    const passkeys = [await server.phone.passkey()];
    writePasskeys(server.settings.AGENT3_PASSKEYS_FILE, { origin, rp_id, passkeys, sessions: [] });
    agent = await startAgent({ ...server.settings, ...TOKENS, AGENT3_AUDIT_FILE: AUDIT }, [
      'sh',
      '-c',
      BECOME,
      String(AGENT_USER),
    ]);
    bearer = await server.signIn();
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    place[Symbol.dispose]();
  });

  /** Starts a command on a terminal; returns its session. */
  const onTerminal = async (cmd = ASKS): Promise<string> =>
    String((await agent.shell({ cmd, pty: true, background: true })).session);
  const shows = (session: string, text: string) =>
    eventually(`it shows ${text}`, async () => (await agent.read({ session })).stdout.includes(text));
  const write = (session: string, input: string) =>
    agent.call('write_session', { session, input, wait: 0 }).then(({ body }) => body);
  const handBack = (session: string) => server.order({ kind: 'hand-back', session }, bearer);
  const stateNow = async (): Promise<State> =>
    (await server.call('watch', { version: 0, follow: [], wait_ms: 0 }, { bearer })).body['state'] as State;

  /** Takes a session over; returns the order and a function that types there. */
  const takeOver = async (session: string) => {
    const { privateKey, key } = await newTypingKeys();
    const order: TakeOverOrder = { ...newOrder(), kind: 'take-over', session, key, from: null };
    const { result } = await server.order(order, bearer, server.phone);
    expect(result).toEqual({ id: order.id, state: 'done' });
    let n = 0;
    const type = async (text: string, more: Partial<TypedFrame> = {}) => {
      const keys = Buffer.from(text).toString('base64');
      const frame = await signFrame({ order: order.id, n: ++n, at: Date.now(), keys, ...more }, privateKey);
      return (await server.call('type', frame, { bearer })).body;
    };
    return { order, type };
  };

  test('is typed in by the page, while the model waits and reads who types', async () => {
    const session = await onTerminal();
    await shows(session, 'Name: ');
    const { order, type } = await takeOver(session);
    const { fingerprint } = await server.phone.passkey();
    const by = `Pixel 9 (passkey ${fingerprint})`;
    expect((await stateNow()).running).toEqual([
      expect.objectContaining({ session, typist: { order: order.id, by, since: expect.any(Number) } }),
    ]);
    expect(await agent.read({ session })).toMatchObject({
      status: 'running',
      taken_over: true,
      message: expect.stringContaining('Your owner is typing in this terminal'),
    });
    expect(await write(session, 'evil\n')).toMatchObject({
      written: 0,
      taken_over: true,
      message: expect.stringContaining('Nothing was written.'),
    });
    const waited = agent.read({ session, wait: 30 });
    expect(await type('anna\r', { size: { rows: 12, cols: 40 } })).toEqual({ taken: true });
    await shows(session, 'Password: ');
    expect((await stateNow()).running[0]).toMatchObject({ rows: 12, cols: 40 });
    const secret = `Unseen${crypto.randomUUID()}`;
    for (const key of secret) expect(await type(key)).toEqual({ taken: true });
    expect(await type('\r')).toEqual({ taken: true });
    await shows(session, 'anna has 42');
    expect((await handBack(session)).result.state).toBe('done');
    // Who has waited meanwhile waits for no more than the hand back: the command asks again.
    expect(await waited).toMatchObject({
      status: 'running',
      message: expect.stringContaining('Your owner has typed into this terminal and handed it back.'),
    });
    expect((await stateNow()).running[0]).toMatchObject({ typist: null, rows: 24, cols: 120 });

    expect(await write(session, 'mine\n')).toMatchObject({ written: 5 });
    await shows(session, 'mine');

    const lines = await eventually('the hand back is on record', () => {
      const all = linesOf(AUDIT).filter((line) => line['event'] === 'agent' && line['session'] === session);
      return all.some(({ what }) => what === 'handed back') && all;
    });
    expect(lines).toEqual([
      expect.objectContaining({ what: 'taken over', by, order: order.id, signed: expect.objectContaining({ order }) }),
      expect.objectContaining({ what: 'typed', by, bytes: 5 }),
      expect.objectContaining({ what: 'typed', by, bytes: 43 }),
      expect.objectContaining({ what: 'handed back', why: 'handed back by Pixel 9 (console)', bytes: 48 }),
    ]);
    expect(await verify(AUDIT)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`orders signed by passkeys: 1 by ${by}`),
    });
    const directory = `${agent.sessionsDir}/${session}`;
    const kept = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
    const hash = new Bun.CryptoHasher('sha256').update(secret).digest('hex');
    for (const text of [...kept, readFileSync(AUDIT, 'utf8'), JSON.stringify(agent.logs)])
      expect(text).not.toMatch(new RegExp(`${secret}|${hash}|${Buffer.from(secret).toString('base64')}`));
    await agent.call('close_session', { session });
  });

  test('ends a dialog of the model, which is never typed between', async () => {
    const dialog = [
      { expect: 'Name: ', send: 'model\n' },
      { expect: 'never', send: 'evil\n' },
    ];
    const answer = agent.shell({ cmd: ASKS, pty: true, dialog });
    const running = await eventually('it asks for the password', async () => {
      const [one] = (await stateNow()).running;
      return one !== undefined && (await agent.read({ session: one.session })).stdout.includes('Password: ') && one;
    });
    const { type } = await takeOver(running.session);
    expect(await type('mine\r')).toEqual({ taken: true });
    await shows(running.session, 'model has 4');
    await handBack(running.session);
    expect((await answer).message).toContain(
      'The dialog ended at step 2 of 2, "never": your owner has taken over its terminal.',
    );
    // What the model writes without having seen that is not typed.
    const { session } = running;
    expect(await write(session, 'late\n')).toMatchObject({
      written: 0,
      message: expect.stringMatching(/^.*Your owner has typed into this terminal.*Nothing was written\.$/),
    });
    expect(await write(session, 'late\n')).toMatchObject({ written: 5 });
    await agent.call('close_session', { session });
  });

  test('is taken over by nobody without the signature of a passkey over this very order', async () => {
    const session = await onTerminal();
    const other = await onTerminal();
    await shows(session, 'Name: ');
    const { privateKey, key } = await newTypingKeys();
    const wish = { kind: 'take-over', session, key, from: null } as const;
    expect((await server.order(wish, bearer)).status).toBe(403);
    const thief = new Authenticator(server.origin);
    const refused = async (order: TakeOverOrder, assertion?: Awaited<ReturnType<Authenticator['sign']>>) => {
      const id = server.files.leave(order, assertion === undefined ? {} : { assertion });
      const line = await eventually('it is refused', () =>
        linesOf(AUDIT).find((one) => one['order'] === id && 'refused' in one),
      );
      return line['refused'];
    };
    const order = () => ({ ...newOrder(), ...wish });
    expect(await refused(order())).toBe('it needs the signature of a passkey');
    const [first, second, third] = [order(), order(), order()];
    expect(await refused(first, await thief.sign(first))).toBe('its passkey is not linked to this server');
    // Signed for another session, or for another key.
    const elsewhere = await server.phone.sign({ ...second, session: other });
    expect(await refused(second, elsewhere)).toContain('its signature does not');
    const { key: own } = await newTypingKeys();
    expect(await refused({ ...third, key: own }, await server.phone.sign(third))).toContain('its signature does not');
    // A command has the agent's user: its file is not the console's.
    const forged = order();
    const assertion = await server.phone.sign(forged);
    server.files.write(forged, { order: forged, by: 'Anna', assertion }, AGENT_USER);
    await eventually('it is refused', () => linesOf(AUDIT).find((one) => one['order'] === forged.id));
    const frame = await signFrame({ order: forged.id, n: 1, at: Date.now(), keys: btoa('evil\r') }, privateKey);
    expect((await server.call('type', frame, { bearer })).status).toBe(400);
    expect((await server.call('type', frame)).status).toBe(401);
    expect((await stateNow()).running.map(({ typist }) => typist)).toEqual([null, null]);
    for (const one of [session, other]) await agent.call('close_session', { session: one });
  });

  test('ends with its session, which the model may stop meanwhile', async () => {
    const session = await onTerminal();
    await shows(session, 'Name: ');
    const { type } = await takeOver(session);
    await agent.call('kill_session', { session, signal: 'KILL' });
    await eventually('nobody types', async () => (await stateNow()).running.length === 0);
    expect(await type('anna\r')).toEqual({ error: 'BadRequest', message: 'This take-over is over.' });
  });

  test('goes on when the token of its command is revoked, and the model reads nothing more', async () => {
    const { stdout } = await agent3(['token', 'create', 'guest', '--profile', 'full'], TOKENS);
    chownSync(TOKENS.AGENT3_TOKENS_FILE, 0, AGENT_USER);
    chmodSync(TOKENS.AGENT3_TOKENS_FILE, 0o640);
    const headers = { 'x-auth-token': stdout.trim() };
    const call = async (op: string, args: object) =>
      agent.request('/', { method: 'POST', headers, body: JSON.stringify({ op, args }) });
    const start = () => call('shell', { cmd: ASKS, pty: true, background: true });
    const { body } = await eventually('it runs', async () => {
      const reply = await start();
      return reply.status === 200 && reply;
    });
    const { session } = body;
    const { type } = await takeOver(session);
    expect(await agent3(['token', 'revoke', 'guest'], TOKENS)).toMatchObject({ code: 0 });
    await eventually('it is revoked', async () => (await call('read_session', { session })).status === 403);
    expect(await type('anna\r')).toEqual({ taken: true });
    const output = () => readFileSync(`${agent.sessionsDir}/${session}/stdout`, 'utf8');
    await eventually('it goes on', () => output().includes('Password: '));
    await server.order({ kind: 'stop', session }, bearer);
    await eventually('nobody types', async () => (await stateNow()).running.length === 0);
  });

  test('is over when the agent has restarted', async () => {
    const session = await onTerminal();
    await shows(session, 'Name: ');
    const { type } = await takeOver(session);
    await agent.restart();
    const over = { error: 'BadRequest', message: 'This take-over is over.' };
    await eventually('the console finds the agent again', async () => Bun.deepEquals(await type('anna\r'), over));
    expect(await agent.read({ session })).not.toHaveProperty('taken_over');
  });
});
