import { describe, expect, test } from 'bun:test';
import type { Answer } from '../../src/calls/context.ts';
import { chooseServers, planBatches } from '../../src/fleet/choose.ts';
import type { FleetServer } from '../../src/fleet/door.ts';
import { groupResults, type Result } from '../../src/fleet/groups.ts';
import { expandNames } from '../../src/fleet/names.ts';
import { type CallOne, Run } from '../../src/fleet/run.ts';
import { type Stops, stopRun } from '../../src/fleet/stop-run.ts';
import { OneShotEvent } from '../../src/lib/clock.ts';
import { OutcomeUnknown, ServerRefusal, ServerUnreachable, SessionNotFound } from '../../src/lib/errors.ts';
import { foldNames } from '../../src/lib/fold-names.ts';
import { eventually } from '../helpers/waiting.ts';

describe('names in short', () => {
  test.each([
    [['web1'], ['web1']],
    [['web1', 'web2', 'web3', 'web7'], ['web[1-3,7]']],
    [
      ['web01', 'web02', 'web10'],
      ['web[01-02]', 'web10'],
    ],
    [
      ['db', 'web2.example.org', 'web1.example.org'],
      ['db', 'web[1-2].example.org'],
    ],
    [
      ['a1b2', 'a1b3', 'a2b2'],
      ['a1b[2-3]', 'a2b2'],
    ],
    [['7', '8'], ['[7-8]']],
    [[], []],
  ])('%p are %p', (names, folded) => {
    expect(foldNames(names)).toEqual(folded);
    expect(folded.flatMap(expandNames).sort()).toEqual([...names].sort());
  });

  test.each(['web[', 'web]1', 'web[1-]', 'web[3-1]', 'web[1-2000]', 'web[a-c]', 'web[1][2]', 'web[]'])(
    '%s is refused',
    (pattern) => {
      expect(() => expandNames(pattern)).toThrow(/at most 1000, not/);
    },
  );
});

const server = (name: string, labels: Record<string, string> = {}) => ({ name, labels });
const ALL = [
  server('db', { role: 'db', env: 'prod' }),
  ...['web1', 'web2', 'web3'].map((name) => server(name, { role: 'web', env: name === 'web3' ? 'test' : 'prod' })),
];
const namesOf = (choice: Parameters<typeof chooseServers>[1]): string[] =>
  chooseServers(ALL, choice).map(({ name }) => name);

describe('a choice of servers', () => {
  test('goes by names, by labels that are all there, and without what is excepted', () => {
    // In the order in which they are named: the first is the canary.
    expect(namesOf({ servers: ['web[1-2]', 'db', 'web1'] })).toEqual(['web1', 'web2', 'db']);
    expect(namesOf({ servers: ['web2', 'web[1-3]'], except: ['web1'] })).toEqual(['web2', 'web3']);
    expect(namesOf({ select: 'role=web' })).toEqual(['web1', 'web2', 'web3']);
    expect(namesOf({ select: 'role=web, env=prod', except: ['web2'] })).toEqual(['web1']);
  });

  test.each([
    [{}, 'either servers or select'],
    [{ servers: ['web1'], select: 'role=web' }, 'either servers or select'],
    [{ servers: [] }, 'chooses no server'],
    [{ servers: ['web[1-5]'] }, 'no server web[4-5]'],
    [{ servers: ['web1'], except: ['web1'] }, 'chooses no server'],
    [{ servers: ['web1'], except: ['web9'] }, 'no server web9'],
    [{ select: 'role=mail' }, 'chooses no server'],
    [{ select: 'role' }, 'select must be name=value'],
    [{ select: '' }, 'select must be name=value'],
    [{ select: 'constructor=x' }, 'chooses no server'],
  ])('%p is refused: %s', (choice, why) => {
    expect(() => namesOf(choice)).toThrow(why);
  });
});

describe('batches', () => {
  test.each([
    [20, [], [20]],
    [20, [1, '10%', '100%'], [1, 2, 17]],
    [3, [1, '10%', '100%'], [1, 1, 1]],
    [1, [1, '100%'], [1]],
    [10, [4, 4, 4], [4, 4, 2]],
    [10, ['5', '100%'], [5, 5]],
  ])('of %i by %p are %p', (count, batches, sizes) => {
    expect(planBatches(count, batches)).toEqual(sizes);
  });

  test.each([
    [20, [1, '10%'], 'cover only 3 of 20'],
    [5, [0], 'not 0'],
    [5, ['0%', '100%'], '0%'],
    [5, ['101%'], '101%'],
    [5, [-1], 'not -1'],
    [5, ['half'], 'half'],
  ])('of %i by %p are refused: %s', (count, batches, why) => {
    expect(() => planBatches(count, batches)).toThrow(why);
  });
});

