import { expect, spyOn, test } from 'bun:test';
import { type FleetOfHub, type ServerOfFleet, ServersView } from '../../src/console/servers-view.ts';
import type { WatchedFleet } from '../../src/console/shown-servers.ts';
import { readTold } from '../../src/console/watched-server.ts';
import { eventually } from '../helpers/waiting.ts';

const ID = '0190b5a0-0000-7000-8000-000000000000';
const KEY = `U${'A'.repeat(55)}`;
const waiting = (session: string, more = {}) => ({
  ...{ session, number: 1, asked_at: 5000, expires_at: 9000, token: 'hub/reports', address: '', profile: 'careful' },
  ...{ cmd: 'rm x', chars: 900, kind: 'command', run: null, reason: 'rule 1' },
  ...more,
});
const state = (more = {}) => ({
  now: 3000,
  frozen: null,
  waiting: [],
  running: [],
  ended: [],
  allowances: [],
  ...more,
});
const idOf = (n: number): string => `${ID.slice(0, -4)}${String(n).padStart(4, '0')}`;

test('what a server answers is read by its form alone, and its times by the clock of the hub', () => {
  const hostile = { waiting: [waiting(ID, { html: '<b>' })], secret: 1, frozen: null };
  const read = readTold({ version: 7, state: state(hostile), pieces: [] }, 1000);
  expect(read).toMatchObject({ version: 7, told: { aheadMs: 2000, counts: { waiting: 1, running: 0 } } });
  expect(read?.told?.waiting).toEqual([{ ...waiting(ID), asked_at: 3000, expires_at: 7000, kind: 'command' }]);
  expect(readTold({ version: 7 }, 1000)).toEqual({ version: 7, told: undefined });
  const wrong = [
    { session: '../x' },
    { cmd: 'x'.repeat(401) },
    { cmd: 7 },
    { expires_at: Number.POSITIVE_INFINITY },
    { kind: '' },
  ];
  for (const field of wrong)
    expect(readTold({ version: 7, state: state({ waiting: [waiting(ID, field)] }) }, 0), JSON.stringify(field)).toBe(
      undefined,
    );
  for (const answer of [null, [], 'x', {}, { version: 'x' }, { version: 1, state: {} }])
    expect(readTold(answer, 0)).toBe(undefined);
});

/** A hub with servers that answer so. */
function hubOf(servers: readonly Partial<ServerOfFleet>[], answer: (key: string) => unknown) {
  const asked: string[] = [];
  const fleet: FleetOfHub = {
    name: () => 'hub',
    changeOfKeys: () => undefined,
    servers: () =>
      servers.map((one, at) => ({
        ...{ name: `web${at}`, key: KEY.slice(0, -1) + 'ABCDEFGH'[at], labels: {}, state: 'connected' as const },
        ...{ lastSeenAt: 5, shown: { version: '1', frozen: false } },
        ...one,
      })),
    ask: async (key, args, { deadline, cancelled: over }) => {
      asked.push(key.slice(-1));
      const { version } = (args as { args: { version: number } }).args;
      if (version !== 0) await deadline.waitFor(over);
      return answer(key);
    },
  };
  const view = new ServersView(fleet);
  const watch = async (version = 0, wait_ms = 0): Promise<WatchedFleet> =>
    (await view.answer('servers', { version, wait_ms }, new AbortController().signal))?.() as WatchedFleet;
  return { asked, watch };
}

test('servers are asked from the first look on, those that are away never, and nothing new is no answer', async () => {
  const { asked, watch } = hubOf([{}, { state: 'unreachable' }], () => ({ version: 1, state: state() }));
  expect(asked).toEqual([]);
  expect((await watch()).fleet?.servers).toMatchObject([{ fault: '' }, { state: 'unreachable', last_seen_at: 5 }]);
  const { version } = await eventually('it has answered', async () => {
    const found = await watch();
    return found.fleet?.servers[0]?.fault === null && found;
  });
  expect(await watch(version, 200)).toEqual({ version });
  expect(new Set(asked)).toEqual(new Set(['A']));
});

test('a server that writes a lot takes no room of another, and says how much has none', async () => {
  const long = Array.from({ length: 100 }, (_, n) =>
    waiting(idOf(n), { cmd: '\u0001'.repeat(400), token: '\u0001'.repeat(400) }),
  );
  const { watch } = hubOf([{}, {}], (key) => ({
    version: 1,
    state: state({ waiting: key.endsWith('A') ? long : [waiting(ID)] }),
  }));
  const [loud, quiet] = await eventually('both have answered', async () => {
    const { servers = [] } = (await watch()).fleet ?? {};
    return servers.every(({ fault }) => fault === null) && servers;
  });
  expect(quiet).toMatchObject({ waiting: [{ session: ID }], more_waiting: 0 });
  expect(loud?.waiting.length).toBeLessThan(40);
  expect((loud?.waiting.length ?? 0) + (loud?.more_waiting ?? 0)).toBe(100);
  expect(JSON.stringify(loud).length).toBeLessThan(150_000);
});

test('what servers send is written out once, however much it is and however often it is looked who is connected', async () => {
  const text = '\u0001'.repeat(400);
  const most = { token: text, address: text, profile: text, cmd: text, reason: text };
  const all = state({ waiting: Array.from({ length: 100 }, (_, at) => waiting(idOf(at), most)) });
  const { watch } = hubOf([{}, {}], () => ({ version: 1, state: all }));
  await watch();
  await eventually('all are shown', async () => (await watch()).fleet?.servers.every(({ fault }) => fault === null));
  const { stringify } = JSON;
  const written: number[] = [];
  using _spy = spyOn(JSON, 'stringify').mockImplementation((value: unknown) => {
    const made = stringify(value);
    written.push(made.length);
    return made;
  });
  const looks = (): number => written.filter((length) => length > 100_000).length;
  // All that is shown, once for each look: what one server has sent is longer.
  await eventually('it was looked twice', () => looks() > 1, 5000);
  expect(Math.max(...written)).toBeLessThan(400_000);
});
