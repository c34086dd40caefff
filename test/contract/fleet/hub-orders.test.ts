import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApprovalRequest, digestOf, requestsDirectory } from '../../../src/access/approval-request.ts';
import type { OrderResult } from '../../../src/console/order.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
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
  let web1: Agent;
  let silent: RawServer;
  let wire: WireClient;

  beforeAll(async () => {
    nats = await TestNats.start('web1', 'silent', 'away', 'gone');
    mkdirSync(place.join('profiles.d'));
    mkdirSync(place.join('approvals'), { mode: 0o750 });
    const rules = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "touch"\n';
    writeFileSync(place.join('profiles.d/careful.toml'), rules);
    web1 = await startAgent({
      ...nats.serverSettings('web1', 'careful'),
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_APPROVALS_DIR: place.join('approvals'),
    });
    const { origin, rpId: rp_id } = files.phone;
    const pinned = { count: 0, origin, rp_id, passkeys: [await files.phone.passkey()], sessions: [] };
    writeFileSync(join(nats.directory, 'web1-passkeys.json'), JSON.stringify(pinned), { mode: 0o644 });
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
    for (const one of [hub, web1, nats]) await one?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const keyOf = (name: string): string => nats.keyOf(name).publicKey;
  const resultOf = async (id: string) => (await wire.request('order', { id, wait_ms: 10_000 })) as OrderResult;

  /** A command that waits on web1: its session there, and what the page shows the digest of. */
  const waiting = async (name: string) => {
    const cmd = `touch ${place.join(name)}`;
    const { body } = await hub.call('shell', { server: 'web1', cmd, background: true });
    const session = String(body.session).split('@')[0] ?? '';
    const path = join(requestsDirectory(web1.sessionsDir), `${session}.json`);
    return { session, digest: digestOf((await Bun.file(path).json()) as ApprovalRequest) };
  };

  test('is obeyed there by its signature, and on record at the hub with the server', async () => {
    const { session, digest } = await waiting('approved');
    const order = { kind: 'approve', session, digest, server: keyOf('web1') } as const;
    const stranger = await files.leaveSigned(order, new Authenticator());
    expect(await resultOf(stranger)).toMatchObject({
      state: 'refused',
      why: 'its passkey is not linked to this server',
    });
    const id = await files.leaveSigned(order);
    expect(await resultOf(id)).toEqual({ id, state: 'done' });
    await eventually('it has run', () => Bun.file(place.join('approved')).exists());
    expect(linesOf(AUDIT).find((line) => line['order'] === id)).toMatchObject({
      what: 'order',
      kind: 'approve',
      server: `web1@${keyOf('web1').slice(2, 10).toLowerCase()}`,
      passed_on: 'done',
    });
  });

  test('denies, stops one and all without a signature', async () => {
    const { session, digest } = await waiting('denied');
    const server = keyOf('web1');
    const deny = files.leave({ kind: 'deny', session, digest, why: 'no', server });
    expect(await resultOf(deny)).toMatchObject({ state: 'done' });
    await hub.call('shell', { server: 'web1', cmd: 'sleep 1000', background: true });
    expect(await resultOf(files.leave({ kind: 'stop-all', server }))).toMatchObject({ state: 'done' });
    expect(await resultOf(files.leave({ kind: 'deny', session, digest, why: '', server }))).toMatchObject({
      state: 'refused',
      why: 'it waits no more',
    });
  });

  test('that is away, silent, or removed says so within two seconds', async () => {
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
      why: expect.stringMatching(/^nothing was done: away is not connected, and was not seen since /),
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
});
