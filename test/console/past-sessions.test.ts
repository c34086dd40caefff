import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { clientsOf } from '../../src/console/clients.ts';
import { outputPart, pastSessions, sessionDetails, timingPart } from '../../src/console/past-sessions.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { SessionRecord } from '../../src/sessions/record.ts';
import { Session } from '../../src/sessions/session.ts';
import { SessionStore } from '../../src/sessions/store.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const START = Date.parse('2026-11-30T00:00:00Z');
const COUNT = 5000;

/** A store that has a day of 5,000 sessions, one each 17 seconds, as its records are after a start of the agent. */
function fullStore(place: TemporaryDirectory): SessionStore {
  const ids = Array.from(
    { length: COUNT },
    (_, at) =>
      `${(START + at * 17_000)
        .toString(16)
        .padStart(12, '0')
        .replace(/^(.{8})/, '$1-')}-7000-8000-000000000000`,
  );
  const sessions = ids.map((id, at) => {
    const record = {
      ...{ session: id, principal: at % 2 === 0 ? 'deploy#a1' : 'chat', cmd: `echo Run ${at}`, cwd: '/', key: null },
      ...{
        status: at % 10 === 0 ? 'killed' : 'done',
        started_at: START + at * 17_000,
        ended_at: START + at * 17_000 + 5,
      },
      ...{ duration_ms: 5, exit_code: 0, stdout_bytes: 1, stderr_bytes: 0, execution_seconds: 9, process: null },
      ...{ survivors: 0, closed: false },
    } as unknown as SessionRecord;
    return new Session(id as Session['id'], place.join(id), record);
  });
  const store = new SessionStore(place.path, systemClock);
  store.newestFirst = () => [...sessions].reverse();
  return store;
}

describe('the sessions of a day', () => {
  const place = new TemporaryDirectory();
  let store: SessionStore;
  let turns = 0;
  const rest = async (): Promise<void> => {
    turns++;
  };
  const find = (filter: Parameters<typeof pastSessions>[1]) => pastSessions(store, filter, rest);

  beforeAll(() => {
    store = fullStore(place);
  });
  afterAll(() => place[Symbol.dispose]());

  test('are listed in pages, each once, the newest first', async () => {
    const seen: string[] = [];
    for (let before: string | null | undefined; before !== null; ) {
      const { sessions, next } = await find(before === undefined ? {} : { before });
      expect(sessions.length).toBe(100);
      seen.push(...sessions.map(({ cmd }) => cmd));
      before = next;
    }
    expect(seen).toEqual(Array.from({ length: COUNT }, (_, at) => `echo Run ${COUNT - 1 - at}`));
  });

  test('are searched by time, token, status and text, and others have their turns meanwhile', async () => {
    turns = 0;
    const { sessions, next, tokens, kept_since } = await find({ token: 'deploy', text: 'rUN 49', status: 'killed' });
    expect(sessions.map(({ cmd }) => cmd)).toEqual([
      ...Array.from({ length: 10 }, (_, at) => `echo Run ${4990 - 10 * at}`),
      'echo Run 490',
    ]);
    expect({ next, tokens, kept_since, turns }).toEqual({
      next: null,
      tokens: ['chat', 'deploy'],
      kept_since: START,
      turns: 10,
    });
    const hour = await find({ from: START + 3_600_000, to: START + 3_660_000 });
    expect(hour.sessions.map(({ cmd }) => cmd)).toEqual([
      'echo Run 215',
      'echo Run 214',
      'echo Run 213',
      'echo Run 212',
    ]);
  });

  test('say when clients were last here, and others have their turns meanwhile', async () => {
    turns = 0;
    const [first] = await clientsOf({
      ...{ store, tokensFile: undefined, usual: { name: 'chat', profile: 'full' }, rest },
      ...{ lastUseOf: () => undefined, signInOf: () => undefined },
    });
    expect(first).toMatchObject({ name: 'chat', last_used_at: START + (COUNT - 1) * 17_000 });
    expect(turns).toBe(10);
  });

  test('take well under 200 ms of the processor', async () => {
    await find({ text: 'warm' });
    const before = process.cpuUsage();
    await find({ text: 'none has this' });
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(200);
  });
});

describe('one session', () => {
  test('that is gone, says so; a file that a command has put in its place is not followed', () => {
    using place = new TemporaryDirectory();
    const store = new SessionStore(place.path, systemClock);
    store.open();
    const { session } = store.create({ principal: 'a', cmd: 'x', cwd: '/', key: null, execution_seconds: 9 });
    writeFileSync(session.path('stdout'), 'hello');
    expect(Buffer.from(outputPart(store, session.id, 'stdout', 1, 3).base64, 'base64').toString()).toBe('ell');
    expect(timingPart(store, session.id, 0)).toEqual({ base64: '', next: null });
    writeFileSync(place.join('secret'), 'secret');
    symlinkSync(place.join('secret'), session.path('timing'));
    expect(timingPart(store, session.id, 0)).toEqual({ base64: '', next: null });
    rmSync(session.path('stdout'));
    expect(() => outputPart(store, session.id, 'stdout', 0, 3)).toThrow('removed');
    store.discard(session);
    expect(sessionDetails(store, session.id)).toEqual({ expired: true });
    expect(() => timingPart(store, session.id, 0)).toThrow('expired');
    expect(readdirSync(place.path)).toContain('secret');
  });

  test('has a timing that is read in parts', () => {
    using place = new TemporaryDirectory();
    const store = new SessionStore(place.path, systemClock);
    store.open();
    const { session } = store.create({ principal: 'a', cmd: 'x', cwd: '/', key: null, execution_seconds: 9 });
    const bytes = crypto.getRandomValues(new Uint8Array(500_000).subarray(0, 65_536));
    const whole = Buffer.concat(Array.from({ length: 7 }, () => bytes));
    writeFileSync(session.path('timing'), whole);
    const parts: Buffer[] = [];
    for (let from: number | null = 0; from !== null; ) {
      const { base64, next } = timingPart(store, session.id, from);
      parts.push(Buffer.from(base64, 'base64'));
      from = next;
    }
    expect(parts.length).toBe(3);
    expect(Buffer.concat(parts).equals(whole)).toBe(true);
  });
});
