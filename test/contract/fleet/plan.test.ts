import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ApprovalRequest,
  digestOf,
  planDigest,
  requestsDirectory,
  signedPlanOf,
} from '../../../src/access/approval-request.ts';
import type { WholePlan } from '../../../src/access/plan.ts';
import { newOrder, type Order, type OrderResult } from '../../../src/console/order.ts';
import type { CanaryGroup, State, WaitingPlan } from '../../../src/console/shown.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawHub } from '../../helpers/raw-hub.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

/** web4 asks nobody; the rules of web5 refuse what the others ask about. */
const PROFILES = { careful: 'confirm', strict: 'deny' };
const SERVERS = { web1: 'careful', web2: 'careful', web3: 'careful', web4: 'full', web5: 'strict' };
type Name = keyof typeof SERVERS;

const directory = new TemporaryDirectory();
const files = new ConsoleFiles();
const DONE = directory.join('done');
/** Writes a line on each server where it runs. */
const CMD = `touch ${DONE}; echo x >> ${DONE}`;

let nats: TestNats;
let hub: Agent;
let raw: RawHub;
let wire: WireClient;
const agents = new Map<Name, Agent>();

const recordOf = (name: string): string => directory.join(`${name}.jsonl`);

async function startServer(name: Name): Promise<void> {
  agents.set(
    name,
    await startAgent({
      ...nats.serverSettings(name, SERVERS[name]),
      AGENT3_PROFILES_DIR: directory.join('profiles.d'),
      AGENT3_APPROVALS_DIR: directory.join('approvals'),
      AGENT3_AUDIT_FILE: recordOf(name),
    }),
  );
}

/** Pins the passkeys of these phones on a server, as `agent3 join` does. */
async function pin(name: Name, ...phones: Authenticator[]): Promise<void> {
  const { origin, rpId: rp_id } = files.phone;
  const passkeys = await Promise.all(phones.map((one) => one.passkey()));
  const file = { count: 0, origin, rp_id, passkeys, sessions: [] };
  writeFileSync(`${nats.directory}/${name}-passkeys.json`, JSON.stringify(file), { mode: 0o644 });
}

