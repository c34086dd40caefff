import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { digestOf } from '../../../src/access/approval-request.ts';
import { BUILT_IN } from '../../../src/access/profile.ts';
import { WireRefusal } from '../../../src/console/channel.ts';
import type { State } from '../../../src/console/shown.ts';
import type { ShownFleet, ShownServer, WatchedFleet } from '../../../src/console/shown-servers.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { Hub } from '../../../src/fleet/hub.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawServer } from '../../helpers/raw-server.ts';
import { eventually } from '../../helpers/waiting.ts';

const CAREFUL = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n';
const SILENT: Logger = { info: () => {}, warn: () => {} };
const NOBODY = `U${'A'.repeat(55)}`;

describe("what a hub's console sees of its servers", () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  let nats: TestNats;
  let hub: Agent;
  let web1: Agent;
  let wire: WireClient;

  beforeAll(async () => {
    for (const name of ['profiles.d', 'approvals']) mkdirSync(place.join(name), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    nats = await TestNats.start('web1', 'web2');
    [web1, hub] = await Promise.all([
      startAgent({
        ...nats.serverSettings('web1', 'careful'),
        AGENT3_PROFILES_DIR: place.join('profiles.d'),
        AGENT3_APPROVALS_DIR: place.join('approvals'),
        AGENT3_PROFILE: 'careful',
      }),
      startAgent({ ...nats.hubSettings, ...files.settings }),
    ]);
    wire = new WireClient(files.settings.AGENT3_CONSOLE_SOCKET, files.settings.AGENT3_CONSOLE_KEY);
  });
  afterAll(async () => {
    wire?.close();
    for (const one of [hub, web1, nats]) await one?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const watch = async (version = 0, wait_ms = 0) =>
    (await wire.request('servers', { version, wait_ms })) as WatchedFleet;
  /** The server of this name, as soon as it is as it should be. */
  const shows = (name: string, what: string, isSo: (server: ShownServer) => boolean): Promise<ShownServer> =>
    eventually(`${name} ${what}`, async () => {
      const { fleet } = await watch();
      const found = fleet?.servers.find((one) => one.name === name);
      return found !== undefined && isSo(found) && found;
    });
  const readOf = (server: string, op: string, args: object) => wire.request('server-reading', { server, op, args });

  test('is each server with its labels, and since when one is away', async () => {
    const shown = await shows('web1', 'is known', ({ state, fault }) => state === 'connected' && fault === null);
    const expected = { key: nats.keyOf('web1').publicKey, labels: { role: 'web' }, state: 'connected' };
    expect(shown).toMatchObject({ ...expected, last_seen_at: null, frozen: null, waiting: [], running: [] });
    const { fleet } = await watch();
    const away = (fleet as ShownFleet).servers.find(({ name }) => name === 'web2');
    expect(away).toMatchObject({ state: 'unreachable', last_seen_at: null, version: null, waiting: [] });
    expect(((await wire.request('state', {})) as State).hub).toBe('hub');
  });

  test('is what waits there, whole, so that its digest can be made, and what runs, with its output', async () => {
    const { version } = await watch();
    const news = watch(version, 10_000);
    const waits = await web1.shell({ cmd: `rm -f none # ${'x'.repeat(1000)}` });
    const runs = await hub.call('shell', { server: 'web1', cmd: 'echo here; sleep 60', background: true });
    expect((await news).fleet?.servers).toHaveLength(2);
    const shown = await shows('web1', 'waits', (one) => one.waiting.length + one.running.length === 2);
    const [waiting] = shown.waiting;
    expect(waiting).toMatchObject({ session: waits.session, token: 'default', kind: 'command' });
    expect(waiting?.cmd).toHaveLength(300);
    const { text, next } = (await readOf(shown.key, 'request', { session: waits.session, from: 0 })) as {
      text: string;
      next: null;
    };
    expect(next).toBeNull();
    const request = JSON.parse(text);
    expect(request.cmd).toHaveLength(1013);
    expect(digestOf(request)).toMatch(/^[0-9a-f]{64}$/);
    const [running] = shown.running;
    expect(String(runs.body.session)).toBe(`${running?.session}@${shown.key.slice(2, 10).toLowerCase()}`);
    const output = await eventually('it has written', async () => {
      const part = { session: running?.session, stream: 'stdout', from: 0, bytes: 100 };
      const { base64, size } = (await readOf(shown.key, 'output', part)) as { base64: string; size: number };
      return size > 0 && atob(base64);
    });
    expect(output).toBe('here\n');
  });

  test('is nothing else: no clients, no orders, nothing of a server that is away or not of the fleet', async () => {
    const key = nats.keyOf('web1').publicKey;
    const refusals: [string, string, object][] = [
      [key, 'clients', {}],
      [key, 'order', { id: crypto.randomUUID(), wait_ms: 0 }],
      [key, 'history', {}],
      [key, 'request', { session: crypto.randomUUID(), from: 0 }],
      [key, 'output', { session: '../../etc/passwd', stream: 'stdout', from: 0, bytes: 10 }],
      [nats.keyOf('web2').publicKey, 'request', { session: crypto.randomUUID(), from: 0 }],
      [NOBODY, 'request', { session: crypto.randomUUID(), from: 0 }],
    ];
    for (const [server, op, args] of refusals)
      await expect(readOf(server, op, args), `${op} of ${server}`).rejects.toBeInstanceOf(WireRefusal);
    const logged = JSON.stringify(web1.logs);
    expect(logged).not.toContain('a question of the console of the hub failed');
  });

  test('is told to a person when something begins to wait there, and not more often than three times a minute', async () => {
    const { directory, certificate, hub: key } = nats;
    const access = { promisedProfile: () => BUILT_IN.readonly };
    const deps = { directory, certificate: readFileSync(certificate, 'utf8'), key, access, logger: SILENT };
    using second = new Hub({ ...deps, trail: { agent: () => {} }, endOfEarlier: undefined });
    let told = 0;
    second.onWaiting(() => told++);
    void second.start();
    await eventually('it knows web1', () => second.servers().some(({ state }) => state === 'connected'));
    // What waited before is told of as well.
    const before = told;
    await web1.shell({ cmd: 'rm -f none; echo another' });
    await eventually('it is told', () => told === before + 1);
    await using raw = await RawServer.open(nats, 'web2', () => undefined);
    for (const waiting of [1, 1, 0, 1, 0, 1, 0, 1, 0, 1]) {
      raw.shown = { waiting };
      raw.say();
    }
    await eventually(
      'the last is heard',
      () => second.servers().find(({ name }) => name === 'web2')?.shown?.waiting === 1,
    );
    expect(told).toBe(before + 4);
  });

  test('ends at once when the server goes away, and holds its end up for nobody', async () => {
    await watch();
    expect(await web1.stop()).toBe(0);
    const shown = await shows('web1', 'is away', ({ state }) => state === 'unreachable');
    expect(shown).toMatchObject({ waiting: [], running: [] });
    expect(shown.last_seen_at).toBeGreaterThan(Date.now() - 60_000);
  });
});
