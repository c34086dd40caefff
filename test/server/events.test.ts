import { afterAll, describe, expect, test } from 'bun:test';
import { chownSync, symlinkSync, writeFileSync } from 'node:fs';
import { systemClock } from '../../src/lib/clock.ts';
import { reportRestart } from '../../src/server/events.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

describe.skipIf(process.geteuid?.() !== 0)('a restart by the watchdog', () => {
  const place = new TemporaryDirectory();
  afterAll(() => place[Symbol.dispose]());

  const toldOf = (state: string): unknown[] => {
    const told: unknown[] = [];
    const notifications = { send: (type: string, { by }: { by?: unknown }) => told.push([type, by]) };
    reportRestart({ notifications, logger: { warn: () => {} }, clock: systemClock } as never, state);
    return told;
  };
  const write = (name: string, agoMs: number, owner = 0): string => {
    const path = place.join(name);
    writeFileSync(path, JSON.stringify({ restarts: 1, lastRestart: Date.now() - agoMs }));
    chownSync(path, owner, owner);
    return path;
  };

  test('is told of', () => {
    expect(toldOf(write('now', 3000))).toEqual([['agent.restarted', 'watchdog']]);
  });

  test('is not told of where there was none, or long before, or later', () => {
    for (const path of [place.join('none'), write('long ago', 600_000), write('later', -60_000)])
      expect(toldOf(path)).toEqual([]);
  });

  test('is not believed of a file that is not root’s, nor of a link or another text', () => {
    const real = write('real', 1000);
    symlinkSync(real, place.join('link'));
    writeFileSync(place.join('text'), '{"lastRestart":"now"}');
    for (const path of [write('of another', 1000, 64_001), place.join('link'), place.join('text')])
      expect(toldOf(path)).toEqual([]);
  });
});