const result = (name: string, stdout: string, more: Partial<Result> = {}): Result => ({
  ...{ name, stdout, stderr: '', exitCode: 0 },
  ...more,
});

describe('results', () => {
  test('are grouped by what is equal, the largest group first, the others as a difference where that is shorter', () => {
    const text = Array.from({ length: 40 }, (_, at) => `line ${at}\n`).join('');
    const results = [
      result('web1', text.replace('line 20\n', 'other\n')),
      ...['web2', 'web3', 'web4'].map((name) => result(name, text)),
      result('web5', 'short\n'),
      result('web6', text, { exitCode: 1 }),
      result('web7', text, { stderr: 'warning\n' }),
    ];
    let groups = groupResults(results, 100_000);
    // On a busy machine a comparison may take longer than it may: then all of the output is shown.
    for (let again = 0; again < 20 && groups[1]?.diff === undefined; again++) groups = groupResults(results, 100_000);
    expect(groups.map(({ servers }) => servers)).toEqual([['web[2-4]'], ['web1'], ['web5'], ['web6'], ['web7']]);
    expect(groups[0]).toEqual({ servers: ['web[2-4]'], exit_code: 0, stdout: text });
    expect(groups[1]?.diff).toBe('@@ -20,3 +20,3 @@\n line 19\n-line 20\n+other\n line 21\n');
    expect(groups[1]).not.toHaveProperty('stdout');
    expect(groups[2]).toMatchObject({ stdout: 'short\n' });
    expect(groups[3]).toMatchObject({ exit_code: 1, stdout: text });
    expect(groups[4]).toMatchObject({ stdout: text, stderr: 'warning\n' });
  });

  test('of a hundred servers that agree are one short line', () => {
    const results = Array.from({ length: 100 }, (_, at) => result(`web${at + 1}`, '6.1.0-28-amd64\n'));
    expect(JSON.stringify(groupResults(results, 10_000))).toBe(
      '[{"servers":["web[1-100]"],"exit_code":0,"stdout":"6.1.0-28-amd64\\n"}]',
    );
  });

  test('leave out what does not fit, and say how much', () => {
    const results = ['a', 'b', 'c'].map((name, at) => result(name, String(at).repeat(400)));
    const [first, ...others] = groupResults(results, 900);
    expect(first?.stdout).toHaveLength(400);
    expect(others.map(({ omitted_chars }) => omitted_chars)).toEqual([undefined, 402]);
  });

  test('name sessions that hold more', () => {
    const [group] = groupResults([result('a', 'x', { session: 'S@T' }), result('b', 'x')], 100);
    expect(group).toMatchObject({ servers: ['a', 'b'], sessions: { a: 'S@T' } });
  });
});

test('a pattern of too many names is refused before they are made', () => {
  const ranges = Array(100_000).fill('1-1000').join(',');
  expect(() => expandNames(`w[${ranges}]`)).toThrow('at most 1000');
  expect(() => chooseServers(ALL, { servers: Array(500).fill('w[1-1000]') })).toThrow('at most 2000 servers');
});

test('outputs that differ in every line hold the hub up for a moment alone', () => {
  const text = (seed: number): string => Array.from({ length: 4000 }, (_, at) => `${(at * seed) % 7919}\n`).join('');
  const results = Array.from({ length: 100 }, (_, at) => result(`web${at}`, text(at + 1)));
  const groups = groupResults(results, 10_000_000);
  expect(groups).toHaveLength(100);
  // Where there is no time to compare, the output itself is shown.
  expect(groups.at(-1)?.stdout).toHaveLength(results.at(-1)?.stdout.length ?? 0);
});

test('a server that answers at once that its command runs is not asked without a pause; one that was removed is given up', async () => {
  const servers = ['web1', 'web2'].map((name) => ({ ...server(name), tag: 'x', key: name }) as unknown as FleetServer);
  let looks = 0;
  const run = new Run(
    'token',
    { servers, args: { max_output: 3 }, parallel: 2, batches: [2], maxFailures: 0 },
    async (one, op) => {
      if (op === 'shell') return { status: 'running', session: `${one.name}@x`, stdout: '' };
      if (one.name === 'web2') throw new SessionNotFound('It was removed from the fleet.');
      looks++;
      return looks < 5
        ? { status: 'running', session: 'web1@x', stdout: '' }
        : { exit_code: 0, stdout: 'longer than it may be', session: 'web1@x', next_offset: 21, eof: true };
    },
    () => undefined,
  );
  const from = performance.now();
  await run.start();
  expect(performance.now() - from).toBeGreaterThan(1000);
  // The session holds more.
  expect(run.progress.get('web1')).toEqual({
    kind: 'done',
    result: { name: 'web1', exitCode: 0, stdout: 'lon', stderr: '', session: 'web1@x' },
  });
  expect(run.progress.get('web2')).toMatchObject({ kind: 'failed', message: 'It was removed from the fleet.' });
});

