import { describe, expect, test } from 'bun:test';
import { closeSync, openSync, writeSync } from 'node:fs';
import { systemClock } from '../../src/lib/clock.ts';
import { Descriptors } from '../../src/process/start.ts';
import type { OutputDescriptors } from '../../src/sessions/directories.ts';
import { Reopened } from '../../src/sessions/reopened.ts';
import type { Session, StreamName } from '../../src/sessions/session.ts';
import { SessionStore } from '../../src/sessions/store.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

interface Watched {
  readonly store: SessionStore;
  readonly session: Session;
  readonly output: OutputDescriptors;
}

/** The streams taken for opened again when a command does `act` with its own, which its end closes. */
async function reopenedBy(act: (watched: Watched) => unknown, survivors = 0): Promise<StreamName[]> {
  using directory = new TemporaryDirectory();
  const store = new SessionStore(directory.path, systemClock);
  const { session, output } = store.create({ principal: 'a', cmd: 'true', cwd: '/', key: null, execution_seconds: 1 });
  const reopened = new Reopened();
  reopened.watch(session, output);
  for (const fd of [output.stdout, output.stderr]) writeSync(fd, 'first\n');
  session.update({});
  let acted: unknown;
  try {
    acted = act({ store, session, output });
  } finally {
    for (const fd of [output.stdout, output.stderr]) closeSync(fd);
  }
  const streams = reopened.end(session, survivors);
  await acted;
  session.letGo();
  return streams;
}

describe('a command opened its own stream again', () => {
  test.each(['stdout', 'stderr'] as const)('%s', async (name) => {
    expect(await reopenedBy(({ session }) => closeSync(openSync(session.path(name), 'w')))).toEqual([name]);
  });

  test('and once more', async () => {
    const twice = ({ session }: Watched): void => {
      for (const _ of [1, 2]) closeSync(openSync(session.path('stdout'), 'w'));
    };
    expect(await reopenedBy(twice)).toEqual(['stdout']);
  });

  test('and left a process that has not closed it', async () => {
    using descriptors = new Descriptors();
    const open = ({ session }: Watched) => descriptors.add(openSync(session.path('stdout'), 'w'));
    expect(await reopenedBy(open, 1)).toEqual(['stdout']);
  });
});

describe('a command did not open its own stream again', () => {
  test('when it only writes', async () => {
    expect(await reopenedBy(({ output }) => writeSync(output.stdout, 'more\n'))).toEqual([]);
  });

  test('when the agent puts its session on the disk as it ends', async () => {
    expect(await reopenedBy(({ store, session }) => store.onDisk.sync(session))).toEqual([]);
  });

  test('when the agent reads, measures and frees', async () => {
    const looks = ({ session }: Watched): void => {
      expect(session.stream('stdout').read(0, 5)).toHaveLength(5);
      session.silentMs(0);
      session.giveBack({ ...session.diskUse(), stdout: { size: 6, taken: 6, reserved: 1 } });
    };
    expect(await reopenedBy(looks)).toEqual([]);
  });

  test('when somebody read it meanwhile, or reads it still', async () => {
    expect(await reopenedBy(({ session }) => closeSync(openSync(session.path('stdout'), 'r')))).toEqual([]);
    using descriptors = new Descriptors();
    const open = ({ session }: Watched) => descriptors.add(openSync(session.path('stdout'), 'r'));
    expect(await reopenedBy(open)).toEqual([]);
  });
});
