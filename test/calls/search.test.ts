import { expect, test } from 'bun:test';
import { appendFileSync, closeSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILT_IN } from '../../src/access/profile.ts';
import type { CallContext, OperationDeps } from '../../src/calls/context.ts';
import { searchAnswer } from '../../src/calls/search.ts';
import { Deadline, OneShotEvent, systemClock } from '../../src/lib/clock.ts';
import { Turns } from '../../src/lib/shares.ts';
import { SessionStore } from '../../src/sessions/store.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const MAIN = join(import.meta.dir, '../../src/main.ts');

interface Waiting {
  /** Seconds. */
  readonly wait: number;
  /** The call is taken back when that search has begun. */
  readonly most: number;
  /** Done all the time meanwhile. */
  readonly change?: (stdout: string) => void;
  /** Shell words that make a search take long. */
  readonly slowly?: string;
  /** Whether the command waits for input. */
  readonly asks?: () => boolean;
}

/** When each search began and ended, in milliseconds, while a call waited for a line that never came. */
async function searches({ wait, most, change, slowly = '', asks = () => false }: Waiting) {
  using directory = new TemporaryDirectory();
  using files = new TemporaryDirectory();
  const store = new SessionStore(directory.path, systemClock);
  const command = { principal: 'anna', cmd: 'true', cwd: '/', key: null, execution_seconds: 60 };
  const { session, output } = store.create(command);
  for (const fd of Object.values(output)) closeSync(fd);
  const stdout = session.path('stdout');
  appendFileSync(stdout, 'a line\n');
  const log = files.join('log');
  writeFileSync(log, '');
  const times = (): number[] => readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number);
  const script = `date +%s%3N >> ${log}; ${slowly} bun ${MAIN} "$@"; date +%s%3N >> ${log}`;
  const [over, shutdown] = [new OneShotEvent(), new OneShotEvent()];
  const parts = {
    clock: systemClock,
    ownArgv: ['sh', '-c', script, 'sh'],
    turns: new Turns(),
    commands: { endOf: () => over, inputOf: () => ({}), waitsForInput: asks },
  } as unknown as OperationDeps;
  const call = {
    deps: { access: { profileFor: () => BUILT_IN.full } },
    ...{ principal: 'anna', profile: BUILT_IN.full, deadline: Deadline.after(60), shutdown },
    ...{ maxReplyChars: 10_000, limits: { maxOutputBytes: 10_000 } },
  } as unknown as CallContext;
  const request = {
    stream: 'stdout',
    offset: 0,
    limit: 10_000,
    encoding: 'utf8',
    match: 'never',
    context_lines: 0,
  } as const;
  const timer = setInterval(() => {
    change?.(stdout);
    if (times().length >= most * 2 - 1) shutdown.fire();
  }, 20);
  const answer = await searchAnswer(parts, session, { ...request, wait }, call, { silence: undefined, more: [] });
  clearInterval(timer);
  expect(answer).toMatchObject({ status: 'running', matches: [] });
  expect(answer['next_offset']).toBeGreaterThan(0);
  const all = times();
  return Array.from({ length: all.length / 2 }, (_, at) => ({ begin: all[at * 2] ?? 0, end: all[at * 2 + 1] ?? 0 }));
}

test('a search that waits does not search again what it has searched', async () => {
  const change = (stdout: string): void => truncateSync(stdout, 'a line\n'.length);
  expect(await searches({ wait: 3, most: 2, change })).toHaveLength(1);
});

test('a search that takes long is not made again before it has paused for as long', async () => {
  const change = (stdout: string): void => appendFileSync(stdout, 'more\n');
  const all = await searches({ wait: 40, most: 3, change, slowly: 'sleep 0.7;' });
  expect(all).toHaveLength(3);
  for (const [at, { begin }] of all.entries()) {
    const before = all[at - 1];
    if (before !== undefined) expect(begin - before.end).toBeGreaterThanOrEqual(before.end - before.begin - 2);
  }
});

test('a search that waits ends when the command asks for input, also without output', async () => {
  let looks = 0;
  const sinceMs = performance.now();
  expect(await searches({ wait: 50, most: 2, asks: () => ++looks > 2 })).toHaveLength(1);
  expect(performance.now() - sinceMs).toBeLessThan(40_000);
});