test('a command whose server refuses for a moment to be asked about it is followed to its end', async () => {
  const refusals = [
    new ServerRefusal(503, 'Shutting down', 'web1: it stops', { 'retry-after': '2' }),
    new ServerRefusal(429, 'Too many requests', 'web1: too many', { 'retry-after': '1' }),
  ];
  const servers = [{ ...server('web1'), tag: 'x', key: 'web1' } as unknown as FleetServer];
  const run = new Run(
    'token',
    { servers, args: { max_output: 9 }, parallel: 1, batches: [1], maxFailures: 0 },
    async (_, op) => {
      if (op === 'shell') return { status: 'running', session: 'web1@x', stdout: '' };
      const refusal = refusals.shift();
      if (refusal !== undefined) throw refusal;
      return { exit_code: 0, stdout: 'done\n' };
    },
    () => undefined,
  );
  await run.start();
  expect(run.progress.get('web1')).toMatchObject({ kind: 'done', result: { exitCode: 0, stdout: 'done\n' } });
});

describe('a run that is stopped', () => {
  test('begins nothing more, and says of each server how that went', async () => {
    const names = ['ended', 'runs', 'stubborn', 'closed', 'away', 'lost', 'early', 'refuses', 'next'];
    const servers = names.map((name) => ({ ...server(name), tag: 'x', key: name }) as unknown as FleetServer);
    const ends = new Map(names.map((name) => [name, new OneShotEvent()]));
    const calls: string[] = [];
    const kills: unknown[] = [];
    const call: CallOne = async ({ name }, op, args, _plan, cancelled): Promise<Answer> => {
      calls.push(`${op} ${name}`);
      if (op === 'shell') {
        if (name === 'ended') return { exit_code: 0 };
        // Its session is not known: the call itself is taken back.
        if (name === 'early') {
          await cancelled?.wait();
          return { status: 'killed', exit_code: 143 };
        }
        if (name === 'lost') {
          await cancelled?.wait();
          throw new OutcomeUnknown('lost');
        }
        return { status: 'running', session: `${name}@aaaaaaaa` };
      }
      if (op === 'read_session') {
        await ends.get(name)?.wait();
        return { status: 'killed', exit_code: 143 };
      }
      kills.push(args);
      if (name === 'away') throw new ServerUnreachable('away');
      if (name === 'refuses') throw new ServerRefusal(403, 'Forbidden', 'refuses: not here', {});
      if (name === 'closed') throw new ServerRefusal(404, 'Session not found', 'closed: gone', {});
      if (name === 'stubborn' && args['signal'] === 'TERM') return { status: 'running', signalled: 1 };
      ends.get(name)?.fire();
      return { status: 'killed', signalled: 1 };
    };
    const plan = { servers, args: { max_output: 100 }, parallel: 8, batches: [8, 1], maxFailures: 9 };
    const run = new Run('token', plan, call, () => undefined);
    void run.start();
    await eventually(
      'five commands are followed',
      () => calls.filter((one) => one.startsWith('read_session')).length === 5,
    );
    const stops: Stops = new Map();
    await stopRun(run, 'TERM', call, stops);
    expect([...stops].map(([{ name }, stop]) => [name, stop?.kind])).toEqual([
      ['runs', 'stopped'],
      ['stubborn', 'running'],
      ['closed', 'ended'],
      ['away', 'not reached'],
      ['lost', 'not reached'],
      ['early', 'stopped'],
      ['refuses', 'failed'],
    ]);
    expect(kills).toContainEqual({ session: 'runs', signal: 'TERM' });
    // A second one, with more force, goes to those that run still.
    const before = kills.length;
    await stopRun(run, 'KILL', call);
    expect(kills.slice(before)).toContainEqual({ session: 'stubborn', signal: 'KILL' });
    expect(kills.slice(before)).not.toContainEqual({ session: 'runs', signal: 'KILL' });
    for (const end of ends.values()) end.fire();
    await eventually('the run is over', () => run.finished.fired);
    expect(calls).not.toContain('shell next');
    expect(run.progress.get('next')).toEqual({ kind: 'not started' });
  });
});
