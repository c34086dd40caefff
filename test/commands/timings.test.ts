import { describe, expect, test } from 'bun:test';
import { appendFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { Timings } from '../../src/commands/timings.ts';
import { OneShotEvent, systemClock } from '../../src/lib/clock.ts';
import { Session } from '../../src/sessions/session.ts';
import { SessionStore } from '../../src/sessions/store.ts';
import { readMarks } from '../../src/sessions/timing-marks.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { eventually } from '../helpers/waiting.ts';

/** A session that began `agoMs` ago. */
function begun(place: TemporaryDirectory, agoMs: number, input?: 'pipe' | 'terminal'): Session {
  const store = new SessionStore(place.path, systemClock);
  const { session } = store.create({
    ...{ principal: 'default', cmd: 'x', cwd: '/', key: null, execution_seconds: 9 },
    ...(input !== undefined && { input }),
  });
  const record = { ...session.record, started_at: Date.now() - agoMs };
  return new Session(session.id, session.directory, record);
}

const marksOf = (session: Session) => readMarks(readFileSync(session.path('timing')));

describe('when a command wrote what', () => {
  test('is told by a terminal, byte for byte, once it has run for a second', () => {
    using place = new TemporaryDirectory();
    const timings = new Timings(systemClock);
    const session = begun(place, 5000, 'terminal');
    const wrote = timings.terminal(session);
    wrote(3);
    wrote(4);
    let told = 0;
    timings.end(session, (bytes) => {
      told = bytes;
    });
    expect(marksOf(session).at(-1)).toMatchObject({ stdout: 7, stderr: 0 });
    expect(told).toBe(readFileSync(session.path('timing')).length);
  });

  test('is not kept of a command that is over within a second', async () => {
    using place = new TemporaryDirectory();
    const timings = new Timings(systemClock);
    const session = begun(place, 0, 'terminal');
    timings.terminal(session)(3);
    const plain = begun(place, 0);
    const exited = new OneShotEvent();
    timings.follow(plain, 250, exited);
    exited.fire();
    for (const one of [session, plain]) {
      timings.end(one, () => expect.unreachable());
      expect(existsSync(one.path('timing'))).toBe(false);
    }
  });

  test('is seen in the files of a command that writes them itself', async () => {
    using place = new TemporaryDirectory();
    const timings = new Timings(systemClock);
    const session = begun(place, 60_000, 'pipe');
    timings.follow(session, 250, new OneShotEvent());
    appendFileSync(session.path('stdout'), 'one\n');
    appendFileSync(session.path('stderr'), 'careful\n');
    await eventually('it is seen', () => {
      timings.flush(session);
      return existsSync(session.path('timing')) && marksOf(session).at(-1)?.stderr === 8;
    });
    expect(marksOf(session).at(-1)).toMatchObject({ stdout: 4, stderr: 8 });
    expect(marksOf(session)[0]?.ms).toBeGreaterThanOrEqual(59_000);
    appendFileSync(session.path('stdout'), 'two\n');
    timings.end(session, () => {});
    expect(marksOf(session).at(-1)?.stdout).toBe(8);
  });

  test('continues under the next agent, after what the one before has kept', async () => {
    using place = new TemporaryDirectory();
    const session = begun(place, 60_000, 'pipe');
    const [first, next] = [new Timings(systemClock), new Timings(systemClock)];
    first.follow(session, 250, new OneShotEvent());
    appendFileSync(session.path('stdout'), 'one\n');
    await eventually('it is seen', () => {
      first.flush(session);
      return existsSync(session.path('timing'));
    });
    const before = marksOf(session);
    appendFileSync(session.path('stdout'), 'meanwhile\n');
    next.resume(session, new OneShotEvent());
    let told = 0;
    next.end(session, (bytes) => {
      told = bytes;
    });
    const all = marksOf(session);
    expect(all.slice(0, before.length)).toEqual(before);
    expect(all.at(-1)).toMatchObject({ stdout: 14, stderr: 0 });
    expect(told).toBe(readFileSync(session.path('timing')).length);
    first.end(session, () => {});
  });

  test('follows no link that a command has put in the place of the file', () => {
    using place = new TemporaryDirectory();
    const timings = new Timings(systemClock);
    const session = begun(place, 5000, 'terminal');
    writeFileSync(place.join('victim'), '');
    symlinkSync(place.join('victim'), session.path('timing'));
    timings.terminal(session)(3);
    timings.end(session, () => expect.unreachable());
    expect(readFileSync(place.join('victim'), 'utf8')).toBe('');
  });
});
