import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApprovalRequest, digestOf, requestsDirectory } from '../../../src/access/approval-request.ts';
import { newOrder, type Order, type OrderFile, type OrderResult } from '../../../src/console/order.ts';
import { SigningKey } from '../../../src/fleet/keys.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import type { Without } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawHub } from '../../helpers/raw-hub.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const PROFILES = directory.join('profiles.d');
mkdirSync(PROFILES);
writeFileSync(`${PROFILES}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "touch"\n');

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
      AGENT3_APPROVALS_DIR: directory.join(`${name}-approvals`),
      AGENT3_AUDIT_FILE: recordOf(name),
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
  return { ...newOrder(), server: nats.keyOf(server).publicKey, ...order } as Order;
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
  const path = join(requestsDirectory(agents[server]?.sessionsDir ?? ''), `${session}.json`);
  const request = (await Bun.file(path).json()) as ApprovalRequest;
  return { session, digest: digestOf(request) };
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
    expect(await send('web1', file)).toMatchObject({ state: 'refused', why: 'it waits no more' });
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
    ).toContain('at its own console alone');
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

test('a stop of the hub ends what runs, without a signature', async () => {
  const session = String((await answerOf('web2', 'shell', { cmd: 'sleep 1000', background: true }))['session']);
  expect(await send('web2', { order: orderFor('web2', { kind: 'stop', session }), by: 'Anna' })).toMatchObject({
    state: 'done',
  });
  await eventually('it has ended', async () => (await statusOf('web2', session)) === 'killed');
});
