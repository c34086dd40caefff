import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { currentFreeze, readFreezes } from '../../../src/access/freeze.ts';
import type { OrderFile, OrderResult } from '../../../src/console/order.ts';
import type { PassedLine } from '../../../src/console/passed-on.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawServer } from '../../helpers/raw-server.ts';

describe.skipIf(process.geteuid?.() !== 0)('root of the hub, without an agent', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  const APPROVALS = place.join('approvals');
  let nats: TestNats;
  let servers: RawServer[];
  const done = new Set<string>();

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    mkdirSync(APPROVALS, { mode: 0o755 });
    await files.pin();
    nats = await TestNats.start('web1', 'web2', 'silent', 'away', 'gone');
    servers = await Promise.all(
      ['web1', 'web2'].map((name) =>
        RawServer.open(nats, name, ({ args }) => {
          const { order } = args as OrderFile;
          done.add(`${name} ${order.kind}`);
          return order.kind === 'thaw' ? { state: 'refused', why: 'not frozen' } : { state: 'done' };
        }),
      ),
    );
    servers.push(await RawServer.open(nats, 'silent', () => undefined));
  });
  afterAll(async () => {
    for (const one of [...servers, nats]) await one[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const obey = () =>
    agent3(['console', 'obey'], { ...files.settings, ...nats.hubSettings, AGENT3_APPROVALS_DIR: APPROVALS });
  const keyOf = (server: string): string => nats.keyOf(server).publicKey;
  const freeze = (server: string): string => files.leave({ kind: 'freeze', reason: 'x', server: keyOf(server) });
  const answerOf = (id: string) => JSON.parse(readFileSync(`${files.answers}/order-${id}.json`, 'utf8')) as OrderResult;

  test('freezes itself and its servers at once, and answers for each, also for those that are away', async () => {
    nats.remove('gone');
    nats.write();
    const ids = { here: files.leave({ kind: 'freeze', reason: 'all' }), thaw: '' };
    const away = ['web1', 'web2', 'silent', 'away', 'gone'].map((name) => [name, freeze(name)] as const);
    ids.thaw = files.leave({ kind: 'thaw', since: 1, server: keyOf('web1') });
    const from = performance.now();
    expect(await obey()).toMatchObject({ code: 0, stderr: '' });
    expect(performance.now() - from).toBeLessThan(5000);
    expect(readdirSync(`${files.directory}/root-orders`)).toEqual([]);
    expect(currentFreeze(readFreezes(APPROVALS))).toMatchObject({ reason: 'all' });
    expect([...done].sort()).toEqual(['web1 freeze', 'web2 freeze']);
    const results = Object.fromEntries(away.map(([name, id]) => [name, answerOf(id)]));
    for (const name of ['web1', 'web2']) expect(results[name]).toMatchObject({ state: 'done' });
    expect(results['silent']).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('did not confirm the start within 2 s'),
    });
    expect(results['away']).toMatchObject({ state: 'refused', why: expect.stringContaining('away is not connected') });
    expect(results['gone']).toMatchObject({ state: 'refused', why: expect.stringContaining('no server of the fleet') });
    expect(answerOf(ids.thaw).why).toBe('somebody has frozen the server at the same time');
    const noted = readFileSync(`${nats.directory}/passed-on.jsonl`, 'utf8').trim().split('\n');
    const lines = noted.map((line) => JSON.parse(line) as PassedLine);
    for (const [name, order] of [...away, ['web1', ids.thaw] as const]) {
      const { state, why } = answerOf(order);
      // A server that is gone has no name any more.
      const server = name === 'gone' ? keyOf(name) : expect.stringMatching(new RegExp(`^${name}@|^${keyOf(name)}$`));
      const same = { server, passed_on: state, ...(why !== undefined && { why }) };
      expect(lines.filter((line) => line.order === order)).toMatchObject([same]);
    }
  });

  test('passes on a thaw with its signature, which the server judges, and nothing else', async () => {
    const server = keyOf('web1');
    const thaw = await files.leaveSigned({ kind: 'thaw', since: 1, server });
    const revoke = files.leave({ kind: 'revoke', token: 'reports', made: '1a2b3c4d', server });
    const old = files.leave({ kind: 'thaw', since: 1, server, at: Date.now() - 121_000 });
    await obey();
    expect(answerOf(thaw)).toMatchObject({ state: 'refused', why: 'not frozen' });
    expect(answerOf(revoke).why).toBe('it is for another server');
    expect(answerOf(old).why).toBe('it is older than 2 minutes');
    expect(servers[0]?.asked.at(-1)).toMatchObject({
      op: 'order',
      principal: 'console',
      args: { order: { id: thaw }, assertion: { type: 'public-key' } },
    });
  });

  test('says so soon where NATS does not run, or the settings are not those of a hub', async () => {
    await nats.kill();
    const id = freeze('web1');
    const from = performance.now();
    await obey();
    expect(performance.now() - from).toBeLessThan(15_000);
    expect(answerOf(id)).toMatchObject({ state: 'refused', why: expect.stringContaining('NATS cannot be reached') });
    const other = freeze('web1');
    await agent3(['console', 'obey'], { ...files.settings, AGENT3_APPROVALS_DIR: APPROVALS });
    expect(answerOf(other).why).toBe('it is for another server');
    writeFileSync(`${nats.directory}/servers.json`, 'x');
    const broken = freeze('web1');
    await obey();
    expect(answerOf(broken).why).toContain('servers.json is not valid');
  });
});
