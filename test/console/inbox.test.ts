import { describe, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { Inbox } from '../../src/console/inbox.ts';
import { newOrder } from '../../src/console/order.ts';
import { ConsoleFiles } from '../helpers/console.ts';
import { eventually } from '../helpers/waiting.ts';

type Decision = { readonly session: string; readonly verdict: string };

/** An inbox on a clock that a test sets, and the decisions that it has brought. */
function open(files: ConsoleFiles) {
  const decisions: Decision[] = [];
  const time = { now: Date.now() };
  const warnings: string[] = [];
  const inbox = new Inbox({
    directory: files.directory,
    passkeysFile: files.passkeysFile,
    isService: false,
    approvals: {
      onApproving: () => {},
      decide: (decision: Decision) => {
        decisions.push(decision);
        return 'taken';
      },
    },
    commands: { isSupervised: () => false, stop: async () => {} },
    store: { all: () => [].values() },
    trail: { agent: () => {} },
    clock: { now: () => time.now, elapsed: () => time.now },
    logger: { warn: ({ fault }: { fault?: string }) => fault !== undefined && warnings.push(fault) },
  } as unknown as ConstructorParameters<typeof Inbox>[0]);
  return { inbox, decisions, time, warnings };
}

const SESSION = newOrder().id;
const denial = { kind: 'deny', session: SESSION, digest: 'a'.repeat(64), why: '' } as const;

describe.skipIf(process.geteuid?.() !== 0)('the inbox', () => {
  test('obeys an order once, also when its file comes again', async () => {
    using files = new ConsoleFiles();
    const { inbox, decisions, time } = open(files);
    const order = { ...newOrder(), ...denial };
    files.leave(order);
    inbox.look();
    expect(await inbox.result(order.id, 1000)).toEqual({ id: order.id, state: 'done' });
    for (const seconds of [1, 60, 200, 1000]) {
      time.now += seconds * 1000;
      rmSync(`${files.directory}/orders/${order.id}.json`);
      inbox.look();
      files.leave(order);
      inbox.look();
    }
    expect(decisions).toBeArrayOfSize(1);
  });

  test('refuses an order for another server', async () => {
    using files = new ConsoleFiles();
    const { inbox, decisions } = open(files);
    const order = { ...newOrder(), ...denial, server: `U${'A'.repeat(55)}` };
    files.leave(order);
    inbox.look();
    const why = 'it is for another server';
    expect(await inbox.result(order.id, 1000)).toEqual({ id: order.id, state: 'refused', why });
    expect(decisions).toEqual([]);
  });

  test('takes denials before approvals, in whatever order they lie there', async () => {
    using files = new ConsoleFiles();
    await files.pin();
    const { inbox, decisions } = open(files);
    const ids = [];
    for (let count = 0; count < 5; count++) {
      ids.push(await files.leaveSigned({ kind: 'approve', session: SESSION, digest: denial.digest }));
      ids.push(files.leave(denial));
    }
    inbox.look();
    for (const id of ids) await inbox.result(id, 5000);
    expect(decisions.map(({ verdict }) => verdict)).toEqual([...Array(5).fill('deny'), ...Array(5).fill('approve')]);
  });

  test('says so when there are too many, and continues when they are gone', async () => {
    using files = new ConsoleFiles();
    const { inbox, decisions, time, warnings } = open(files);
    const ids = Array.from({ length: 2001 }, () => files.leave(denial));
    await eventually('all that are read were read', () => {
      inbox.look();
      return inbox.fault !== undefined;
    });
    expect(decisions).toBeArrayOfSize(2000);
    expect(inbox.fault).toContain('more than 2000 orders');
    expect(warnings).toBeArrayOfSize(1);
    for (const id of ids) rmSync(`${files.directory}/orders/${id}.json`);
    time.now += 200_000;
    const id = files.leave({ ...denial, at: time.now });
    inbox.look();
    expect(inbox.fault).toBeUndefined();
    expect(await inbox.result(id, 1000)).toMatchObject({ state: 'done' });
  });

  test('holds the agent up for no more than a moment, whatever the console lays there', async () => {
    using files = new ConsoleFiles();
    const { inbox, decisions } = open(files);
    const deep = `${'['.repeat(32_000)}${']'.repeat(32_000)}`;
    for (let count = 0; count < 1000; count++) files.write({ id: newOrder().id, kind: 'deny' }, deep);
    const began = performance.now();
    for (let count = 0; count < 100; count++) inbox.look();
    // All of it takes several seconds.
    expect(performance.now() - began).toBeLessThan(1500);
    expect(decisions).toEqual([]);
    // One that starts then does not read them.
    const started = performance.now();
    open(files);
    expect(performance.now() - started).toBeLessThan(1500);
  });

  test('obeys nothing that was there before it, and nothing from before it', async () => {
    using files = new ConsoleFiles();
    const there = files.leave(denial);
    const { inbox, decisions, time } = open(files);
    const old = files.leave({ ...denial, at: time.now - 1 });
    inbox.look();
    for (const id of [there, old])
      expect(await inbox.result(id, 1000)).toMatchObject({
        state: 'refused',
        why: 'it is from before the start of the agent',
      });
    expect(decisions).toEqual([]);
  });
});
