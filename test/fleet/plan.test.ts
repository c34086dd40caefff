import { describe, expect, test } from 'bun:test';
import { planDigest, signedPlanOf } from '../../src/access/approval-request.ts';
import type { PlanOfCall, WholePlan } from '../../src/access/plan.ts';
import type { Answer } from '../../src/calls/context.ts';
import type { FleetServer } from '../../src/fleet/door.ts';
import { PlanDesk } from '../../src/fleet/plan-desk.ts';
import { type CallOne, Run } from '../../src/fleet/run.ts';
import { RunApproval, type SendOrder } from '../../src/fleet/run-approval.ts';
import { Runs } from '../../src/fleet/runs.ts';
import { stopRun } from '../../src/fleet/stop-run.ts';
import { OneShotEvent } from '../../src/lib/clock.ts';
import { eventually } from '../helpers/waiting.ts';

const keyOf = (name: string): string => `U${name.toUpperCase().padEnd(55, 'A')}`;
const INSTANCE = crypto.randomUUID();
const WEB1 = { name: 'web1', key: keyOf('web1'), instance: INSTANCE };
const OTHER = { name: 'db', key: keyOf('db'), instance: crypto.randomUUID() };
const PLAN: WholePlan = {
  hub: keyOf('hub'),
  run: crypto.randomUUID(),
  principal: 'reports#1a2b3c4d',
  salt: crypto.randomUUID(),
  args: { cmd: 'systemctl restart nginx', max_output: 8192 },
  servers: [WEB1, OTHER],
};
/** What a person has signed. */
const SIGNED = planDigest(signedPlanOf(PLAN));

const membership = { hub_key: PLAN.hub, name: 'web1', key: WEB1.key };
const desk = (): PlanDesk => new PlanDesk(membership, INSTANCE);
const callOf = ({ run, salt, servers, args, principal }: WholePlan) => ({
  plan: { run, salt, servers },
  args,
  principal,
});

describe('a server', () => {
  test('takes the plan that its call is a part of, once', () => {
    const one = desk();
    const taken = one.take(callOf(PLAN));
    expect(taken && planDigest(taken)).toBe(SIGNED);
    expect(() => one.take(callOf(PLAN))).toThrow('was asked about this plan before');
    expect(one.take({ args: PLAN.args, principal: PLAN.principal })).toBeUndefined();
  });

  test.each([
    ['another command', { args: { ...PLAN.args, cmd: 'rm -rf /srv' } }],
    ['one more argument', { args: { ...PLAN.args, cwd: '/root' } }],
    ['another token', { principal: 'reports#ffffffff' }],
    ['another run', { run: crypto.randomUUID() }],
    ['another salt', { salt: crypto.randomUUID() }],
    ['a server that was added after it was signed', { servers: [...PLAN.servers, { ...OTHER, name: 'db2' }] }],
    ['a server less', { servers: [WEB1] }],
    ['another order of servers', { servers: [OTHER, WEB1] }],
  ])('makes another plan of %s', (_, change) => {
    const taken = desk().take(callOf({ ...PLAN, ...change }));
    expect(taken && planDigest(taken)).not.toBe(SIGNED);
  });

  test('makes another plan of a call of another hub', () => {
    const taken = new PlanDesk({ ...membership, hub_key: keyOf('mallory') }, INSTANCE).take(callOf(PLAN));
    expect(taken && planDigest(taken)).not.toBe(SIGNED);
  });

  test.each([
    ['does not name it', [OTHER], 'does not name this server'],
    ['has another name for it', [{ ...WEB1, name: 'web2' }], 'does not name this server'],
    ['has it twice', [WEB1, WEB1], 'does not name this server'],
    ['is of a process of before', [{ ...WEB1, instance: crypto.randomUUID() }], 'was started after'],
  ])('refuses a plan that %s', (_, servers, why) => {
    expect(() => desk().take(callOf({ ...PLAN, servers }))).toThrow(why);
  });
});

