import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type ApprovalRequest, digestOf, requestsDirectory } from '../../../src/access/approval-request.ts';
import { currentFreeze, type FreezeEntry, readFreezes } from '../../../src/access/freeze.ts';
import {
  type AllowOrder,
  type KeysOrder,
  listDigest,
  newOrder,
  type Order,
  type OrderFile,
  type OrderResult,
  type PasskeyList,
} from '../../../src/console/order.ts';
import type { HubPasskeys } from '../../../src/fleet/hub-passkeys.ts';
import { SigningKey } from '../../../src/fleet/keys.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import type { Without } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawHub } from '../../helpers/raw-hub.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const PROFILES = directory.join('profiles.d');
mkdirSync(PROFILES);
mkdirSync(directory.join('web2'));
writeFileSync(`${PROFILES}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "touch"\n');

/** Where the agent of web2 leaves orders for root, as that of an installed server; web1 obeys them itself. */
const LEFT = directory.join('web2/left');

/** The owner's phone, whose passkey the servers have pinned. */
const phone = new Authenticator();
let nats: TestNats;
let raw: RawHub;
const agents: Record<string, Agent> = {};

beforeAll(async () => {
  nats = await TestNats.start('web1', 'web2');
  for (const name of ['web1', 'web2']) {
    mkdirSync(directory.join(`${name}-approvals`), { mode: 0o750 });
    agents[name] = await startAgent({
      ...nats.serverSettings(name, 'careful'),
      AGENT3_PROFILES_DIR: PROFILES,
      AGENT3_PROFILE: 'careful',
      AGENT3_APPROVALS_DIR: directory.join(`${name}-approvals`),
      AGENT3_AUDIT_FILE: recordOf(name),
      ...(name === 'web2' && { AGENT3_HUB_ORDERS_DIR: LEFT, AGENT3_CONSOLE_ANSWERS: directory.join('answers') }),
    });
    await pin(name, phone);
  }
  raw = await RawHub.open(nats);
  for (const name of Object.keys(agents))
    await eventually(`${name} answers`, async () => (await raw.call(name, 'server_info', {}))?.status === 200);
});
afterAll(async () => {
  await raw?.[Symbol.asyncDispose]();
  for (const agent of Object.values(agents)) await agent[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

function recordOf(server: string): string {
  return directory.join(`${server}.jsonl`);
}

/** Pins passkeys on a server, as `agent3 join` does. */
async function pin(server: string, ...phones: Authenticator[]): Promise<void> {
  const passkeys = await Promise.all(phones.map((one) => one.passkey()));
  const file = { count: 0, origin: phone.origin, rp_id: phone.rpId, passkeys, sessions: [] };
  writeFileSync(`${nats.directory}/${server}-passkeys.json`, JSON.stringify(file), { mode: 0o644 });
}

/** An order for a server, as the page makes it. */
function orderFor(server: string, order: Without<Order>): Order {
  return { ...newOrder(), server: nats.keyOf(server).publicKey, server_name: server, ...order } as Order;
}

async function signed(order: Order, by = phone): Promise<OrderFile> {
  return { order, by: 'Anna', assertion: await by.sign(order) };
}

/** What a server answers to an order of the hub. */
async function send(server: string, file: OrderFile): Promise<OrderResult> {
  const reply = await raw.call(server, 'order', file);
  expect(reply?.status).toBe(200);
  return reply?.body as OrderResult;
}

/** The fields of what an operation of a server answers. */
async function answerOf(...call: Parameters<RawHub['call']>): Promise<Readonly<Record<string, unknown>>> {
  return (await raw.call(...call))?.body as Readonly<Record<string, unknown>>;
}

/** A command of the hub that waits for a person on a server: its session and digest. */
async function waiting(server: string, cmd = `touch ${directory.join(`${server}-was-here`)}`) {
  const session = String((await answerOf(server, 'shell', { cmd }))['session']);
  return { session, digest: (await requestOf(server, session)).digest };
}

/** A request that waits on a server, and its digest. */
async function requestOf(server: string, session: string): Promise<ApprovalRequest & { readonly digest: string }> {
  const path = join(requestsDirectory(agents[server]?.sessionsDir ?? ''), `${session}.json`);
  const request = (await Bun.file(path).json()) as ApprovalRequest;
  return { ...request, digest: digestOf(request) };
}

async function statusOf(server: string, session: string): Promise<unknown> {
  return (await answerOf(server, 'read_session', { session }))['status'];
}

describe('an approval of the hub', () => {
  test('counts on the server whose key it names, and is on record there with its signature', async () => {
    const { session, digest } = await waiting('web1');
    const file = await signed(orderFor('web1', { kind: 'approve', session, digest }));
    expect(await send('web2', file)).toMatchObject({ state: 'refused', why: 'it is for another server' });
    expect(await send('web1', file)).toEqual({ id: file.order.id, state: 'done' });
    await eventually(
      'it has run',
      async () => (await answerOf('web1', 'read_session', { session }))['exit_code'] === 0,
    );
    const line = linesOf(recordOf('web1')).find((one) => one['decision'] === 'approved');
    expect(line).toMatchObject({ session, signed: { order: { server: nats.keyOf('web1').publicKey } } });
    // Played again, it finds nothing that waits.
    expect(await send('web1', file)).toMatchObject({ state: 'refused', why: 'it does not wait any more' });
  });

  test('of a request of its own client counts with the name alone that this server pinned, whatever the hub has shown', async () => {
    const { body } = (await agents['web1']?.call('shell', { cmd: 'touch none', background: true })) ?? {};
    const session = String(body?.session);
    const { digest, server } = await requestOf('web1', session);
    expect(server).toBeUndefined();
    const order = (server_name: string): Order => orderFor('web1', { kind: 'approve', session, digest, server_name });
    expect(await send('web1', await signed(order('web2')))).toMatchObject({
      state: 'refused',
      why: 'it was signed for web2, and this server is web1: the hub has shown a wrong name',
    });
    expect(await send('web1', await signed(order('web1')))).toMatchObject({ state: 'done' });
  });

  test('does not count without a signature, with a wrong one, by a passkey that is not pinned, or for no server', async () => {
    const { session, digest } = await waiting('web1');
    const order = orderFor('web1', { kind: 'approve', session, digest });
    const refused = async (file: OrderFile): Promise<string | undefined> => {
      const result = await send('web1', file);
      expect(result.state).toBe('refused');
      return result.why;
    };
    expect(await refused({ order, by: 'Anna' })).toBe('it needs the signature of a passkey');
    expect(await refused(await signed(order, new Authenticator()))).toBe('its passkey is not linked to this server');
    const other = new Authenticator(phone.origin, phone.rpId, phone.id);
    expect(await refused(await signed(order, other))).toContain('its signature does not');
    const { assertion } = await signed(orderFor('web1', { kind: 'approve', session, digest }));
    expect(await refused({ order, by: 'Anna', ...(assertion && { assertion }) })).toContain('its signature does not');
    const { server: _, ...nowhere } = order;
    expect(await refused(await signed(nowhere))).toContain('it names no server');
    expect(
      await refused(
        await signed(orderFor('web1', { kind: 'undo', change: session, path: '/x', expected: '', digest })),
      ),
    ).toContain('only from its own console');
    expect((await raw.call('web1', 'order', { order: { ...order, more: 1 }, by: 'Anna' }))?.status).toBe(400);
    // In a request that the hub has not signed, it does not arrive.
    const request = await raw.request('web1', 'order', await signed(order));
    expect(await raw.ask(raw.seal(request, SigningKey.create()), 'web1')).toBeUndefined();
    expect(await statusOf('web1', session)).toBe('waiting');
    expect(
      await send('web1', { order: orderFor('web1', { kind: 'deny', session, digest, why: 'no' }), by: 'Anna' }),
    ).toMatchObject({ state: 'done' });
    expect(await statusOf('web1', session)).toBe('denied');
    const line = linesOf(recordOf('web1')).find((one) => one['session'] === session && one['decision'] === 'denied');
    expect(line).toMatchObject({ by: 'Anna (console of hub)' });
  });
});

describe('an allowance for a token of the hub', () => {
  const TOKEN = 'robot#0123abcd';
  const MINUTE = 60_000;
  /** Has the token touch a file on a server. */
  const touch = (server = 'web1', principal = TOKEN) =>
    answerOf(server, 'shell', { cmd: `touch ${directory.join('allowed')}` }, { principal });
  /** The order that the page makes of a request. */
  const orderOf = async (session: string): Promise<AllowOrder> => {
    const { digest, profile, token, allowable } = await requestOf('web1', session);
    if (allowable === undefined) throw new Error('it cannot be allowed');
    const { rule, rule_sha256, cwd } = allowable;
    const [name = '', made = ''] = token.split('#');
    const scope = { token: name, made, profile, rule, rule_sha256, cwd, until: Date.now() + 15 * MINUTE };
    return orderFor('web1', { kind: 'allow', session, digest, ...scope }) as AllowOrder;
  };
  const why = async (file: OrderFile): Promise<string | undefined> => (await send('web1', file)).why;
  let order: AllowOrder;

  test('attack: stretched after it was signed, or signed for more than the request has, it allows nothing', async () => {
    order = await orderOf(String((await touch())['session']));
    expect(order).toMatchObject({ token: 'hub/robot', made: '0123abcd' });
    const file = await signed(order);
    for (const change of [
      { until: order.until + MINUTE },
      { cwd: '/' },
      { rule: 2 },
      { token: 'hub/someone' },
      { made: 'ffffffff' },
      { nonce: newOrder().nonce },
    ])
      expect(await why({ ...file, order: { ...order, ...change } })).toContain('its signature does not');
    const refused = async (change: Partial<AllowOrder>): Promise<string | undefined> =>
      why(await signed({ ...order, ...change }));
    expect(await refused({ token: 'hub/someone' })).toBe('it is about another token');
    // A token of the server with the same name.
    expect(await refused({ token: 'robot' })).toBe('it is about another token');
    expect(await refused({ cwd: '/' })).toBe('it is about another directory');
    expect(await refused({ until: order.at + 62 * MINUTE })).toContain('more than 60 minutes');
    expect(await refused({ server_name: 'web2' })).toContain('this server is web1');
    expect(await send('web2', file)).toMatchObject({ state: 'refused', why: 'it is for another server' });
    expect(await statusOf('web1', order.session)).not.toBe('done');
  });

  test('lets its rule run for this token on this server alone, and ends with the token', async () => {
    const file = await signed(order);
    expect(await send('web1', file)).toEqual({ id: order.id, state: 'done' });
    expect(await touch()).toMatchObject({ exit_code: 0 });
    expect(await touch('web1', 'someone#0123abcd')).toMatchObject({ status: 'waiting' });
    expect(await touch('web2')).toMatchObject({ status: 'waiting' });
    expect(await why(file)).toContain('does not wait any more');
    const start = linesOf(recordOf('web1')).find((line) => 'allowance' in line && line['event'] === 'start');
    expect(start).toMatchObject({ token: `hub/${TOKEN}`, allowance: [order.id] });
    expect((await raw.call('web1', 'ended', {}, { principal: TOKEN }))?.status).toBe(200);
    await eventually('it is over', () =>
      linesOf(recordOf('web1')).some(({ allowance, state }) => allowance === order.id && state === 'ended'),
    );
    expect(await touch()).toMatchObject({ status: 'waiting' });
    const { stdout, code } = await agent3(['audit', 'verify', '--file', recordOf('web1')]);
    expect([stdout, code]).toEqual([expect.stringContaining('orders signed by passkeys: '), 0]);
  });
});

test('a stop of the hub ends what runs, without a signature', async () => {
  const session = String((await answerOf('web2', 'shell', { cmd: 'sleep 1000', background: true }))['session']);
  expect(await send('web2', { order: orderFor('web2', { kind: 'stop', session }), by: 'Anna' })).toMatchObject({
    state: 'done',
  });
  await eventually('it has ended', async () => (await statusOf('web2', session)) === 'killed');
});

/** The freeze of a server; undefined while it has none. */
function freezeOf(server: string): FreezeEntry | undefined {
  return currentFreeze(readFreezes(directory.join(`${server}-approvals`)));
}

describe('freeze and thaw of the hub', () => {
  const thaw = (server: string, more: { readonly [_ in 'since' | 'again' | 'at']?: number } = {}): Order => {
    const { since = 0, again } = freezeOf(server) ?? {};
    return orderFor(server, { kind: 'thaw', since, ...(again !== undefined && { again }), ...more });
  };

  test('count once, a thaw with a signature for the freeze that was shown', async () => {
    const freeze: OrderFile = { order: orderFor('web1', { kind: 'freeze', reason: 'looking' }), by: 'Anna' };
    expect(await send('web2', freeze)).toMatchObject({ state: 'refused', why: 'it is for another server' });
    expect(await send('web1', freeze)).toMatchObject({ state: 'done' });
    expect(freezeOf('web1')).toMatchObject({ by: 'Anna (console of hub)', reason: 'looking' });
    expect((await raw.call('web1', 'shell', { cmd: 'true' }))?.status).toBe(503);
    const early = await signed(thaw('web1'));
    expect(await send('web1', { order: orderFor('web1', { kind: 'freeze', reason: '' }), by: 'Anna' })).toMatchObject({
      state: 'done',
    });
    const refused = async (file: OrderFile, why: string): Promise<void> =>
      expect(await send('web1', file)).toEqual({ id: file.order.id, state: 'refused', why });
    await refused(early, 'an order of the hub of the same time or later was already obeyed: try it again');
    await refused({ order: thaw('web1'), by: 'Anna' }, 'it needs the signature of a passkey');
    await refused(await signed(thaw('web1'), new Authenticator()), 'its passkey is not linked to this server');
    await refused(
      await signed(thaw('web1', { since: 1 })),
      'the freeze that it would end is over, and another one has begun',
    );
    await refused(
      await signed(thaw('web1', { at: Date.now() + 90_000_000 })),
      'it was signed more than a day ago, or ahead, by the clock of this server',
    );
    await refused(await signed(thaw('web1', { again: 1 })), 'somebody has frozen the server again since it was signed');
    const file = await signed(thaw('web1'));
    expect(await send('web1', file)).toMatchObject({ state: 'done' });
    expect(freezeOf('web1')).toBeUndefined();
    await refused(freeze, 'an order of the hub of the same time or later was already obeyed: try it again');
    expect(freezeOf('web1')).toBeUndefined();
    await eventually('the thaw is on record', () =>
      linesOf(recordOf('web1')).some(({ what, signed: proof }) => what === 'thawed' && proof !== undefined),
    );
  });

  test('go to root of a service, who believes nothing that the agent leaves', async () => {
    const root = (): ReturnType<typeof agent3> =>
      agent3(['console', 'obey', '--hub'], {
        AGENT3_HUB_FILE: join(nats.directory, 'web2.json'),
        AGENT3_HUB_ORDERS_DIR: LEFT,
        AGENT3_CONSOLE_ANSWERS: directory.join('answers'),
        AGENT3_APPROVALS_DIR: directory.join('web2-approvals'),
      });
    const leave = (id: string, envelope: Uint8Array): void =>
      writeFileSync(join(LEFT, `${id}.json`), JSON.stringify({ envelope: Buffer.from(envelope).toString('base64') }));
    const ordered = async (file: OrderFile): Promise<OrderResult> => {
      const result = send('web2', file);
      await eventually('the agent has left it', () => existsSync(join(LEFT, `${file.order.id}.json`)));
      await root();
      return result;
    };
    // What a command with the user of the agent may do to the directory: more files than root reads at once, and its mode.
    mkdirSync(LEFT, { recursive: true });
    for (let count = 0; count <= 20_000; count++) closeSync(openSync(join(LEFT, `junk${count}`), 'w'));
    chmodSync(LEFT, 0o777);
    expect(await root()).toMatchObject({ code: 0 });
    expect(readdirSync(LEFT)).toEqual([]);
    // Another one in its place, and a link.
    rmdirSync(LEFT);
    symlinkSync(directory.join('answers'), LEFT);
    const freeze: OrderFile = { order: orderFor('web2', { kind: 'freeze', reason: '' }), by: 'Anna' };
    expect(await ordered(freeze)).toMatchObject({ state: 'done' });
    const file = await signed(thaw('web2'));
    expect(await ordered(file)).toMatchObject({ state: 'done' });
    expect(freezeOf('web2')).toBeUndefined();

    // What a command with the user of the agent may leave: an order that was obeyed, one of its own, and junk.
    const again: OrderFile = { ...freeze, order: { ...freeze.order, id: newOrder().id } };
    leave(again.order.id, raw.seal(await raw.request('web2', 'order', again)));
    const own: OrderFile = { order: orderFor('web2', { kind: 'freeze', reason: '' }), by: 'Anna' };
    leave(own.order.id, raw.seal(await raw.request('web2', 'order', own), SigningKey.create()));
    leave(newOrder().id, raw.seal(await raw.request('web2', 'order', own)));
    writeFileSync(join(LEFT, `${newOrder().id}.json`), '{');
    mkdirSync(join(LEFT, 'junk/deep'), { recursive: true });
    const { stdout } = await root();
    expect(stdout).toContain('was already obeyed');
    expect(stdout).toContain('not an order of the hub: its signature is not that of');
    expect(stdout).toContain('its id is not that of its file');
    expect(freezeOf('web2')).toBeUndefined();
    expect(readdirSync(LEFT)).toEqual([]);

    // Root has moved directories with something in them next to that one: the agent removes them with its next order.
    const moved = (): string[] => readdirSync(dirname(LEFT)).filter((name) => /^removed-/.test(name));
    expect(moved()).toHaveLength(1);
    mkdirSync(join(dirname(LEFT), 'removed-by-the-owner'));
    expect(await ordered({ order: orderFor('web2', { kind: 'freeze', reason: '' }), by: 'Anna' })).toMatchObject({
      state: 'done',
    });
    await eventually('they are gone', () => moved().join() === 'removed-by-the-owner');
  });
});

describe('the passkeys of the hub', () => {
  test('change by a chain that goes forward, each link signed by a passkey that counts', async () => {
    const tablet = new Authenticator();
    const list = async (...phones: Authenticator[]): Promise<PasskeyList> => ({
      origin: phone.origin,
      rp_id: phone.rpId,
      passkeys: await Promise.all(phones.map(async (one) => ({ ...(await one.passkey()), made_at: 1 }))),
    });
    const pinned = (): HubPasskeys => JSON.parse(readFileSync(`${nats.directory}/web1-passkeys.json`, 'utf8'));
    const keys = async (next: PasskeyList, more: Partial<KeysOrder> = {}): Promise<Order> => {
      const previous = await listDigest(pinned());
      return { ...newOrder(), ...next, kind: 'keys', hub: nats.hub.publicKey, count: 1, previous, ...more };
    };
    const both = await list(phone, tablet);
    const why = async (order: Order, by = phone): Promise<string | undefined> =>
      (await send('web1', await signed(order, by))).why;
    expect(await why(await keys(both), tablet)).toBe('its passkey is not linked to this server');
    expect(await why(await keys(both, { count: 2 }))).toContain('change number 2');
    expect(await why(await keys(both, { previous: '0'.repeat(64) }))).toContain(
      'another list than the one pinned here',
    );
    expect(await why(await keys(both, { hub: nats.keyOf('web1').publicKey }))).toBe('it is of another hub');
    // Neither is shown to the person who signs.
    const [own] = both.passkeys;
    const named = own === undefined ? [] : [{ ...own, fingerprint: '0000 0000 0000 0000' }];
    expect(await why(await keys({ ...both, passkeys: named }))).toContain('its fingerprint is that of another key');
    expect(await why(await keys({ ...both, rp_id: 'example.org' }))).toContain('no passkey would count at');
    const first = await keys(both);
    expect(await why(first)).toBeUndefined();
    expect(pinned()).toMatchObject({ count: 1, passkeys: both.passkeys });
    expect(await why(first)).toContain('change number 1');

    const { session, digest } = await waiting('web1');
    const file = await signed(orderFor('web1', { kind: 'approve', session, digest }), tablet);
    expect(await send('web1', file)).toMatchObject({ state: 'done' });
    // Taken out by the tablet, the phone approves no more.
    expect(await why(await keys(await list(tablet), { count: 2 }), tablet)).toBeUndefined();
    const late = await waiting('web1');
    expect(await why(orderFor('web1', { kind: 'approve', ...late }))).toBe('its passkey is not linked to this server');
    const changes = (): unknown[] =>
      linesOf(recordOf('web1')).flatMap(({ what, count, signed: proof }) =>
        what === 'passkeys of the hub' && proof !== undefined ? [count] : [],
      );
    await eventually('both changes are on record', () => changes().join() === '1,2');
    const { stdout, code } = await agent3(['audit', 'verify', '--file', recordOf('web1')]);
    expect([stdout, code]).toEqual([expect.stringContaining('orders signed by passkeys: '), 0]);
  });
});
