import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApprovalRequest, digestOf, requestsDirectory } from '../../../src/access/approval-request.ts';
import { currentFreeze, readFreezes } from '../../../src/access/freeze.ts';
import { listDigest, type OrderResult } from '../../../src/console/order.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import type { NumberedList } from '../../../src/fleet/key-chain.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawServer } from '../../helpers/raw-server.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

describe.skipIf(process.geteuid?.() !== 0)("an order at the hub's console for a server", () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles(undefined, 0);
  const AUDIT = place.join('hub.jsonl');
  let nats: TestNats;
  let hub: Agent;
  const servers: Record<string, Agent> = {};
  let silent: RawServer;
  let wire: WireClient;

  beforeAll(async () => {
    nats = await TestNats.start('web1', 'web2', 'silent', 'away', 'gone');
    mkdirSync(place.join('profiles.d'));
    for (const name of ['hub', 'web1', 'web2']) mkdirSync(approvalsOf(name), { mode: 0o750 });
    const rules = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "touch"\n';
    writeFileSync(place.join('profiles.d/careful.toml'), rules);
    const { origin, rpId: rp_id } = files.phone;
    const pinned = { count: 0, origin, rp_id, passkeys: [await files.phone.passkey()], sessions: [] };
    for (const name of ['web1', 'web2']) {
      writeFileSync(join(nats.directory, `${name}-passkeys.json`), JSON.stringify(pinned), { mode: 0o644 });
      servers[name] = await startAgent({
        ...nats.serverSettings(name, 'careful'),
        AGENT3_PROFILES_DIR: place.join('profiles.d'),
        AGENT3_APPROVALS_DIR: approvalsOf(name),
        AGENT3_AUDIT_FILE: recordOf(name),
      });
    }
    silent = await RawServer.open(nats, 'silent', () => undefined);
    await files.pin();
    hub = await startAgent({ ...files.settings, ...nats.hubSettings, AGENT3_AUDIT_FILE: AUDIT });
    wire = new WireClient(files.settings.AGENT3_CONSOLE_SOCKET, files.settings.AGENT3_CONSOLE_KEY);
    await eventually(
      'web1 is called',
      async () => (await hub.call('shell', { server: 'web1', cmd: 'true' })).status === 200,
    );
  });
  afterAll(async () => {
    wire?.close();
    await silent?.[Symbol.asyncDispose]();
    for (const one of [hub, ...Object.values(servers), nats]) await one?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const approvalsOf = (name: string): string => place.join(`${name}-approvals`);
  const keyOf = (name: string): string => nats.keyOf(name).publicKey;
  const signedFor = (name: string) => ({ server: keyOf(name), server_name: name });
  const tagged = (name: string): string => `${name}@${keyOf(name).slice(2, 10).toLowerCase()}`;
  const recordOf = (name: string): string => place.join(`${name}.jsonl`);
  /** The lines about an order on the record of the hub, and on that of a server. */
  const onBoth = (id: string, name = 'web1') =>
    [AUDIT, recordOf(name)].map((path) => linesOf(path).filter(({ what, order }) => what === 'order' && order === id));
  const resultOf = async (id: string) => (await wire.request('order', { id, wait_ms: 10_000 })) as OrderResult;

  /** An agent of development runs root's process itself. */
  const answerOfRoot = (id: string): Promise<OrderResult> =>
    eventually('root has answered', async () => {
      const file = Bun.file(`${files.answers}/order-${id}.json`);
      return (await file.exists()) && ((await file.json()) as OrderResult);
    });

  /** A command that waits on web1: its session there, and what the page shows the digest of. */
  const waiting = async (name: string) => {
    const cmd = `touch ${place.join(name)}`;
    const { body } = await hub.call('shell', { server: 'web1', cmd, background: true });
    const session = String(body.session).split('@')[0] ?? '';
    const path = join(requestsDirectory(servers['web1']?.sessionsDir ?? ''), `${session}.json`);
    return { session, digest: digestOf((await Bun.file(path).json()) as ApprovalRequest) };
  };

  test('is obeyed there by its signature, and on record at the hub with the server', async () => {
    const { session, digest } = await waiting('approved');
    const order = { kind: 'approve', session, digest, ...signedFor('web1') } as const;
    const stranger = await files.leaveSigned(order, new Authenticator());
    expect(await resultOf(stranger)).toMatchObject({
      state: 'refused',
      why: 'its passkey is not linked to this server',
    });
    const id = await files.leaveSigned(order);
    expect(await resultOf(id)).toEqual({ id, state: 'done' });
    await eventually('it has run', () => Bun.file(place.join('approved')).exists());
    const by = `Pixel 9 (passkey ${(await files.phone.passkey()).fingerprint})`;
    const passed = { kind: 'approve', server: tagged('web1'), passed_on: 'done', by, signed: { order: { id } } };
    expect(onBoth(id)).toMatchObject([[passed], [{ kind: 'approve', by: 'Anna (console of hub)' }]]);
    expect(onBoth(stranger)).toMatchObject([
      [{ passed_on: 'refused', by: 'Anna (console)', why: 'its passkey is not linked to this server' }],
      [{ refused: 'its passkey is not linked to this server' }],
    ]);
  });

  test('denies, stops one and all without a signature', async () => {
    const { session, digest } = await waiting('denied');
    const server = keyOf('web1');
    const deny = files.leave({ kind: 'deny', session, digest, why: 'no', server });
    expect(await resultOf(deny)).toMatchObject({ state: 'done' });
    await hub.call('shell', { server: 'web1', cmd: 'sleep 1000', background: true });
    const stop = files.leave({ kind: 'stop-all', server });
    expect(await resultOf(stop)).toMatchObject({ state: 'done' });
    for (const id of [deny, stop])
      expect(onBoth(id)).toMatchObject([
        [{ server: tagged('web1'), passed_on: 'done', by: 'Anna (console)' }],
        [{ by: 'Anna (console of hub)' }],
      ]);
    expect(await resultOf(files.leave({ kind: 'deny', session, digest, why: '', server }))).toMatchObject({
      state: 'refused',
      why: 'it does not wait any more',
    });
  });

  test('that is away, silent, or removed says so within two seconds', async () => {
    const away = files.leave({ kind: 'freeze', reason: '', server: keyOf('away') });
    expect((await answerOfRoot(away)).why).toContain('away is not connected');
    const passed = { kind: 'freeze', server: tagged('away'), passed_on: 'refused', by: 'Anna (console)' };
    await eventually('it is on record', () => onBoth(away)[0]?.length === 1);
    expect(onBoth(away)[0]).toMatchObject([{ ...passed, why: expect.stringContaining('away is not connected') }]);
    nats.remove('gone');
    nats.reload();
    const order = { kind: 'stop-all' } as const;
    const said = async (name: string) => {
      const from = performance.now();
      const result = await resultOf(files.leave({ ...order, server: keyOf(name) }));
      expect(performance.now() - from).toBeLessThan(2500);
      return result;
    };
    await eventually('the hub knows that it is gone', async () =>
      (await said('gone')).why?.includes('no server of the fleet'),
    );
    expect(await said('away')).toMatchObject({
      state: 'refused',
      why: expect.stringMatching(/^nothing was done: away is not connected, and has not been seen since /),
    });
    expect(await said('silent')).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('It may have been done'),
    });
    expect(silent.asked.at(-1)).toMatchObject({ op: 'order', args: { order, by: 'Anna' } });
  });

  test('of another kind is refused, and so is one of root that lies among those of the agent', async () => {
    const server = keyOf('web1');
    const id = files.leave({ kind: 'hand-back', session: crypto.randomUUID(), server });
    expect(await resultOf(id)).toMatchObject({ state: 'refused', why: 'it is for another server' });
  });

  test('freezes and thaws two servers through root, also while the agent of the hub is dead', async () => {
    await hub.kill9();
    const names = ['web1', 'web2'];
    const freezeOf = (name: string) => currentFreeze(readFreezes(approvalsOf(name)));
    /** What root answers to orders that are there together. */
    const obeyed = async (ids: readonly string[]): Promise<unknown[]> => {
      const env = { ...files.settings, ...nats.hubSettings, AGENT3_APPROVALS_DIR: approvalsOf('hub') };
      expect(await agent3(['console', 'obey'], env)).toMatchObject({ code: 0, stderr: '' });
      return ids.map((id) => JSON.parse(readFileSync(`${files.answers}/order-${id}.json`, 'utf8')) as OrderResult);
    };
    const freeze = { kind: 'freeze', reason: 'all' } as const;
    const ids = [files.leave(freeze), ...names.map((name) => files.leave({ ...freeze, server: keyOf(name) }))];
    expect(await obeyed(ids)).toMatchObject([{ state: 'done' }, { state: 'done' }, { state: 'done' }]);
    for (const name of ['hub', ...names]) expect(freezeOf(name)).toMatchObject({ reason: 'all' });
    const thaws = await Promise.all(
      names.map((name) => files.leaveSigned({ kind: 'thaw', since: freezeOf(name)?.since ?? 0, ...signedFor(name) })),
    );
    expect(await obeyed(thaws)).toMatchObject([{ state: 'done' }, { state: 'done' }]);
    expect(names.map(freezeOf)).toEqual([undefined, undefined]);
    expect(freezeOf('hub')).toBeDefined();
    // The agent puts on record what it has missed.
    await hub.restart();
    const [, ...freezes] = ids;
    for (const [at, name] of names.entries()) {
      const passed = { server: tagged(name), passed_on: 'done', at: expect.stringMatching(/^\d{4}-.*Z$/) };
      const server = { by: 'Anna (console of hub)' };
      expect(onBoth(freezes[at] ?? '', name)).toMatchObject([[{ ...passed, kind: 'freeze' }], [server]]);
      const signed = { order: { kind: 'thaw', server_name: name } };
      expect(onBoth(thaws[at] ?? '', name)).toMatchObject([[{ ...passed, kind: 'thaw', signed }], [server]]);
    }
    expect((await agent3(['audit', 'verify', '--file', AUDIT])).code).toBe(0);
    await hub.kill9();
  });

  test('changes the passkeys of both servers in two steps, also of one that was away for the first', async () => {
    const { phone } = files;
    const tablet = new Authenticator();
    const known = (name: string) =>
      JSON.parse(readFileSync(join(nats.directory, `${name}-passkeys.json`), 'utf8')) as NumberedList;
    const onHub = (...args: string[]) =>
      agent3(['fleet', ...args, '--dir', nats.directory], { ...files.settings, ...nats.hubSettings });
    /** Pins passkeys at the hub, and signs that for the servers. */
    const change = async (by: Authenticator, ...phones: Authenticator[]): Promise<OrderResult> => {
      await files.pinOnly(...phones);
      const { count, ...last } = JSON.parse((await onHub('passkeys')).stdout) as NumberedList;
      const passkeys = await Promise.all(phones.map((one) => one.passkey()));
      const previous = await listDigest(last);
      const link = { ...last, passkeys, kind: 'keys', hub: nats.hub.publicKey, count: count + 1, previous } as const;
      return answerOfRoot(await files.leaveSigned(link, by));
    };
    await hub.restart();
    expect((await onHub('passkeys')).stdout).toContain('"count":0');
    await servers['web2']?.stop();
    expect(await change(phone, phone, tablet)).toMatchObject({ state: 'done' });
    await eventually('web1 knows the tablet', () => known('web1').count === 1);
    expect(await change(tablet, tablet)).toMatchObject({ state: 'done' });
    await eventually('web1 knows the phone no more', () => known('web1').count === 2);
    expect(known('web2').count).toBe(0);
    await servers['web2']?.restart();
    await eventually('web2 knows the same', () => known('web2').count === 2);
    expect(known('web2').passkeys).toEqual(known('web1').passkeys);
    await eventually('web2 says so', async () => !(await onHub('list')).stdout.includes('behind'));
    expect(await change(phone, tablet, phone)).toMatchObject({
      state: 'refused',
      why: expect.stringContaining('do not know'),
    });
    const changes = linesOf(AUDIT).filter(({ what, by }) => what === 'passkeys of the hub' && by !== 'root');
    expect(changes).toMatchObject([
      { count: 1, signed: { order: { kind: 'keys' }, passkey: { id: phone.id } } },
      { count: 2, signed: { passkey: { id: tablet.id } } },
    ]);
    expect((await agent3(['audit', 'verify', '--file', AUDIT])).code).toBe(0);
    const { session, digest } = await waiting('by-tablet');
    const order = { kind: 'approve', session, digest, ...signedFor('web1') } as const;
    expect(await resultOf(await files.leaveSigned(order, phone))).toMatchObject({
      why: 'its passkey is not linked to this server',
    });
    expect(await resultOf(await files.leaveSigned(order, tablet))).toMatchObject({ state: 'done' });
  });
});