test.each([
  ['context', 'deploy'],
  ['env', { PATH: '/tmp' }],
  ['dialog', []],
  ['interactive', true],
  ['pty', true],
])('a plan is of what run_on sends: not with %s, whose effect a person does not see', (name, value) => {
  const call = callOf({ ...PLAN, args: { ...PLAN.args, [name]: value } });
  expect(() => desk().take(call)).toThrow(`a plan does not allow ${name}`);
});

/** Servers that ask about each command, and what a test sees of them. */
class Asking {
  readonly calls: { readonly name: string; readonly plan: PlanOfCall | undefined }[] = [];
  readonly killed: string[] = [];
  readonly orders: string[] = [];
  readonly #done = new Map<string, OneShotEvent>();
  readonly run: Run;
  readonly call: CallOne;
  /** Servers that orders do not reach. */
  readonly away = new Set<string>();

  constructor(
    names: readonly string[],
    batches: readonly number[],
    parallel = 16,
    asks = (_: string) => true,
    readonly runs = new Runs(),
  ) {
    const servers = names.map((name) => ({ name, tag: name, key: keyOf(name), labels: {} }) as unknown as FleetServer);
    this.call = async ({ name }, op, { session }, plan): Promise<Answer> => {
      if (op === 'kill_session') {
        this.killed.push(String(session));
        this.#end(name).fire();
        return { status: 'denied', signalled: 0 };
      }
      if (op === 'shell') this.calls.push({ name, plan });
      if (!asks(name) || this.#end(name).fired)
        return { exit_code: 0, stdout: 'ok', session: `${name}@aaaaaaaa`, next_offset: 2, eof: true };
      if (op === 'read_session') await Bun.sleep(1);
      return { status: 'waiting', session: `${name}@aaaaaaaa` };
    };
    const send: SendOrder = async ({ name }, file) => {
      if (this.away.has(name)) return { state: 'refused', why: 'it is away' };
      this.orders.push(`${file} ${name}`);
      this.#end(name).fire();
      return { state: 'done' };
    };
    this.run = new Run(
      // A token has 8 runs at most.
      `reports#${Math.random()}`,
      { servers, args: { ...PLAN.args }, parallel, batches, maxFailures: 0 },
      this.call,
      (run, rest) =>
        new RunApproval(
          { ...PLAN, run: run.id, servers: rest.map(({ name, key }) => ({ name, key, instance: INSTANCE })) },
          send,
          this.runs.changed,
        ),
    );
    this.runs.begin(this.run);
  }

  decide(kind: 'approve' | 'deny', digest = this.run.approval?.digest ?? ''): Promise<string | undefined> {
    return this.runs.decide(this.run.id, digest, { kind, file: kind, taken: () => {} });
  }

  async waiting(...names: readonly string[]): Promise<void> {
    await eventually(`${names} wait`, () => this.run.approval?.waiting.join() === names.join());
  }

  async finished(): Promise<void> {
    await eventually('the run is over', () => this.run.finished.fired);
  }

  #end(name: string): OneShotEvent {
    const end = this.#done.get(name) ?? new OneShotEvent();
    this.#done.set(name, end);
    return end;
  }
}