beforeAll(async () => {
  for (const name of ['profiles.d', 'approvals']) mkdirSync(directory.join(name), { mode: 0o750 });
  for (const [name, action] of Object.entries(PROFILES)) {
    const text = `extends = "full"\n[[rules]]\naction = "${action}"\ncommand = "touch"\n`;
    writeFileSync(directory.join(`profiles.d/${name}.toml`), text);
  }
  nats = await TestNats.start(...Object.keys(SERVERS));
  const names = Object.keys(SERVERS) as Name[];
  await files.pin();
  await Promise.all(names.map((name) => pin(name, files.phone)));
  await Promise.all(names.map(startServer));
  hub = await startAgent({ ...nats.hubSettings, ...files.settings, AGENT3_AUDIT_FILE: recordOf('hub') });
  wire = new WireClient(files.settings.AGENT3_CONSOLE_SOCKET, files.settings.AGENT3_CONSOLE_KEY);
  raw = await RawHub.open(nats);
  await connected(names.length);
});
afterAll(async () => {
  wire?.close();
  await raw?.[Symbol.asyncDispose]();
  await hub?.[Symbol.asyncDispose]();
  for (const agent of agents.values()) await agent[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  for (const one of [files, directory]) one[Symbol.dispose]();
});

type Fields = Readonly<Record<string, unknown>>;

async function call(operation: string, args: Fields): Promise<Fields> {
  const init = { method: 'POST', headers: { 'x-auth-token': hub.token }, body: JSON.stringify(args) };
  const { status, text } = await hub.request(`/${operation}`, init);
  return { ...(JSON.parse(text) as Fields), http: status };
}

async function connected(count: number): Promise<void> {
  await eventually(`${count} servers are connected`, async () => {
    const { servers } = await call('list_servers', {});
    return (servers as Fields[]).filter(({ state }) => state === 'connected').length === count;
  });
}

/** Runs that a test has seen. */
const seen = new Set<string>();

/** A run whose plan waits on these servers. Who waits for a person is answered at once. */
async function begun(args: Fields, waiting: string) {
  const { run } = await call('run_on', { cmd: CMD, ...args });
  const item = await planOn(waiting);
  expect(item.run).toBe(String(run));
  return { run: item.run, item };
}

/** The plan of a new run that waits on these servers. */
async function planOn(waiting: string): Promise<WaitingPlan> {
  const item = await eventually('the plan waits', async () => {
    const { plans } = (await wire.request('state', {})) as State;
    return plans.find((one) => !seen.has(one.run) && one.waiting.join() === waiting);
  });
  seen.add(item.run);
  return item;
}

async function shownPlan(run: string) {
  const { text } = (await wire.request('plan', { run, from: 0 })) as { readonly text: string };
  return JSON.parse(text) as { readonly plan: WholePlan; readonly canary: readonly CanaryGroup[] };
}

async function resultOf(id: string): Promise<OrderResult> {
  return (await wire.request('order', { id, wait_ms: 10_000 })) as OrderResult;
}

async function approve(run: string, plan: string): Promise<OrderResult> {
  return resultOf(await files.leaveSigned({ kind: 'approve-plan', run, plan }));
}

async function ended(run: string): Promise<Fields> {
  return eventually('the run is over', async () => {
    const shown = await call('read_run', { run, wait: 1 });
    return shown['status'] !== 'running' && shown;
  });
}

const timesRun = (): number => {
  try {
    return readFileSync(DONE, 'utf8').split('x').length - 1;
  } catch {
    return 0;
  }
};

/** How many requests wait on a server. */
const asksOn = (name: Name): ApprovalRequest[] => {
  const place = requestsDirectory(agents.get(name)?.sessionsDir ?? '');
  try {
    return readdirSync(place).map((file) => JSON.parse(readFileSync(join(place, file), 'utf8')) as ApprovalRequest);
  } catch {
    return [];
  }
};

describe.skipIf(process.geteuid?.() !== 0)('one approval for a run', () => {
  test('is shown with the output of the canary, counts on each server once, and is on the record of all', async () => {
    const before = timesRun();
    const first = await call('run_on', { servers: ['web[1-4]'], cmd: CMD, batches: [1, '100%'] });
    // The canary asks as a single call does, and the answer does not wait for a person.
    expect(first).toMatchObject({ status: 'running', waiting: ['web1'], not_started: ['web[2-4]'] });
    expect(first).not.toHaveProperty('plan');
    const [canary] = asksOn('web1');
    if (canary === undefined) throw new Error('nothing waits on web1');
    expect(canary).not.toHaveProperty('plan');
    const { publicKey: server } = nats.keyOf('web1');
    const order = { kind: 'approve', session: canary.session, digest: digestOf(canary) } as const;
    await files.leaveSigned({ ...order, server, server_name: 'web1' });
    const item = await planOn('web[2-3]');
    const { run } = item;
    expect(item).toMatchObject({ servers: ['web[2-4]'], count: 3, decided: null });
    expect(await call('read_run', { run })).toMatchObject({
      waiting: ['web[2-3]'],
      plan: true,
      message: expect.stringContaining('at the console of the hub'),
    });
    const shown = await shownPlan(run);
    expect(planDigest(signedPlanOf(shown.plan))).toBe(item.plan);
    expect(shown.plan.servers.map(({ key }) => key)).toEqual(
      ['web2', 'web3', 'web4'].map((name) => nats.keyOf(name).publicKey),
    );
    expect(shown.canary).toMatchObject([{ servers: ['web1'], exit_code: 0 }]);
    expect(await approve(run, item.plan)).toMatchObject({ state: 'done' });
    expect(await ended(run)).toMatchObject({ run, status: 'done', groups: [{ servers: ['web[1-4]'], exit_code: 0 }] });
    expect(timesRun() - before).toBe(4);
    for (const [name, count] of [
      ['web2', 1],
      ['web3', 1],
      ['web4', 0],
      ['hub', 1],
    ] as const) {
      const signed = linesOf(recordOf(name)).filter(
        ({ signed }) => (signed as { order?: Order } | undefined)?.order?.kind === 'approve-plan',
      );
      expect(signed).toHaveLength(count);
      const verified = await agent3(['audit', 'verify', '--file', recordOf(name)]);
      expect(verified).toMatchObject({ code: 0 });
      if (count > 0) expect(verified.stdout).toContain('orders signed by passkeys: ');
    }
  });

  test('does not count without a signature, by a passkey that a server has not pinned, or for another plan', async () => {
    const before = timesRun();
    const { run, item } = await begun({ servers: ['web[1-2]'] }, 'web[1-2]');
    const unsigned = await resultOf(files.leave({ kind: 'approve-plan', run, plan: item.plan }));
    expect(unsigned).toMatchObject({ state: 'refused', why: 'it needs the signature of a passkey' });
    expect(await approve(run, 'f'.repeat(64))).toMatchObject({ why: 'the plan that waits is not what was shown' });
    await Promise.all((['web1', 'web2'] as const).map((name) => pin(name, new Authenticator())));
    const strange = await approve(run, item.plan);
    expect(strange.why).toMatch(/^web[12]: its passkey is not linked to this server$/);
    expect(timesRun()).toBe(before);
    await Promise.all((['web1', 'web2'] as const).map((name) => pin(name, files.phone)));
    expect(await approve(run, item.plan)).toMatchObject({ state: 'done' });
    await ended(run);
    expect(timesRun() - before).toBe(2);
  });

  test('that is denied ends all that wait, and nothing more begins', async () => {
    const before = timesRun();
    const { run, item } = await begun({ servers: ['web[1-3]'], parallel: 2 }, 'web[1-2]');
    const denied = await resultOf(files.leave({ kind: 'deny-plan', run, plan: item.plan, why: 'not today' }));
    expect(denied).toMatchObject({ state: 'done' });
    expect(await ended(run)).toMatchObject({
      status: 'stopped',
      not_started: ['web3'],
      groups: [{ servers: ['web[1-2]'], status: 'denied', stderr: expect.stringContaining('not today') }],
      message: expect.stringContaining('A person has denied it'),
    });
    expect(await approve(run, item.plan)).toMatchObject({ state: 'refused' });
    expect(timesRun()).toBe(before);
    const lines = linesOf(recordOf('web1')).filter(({ event }) => event === 'decision');
    expect(lines.at(-1)).toMatchObject({ decision: 'denied', run, by: 'Anna (console of hub)' });
  });

  test('widens no rule: what a server denies stays denied, and where nothing asks it runs at once', async () => {
    const before = timesRun();
    const { run, item } = await begun({ servers: ['web1', 'web[4-5]'] }, 'web1');
    await eventually('web4 has run it', () => timesRun() - before === 1);
    expect(await approve(run, item.plan)).toMatchObject({ state: 'done' });
    const shown = await ended(run);
    expect(shown['groups']).toMatchObject([{ servers: ['web[1,4]'] }, { servers: ['web5'], status: 'denied' }]);
    expect(timesRun() - before).toBe(2);
  });

  test('is passed on to a server that was away, and runs nothing twice', async () => {
    const before = timesRun();
    const { run, item } = await begun({ servers: ['web[1-2]'] }, 'web[1-2]');
    const pid = agents.get('web2')?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      expect(await approve(run, item.plan)).toMatchObject({ state: 'done' });
      await eventually('web1 has run it', () => timesRun() - before === 1);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await ended(run);
    expect(timesRun() - before).toBe(2);
  });
});

test('a run that is stopped withdraws what waits, and its plan is approved no more', async () => {
  const before = timesRun();
  const { run, item } = await begun({ servers: ['web[1-3]'], parallel: 2 }, 'web[1-2]');
  expect(await call('kill_session', { session: run })).toMatchObject({
    withdrawn: ['web[1-2]'],
    not_started: ['web3'],
    http: 200,
  });
  expect(await ended(run)).toMatchObject({ status: 'stopped', not_started: ['web3'] });
  expect(asksOn('web1')).toEqual([]);
  expect(await approve(run, item.plan)).toMatchObject({ state: 'refused', why: 'the run was stopped' });
  expect(timesRun()).toBe(before);
  const lines = linesOf(recordOf('web1')).filter(({ op, event }) => op === 'kill_session' || event === 'decision');
  expect(
    lines
      .slice(-2)
      .map(({ op, event }) => op ?? event)
      .sort(),
  ).toEqual(['decision', 'kill_session']);
});

test.skipIf(process.geteuid?.() !== 0)('agent3 exec says that one approval is waited for', async () => {
  const exec = agent3(['exec', '-n', '--server', 'web[1-2]', CMD], {
    AGENT3_URL: hub.url,
    AGENT3_API_TOKEN: hub.token,
  });
  const item = await planOn('web[1-2]');
  await approve(item.run, item.plan);
  expect(await exec).toMatchObject({
    code: 0,
    stdout: 'web[1-2]:\n',
    stderr: 'agent3: waiting for one approval at the console of the hub: web[1-2]\n',
  });
});

describe('a hub that lies', () => {
  /** A call as the hub makes it for a plan that a person has signed; and what it changes of that. */
  async function asked(change: Partial<WholePlan> = {}, changes: Fields = {}) {
    const state = await raw.request('web1', 'shell', {});
    const web1 = { name: 'web1', key: nats.keyOf('web1').publicKey, instance: state.instance };
    const plan: WholePlan = {
      hub: nats.hub.publicKey,
      run: crypto.randomUUID(),
      principal: 'someone#1a2b3c4d',
      salt: crypto.randomUUID(),
      args: { cmd: CMD },
      servers: [web1],
    };
    const { run, salt, servers, args } = { ...plan, ...change };
    const reply = await raw.call('web1', 'shell', args, { plan: { run, salt, servers: [...servers] }, ...changes });
    return { plan, reply, body: reply?.body as Fields };
  }

  async function tell(plan: WholePlan, at = Date.now()): Promise<Fields> {
    const order = {
      ...newOrder(at),
      kind: 'approve-plan',
      run: plan.run,
      plan: planDigest(signedPlanOf(plan)),
    } as Order;
    const file = { order, by: 'Anna', assertion: await files.phone.sign(order) };
    return (await raw.call('web1', 'order', file))?.body as Fields;
  }

  test('gets nothing approved but what was signed: this command, token, run, and these servers, once', async () => {
    const before = timesRun();
    const lies: [Partial<WholePlan>, Fields][] = [
      [{ args: { cmd: `${CMD}; id` } }, {}],
      [{ args: { cmd: CMD, cwd: '/' } }, {}],
      [{}, { principal: 'other#1a2b3c4d' }],
      [{ run: crypto.randomUUID() }, {}],
    ];
    const sessions: unknown[] = [];
    for (const [change, changes] of lies) {
      const { plan, body } = await asked(change, changes);
      expect(body).toMatchObject({ status: 'waiting' });
      sessions.push(body['session']);
      expect(await tell(plan)).toMatchObject({ state: 'refused', why: 'nothing waits here for this plan' });
    }
    const { plan, body } = await asked();
    const again = { run: plan.run, salt: plan.salt, servers: plan.servers };
    const second = await raw.call('web1', 'shell', plan.args, { plan: again });
    expect(second).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining('was asked about this plan before') },
    });
    expect(await tell(plan)).toMatchObject({ state: 'done' });
    expect(await tell(plan)).toMatchObject({ state: 'refused' });
    const third = await raw.call('web1', 'shell', plan.args, { plan: again });
    expect(third).toMatchObject({ status: 409 });
    await eventually('it has run', () => timesRun() - before === 1);
    // Kept for long: a signature of some days ago counts no more, whatever the hub says of it.
    const late = await asked();
    for (const days of [-2, 2])
      expect(await tell(late.plan, Date.now() + days * 86_400_000)).toMatchObject({
        why: expect.stringContaining('more than a day'),
      });
    sessions.push(late.body['session']);
    expect(body).toMatchObject({ status: 'waiting' });
    for (const session of sessions) await raw.call('web1', 'kill_session', { session });
  });

  test('is refused a plan that names another server, another process of this one, or this one twice', async () => {
    const state = await raw.request('web1', 'shell', {});
    const own = { name: 'web1', key: nats.keyOf('web1').publicKey, instance: state.instance };
    const other = { ...own, key: nats.keyOf('web2').publicKey, name: 'web2' };
    for (const servers of [
      [other],
      [{ ...own, name: 'web2' }],
      [own, own],
      [{ ...own, instance: crypto.randomUUID() }],
    ]) {
      const { reply } = await asked({ servers });
      expect(reply).toMatchObject({ status: 409, body: { error: 'Conflict' } });
    }
  });
});
