import { CronJob } from 'cron';
import type { Change, Versions } from '../files/versions.ts';
import { type Clock, nextTurn } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { bytesOnDisk, recordBytes } from '../sessions/record.ts';
import { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import { chooseSweep, type SweepCandidate, type SweepLimits } from '../sessions/sweep.ts';

interface SweepDeps {
  readonly store: SessionStore;
  /** Earlier versions of files are removed with the sessions. */
  readonly versions: Pick<Versions, 'candidates' | 'remove'>;
  readonly limits: SweepLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Returns true while a process of the session lives, which is then not removed. */
  isBusy(session: Session): boolean;
  /** Stops a running session that takes too much of the disk. */
  stop(session: Session): Promise<void>;
}

/** Least time between sweeps, after growth above the limit. */
const SOON_MS = 1000;
/** Longest time to remove files without yielding. */
const TURN_MS = 10;

/** Removes expired sessions, and those of the tokens with the most while all sessions together exceed the limit. */
export class SessionSweep {
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly deps: SweepDeps) {
    const { totalBytes, totalSessions } = deps.limits;
    deps.store.watchDisk((heldBytes, sessions) => {
      if (heldBytes > totalBytes || sessions > totalSessions) this.#soon();
    });
  }

  /** Checks all sessions, and removes or stops those that must go. */
  async run(): Promise<void> {
    const { deps } = this;
    const all = [...candidates(deps), ...deps.versions.candidates()];
    deps.store.measured(all.reduce((sum, { bytes }) => sum + bytes, 0));
    const choice = chooseSweep<Session | Change>(all, deps.limits, deps.clock.now());
    const removed = await removeAll(deps, choice.remove);
    const running = choice.stop.filter((one) => one instanceof Session);
    await Promise.all(running.map((session) => deps.stop(session)));
    deps.store.forgetOldKeys();
    if (removed + choice.stop.length > 0) {
      deps.logger.info({ removed, stopped: choice.stop.length }, 'sessions were swept');
    }
  }

  #soon(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.#runNow(), SOON_MS);
    this.#timer.unref();
  }

  async #runNow(): Promise<void> {
    try {
      await this.run();
    } catch (error) {
      this.deps.logger.warn({ err: error }, 'sessions could not be swept');
    }
    this.#timer = undefined;
  }
}

function candidates({ store, isBusy }: SweepDeps): SweepCandidate<Session>[] {
  const all: SweepCandidate<Session>[] = [];
  for (const session of store.all()) {
    const { closed, ended_at, principal } = session.record;
    if (closed) continue;
    const ended = ended_at !== null && !isBusy(session);
    all.push(
      ended
        ? { key: session, principal, endedAt: ended_at, bytes: bytesOnDisk(session.record) }
        : { key: session, principal, endedAt: undefined, bytes: session.diskBytes() + recordBytes(session.record) },
    );
  }
  return all;
}

async function removeAll(deps: SweepDeps, all: readonly (Session | Change)[]): Promise<number> {
  let removed = 0;
  let turnEnds = deps.clock.elapsed() + TURN_MS;
  for (const one of all) {
    if (deps.clock.elapsed() > turnEnds) {
      await nextTurn();
      turnEnds = deps.clock.elapsed() + TURN_MS;
    }
    if (tryRemove(deps, one)) removed++;
  }
  return removed;
}

/** A session that cannot be removed does not stop the sweep; the next sweep tries again. */
function tryRemove({ store, versions, logger }: SweepDeps, one: Session | Change): boolean {
  try {
    if (!(one instanceof Session)) {
      versions.remove(one);
      return true;
    }
    // It may have been closed meanwhile.
    if (one.record.closed || store.find(one.id) === undefined) return false;
    store.remove(one);
    return true;
  } catch (error) {
    logger.warn({ session: one.id, err: error }, 'a session could not be removed');
    return false;
  }
}

/** A scheduled job. */
export interface Job {
  readonly name: string;
  /** Cron expression with seconds. */
  readonly cronTime: string;
  run(): Promise<void>;
}

/** Starts the jobs. A run is skipped while the last one continues. Returns a function that stops them. */
export function schedule(jobs: readonly Job[], logger: Logger): () => Promise<void> {
  const started = jobs.map((job) =>
    CronJob.from({
      name: job.name,
      cronTime: job.cronTime,
      onTick: () => job.run(),
      waitForCompletion: true,
      errorHandler: (error) => logger.warn({ job: job.name, err: error }, 'a scheduled job failed'),
      start: true,
    }),
  );
  return async () => {
    await Promise.all(started.map((job) => job.stop()));
  };
}