describe('a run', () => {
  test('asks once for all but the canary, and for those that ask later as well', async () => {
    const asking = new Asking(['web1', 'web2', 'web3', 'web4'], [1, 2, 1], 1, (name) => name !== 'web1');
    await asking.waiting('web2');
    expect(asking.calls.map(({ name, plan }) => [name, plan?.servers.map((one) => one.name)])).toEqual([
      ['web1', undefined],
      ['web2', ['web2', 'web3', 'web4']],
    ]);
    expect(asking.runs.plans()).toMatchObject([{ servers: ['web[2-4]'], count: 3, waiting: ['web2'], decided: null }]);
    expect(JSON.parse(asking.runs.planText(asking.run.id) ?? '')).toMatchObject({ canary: [{ servers: ['web1'] }] });
    expect(await asking.decide('approve', 'f'.repeat(64))).toBe('the plan that waits is not what was shown');
    expect(await asking.decide('approve')).toBeUndefined();
    await asking.finished();
    // What was read to its end is all: no session holds more.
    const result = { name: 'web2', exitCode: 0, stdout: 'ok', stderr: '' };
    expect(asking.run.progress.get('web2')).toEqual({ kind: 'done', result });
    expect(asking.orders).toEqual(['approve web2', 'approve web3', 'approve web4']);
    expect(asking.calls.map(({ name }) => name)).toEqual(['web1', 'web2', 'web3', 'web4']);
    expect(await asking.decide('approve')).toBe('the run is over');
  });

  test('runs without a person where nothing asks, and has no plan for one server', async () => {
    const free = new Asking(['web1', 'web2'], [2], 16, () => false);
    await free.finished();
    expect(free.orders).toEqual([]);
    expect(free.runs.plans()).toEqual([]);
    const one = new Asking(['web1'], [1], 16, () => false);
    await one.finished();
    expect(one.calls).toEqual([{ name: 'web1', plan: undefined }]);
  });

  test('is one of at most 32 that are listed, with 20 names: what the console shows has to fit', async () => {
    const letters = Array.from({ length: 26 }, (_, at) => String.fromCharCode(97 + at));
    const asking = new Asking(letters, [26]);
    await asking.waiting(...letters.slice(0, 16));
    expect(asking.runs.plans()).toMatchObject([{ servers: letters.slice(0, 20), count: 26 }]);
    const others = Array.from({ length: 40 }, () => new Asking(['web1', 'web2'], [2], 2, undefined, asking.runs));
    for (const other of others) await other.waiting('web1', 'web2');
    expect(asking.runs.plans()).toHaveLength(32);
    for (const { run, call } of [asking, ...others]) void stopRun(run, 'TERM', call);
  });

  test('that was denied begins nothing more', async () => {
    const all = new Asking(['web1', 'web2', 'web3'], [3], 2);
    await all.waiting('web1', 'web2');
    expect(await all.decide('deny')).toBeUndefined();
    expect(await all.decide('approve')).toBe('the plan was denied');
    await all.finished();
    expect(all.orders).toEqual(['deny web1', 'deny web2']);
    expect(all.calls.map(({ name }) => name)).toEqual(['web1', 'web2']);
    expect(all.run.progress.get('web3')).toEqual({ kind: 'not started' });
    const batches = new Asking(['web1', 'web2', 'web3'], [1, 1, 1], 1, (name) => name !== 'web1');
    await batches.waiting('web2');
    await batches.decide('deny');
    await batches.finished();
    expect(batches.run.progress.get('web3')).toEqual({ kind: 'not started' });
  });

  test('that was approved approves on a server once it is back, and runs nothing twice', async () => {
    const asking = new Asking(['web1', 'web2'], [2]);
    asking.away.add('web2');
    await asking.waiting('web1', 'web2');
    expect(await asking.decide('approve')).toBeUndefined();
    await eventually('web2 is known to be away', () => asking.runs.plans()[0]?.refused.length === 1);
    asking.away.delete('web2');
    await asking.finished();
    expect(asking.orders).toEqual(['approve web1', 'approve web2']);
    expect(asking.calls.map(({ name }) => name)).toEqual(['web1', 'web2']);
  });

  test('that is stopped takes back what waits, and is not approved any more', async () => {
    const asking = new Asking(['web1', 'web2', 'web3'], [3], 2);
    await asking.waiting('web1', 'web2');
    const stopped = stopRun(asking.run, 'TERM', asking.call);
    expect(await asking.decide('approve')).toBe('the run was stopped');
    await stopped;
    await asking.finished();
    // Each server knows its own session, without the letters of its key.
    expect(asking.killed.sort()).toEqual(['web1', 'web2']);
    expect(asking.orders).toEqual([]);
    expect(asking.calls.map(({ name }) => name)).toEqual(['web1', 'web2']);
  });

  test('says where nobody takes the approval, and takes another one then', async () => {
    const asking = new Asking(['web1', 'web2'], [2]);
    for (const name of ['web1', 'web2']) asking.away.add(name);
    await asking.waiting('web1', 'web2');
    expect(await asking.decide('approve')).toBe('web1: it is away');
    asking.away.clear();
    expect(await asking.decide('approve')).toBeUndefined();
    await asking.finished();
  });
});
