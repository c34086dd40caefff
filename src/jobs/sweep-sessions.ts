import type { Clock } from '../core/clock.ts';
import type { Notices } from '../core/notices.ts';
import { bytesOnDisk } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import { chooseSweep, type SweepCandidate, type SweepLimits } from '../sessions/sweep.ts';

/** What the sweep works with. */
export interface SweepParts {
  readonly store: SessionStore;
  readonly limits: SweepLimits;
  readonly clock: Clock;
  readonly notices: Notices;
  /** Whether a process of the session is alive: it is then not removed. */
  isBusy(session: Session): boolean;
  /** Stops a running session that takes too much of the disk. */
  stop(session: Session): Promise<void>;
}

/** Removes sessions past their time, and the oldest ended ones while all together take more than they may. */
export async function sweepSessions(parts: SweepParts): Promise<void> {
  const choice = chooseSweep(candidates(parts), parts.limits, parts.clock.now());
  let removed = 0;
  for (const session of choice.remove) if (tryRemove(parts, session)) removed++;
  for (const session of choice.stop) await parts.stop(session);
  parts.store.forgetOldKeys();
  if (removed + choice.stop.length > 0) {
    parts.notices.info({ removed, stopped: choice.stop.length }, 'sessions were swept');
  }
}

function candidates({ store, isBusy }: SweepParts): SweepCandidate<Session>[] {
  const all: SweepCandidate<Session>[] = [];
  for (const session of store.all()) {
    const { closed, ended_at } = session.record;
    if (closed) continue;
    const ended = ended_at !== null && !isBusy(session);
    all.push(
      ended
        ? { key: session, endedAt: ended_at, bytes: bytesOnDisk(session.record) }
        : { key: session, endedAt: undefined, bytes: session.diskBytes() },
    );
  }
  return all;
}

/** One session that cannot be removed does not stop the sweep; the next one tries again. */
function tryRemove({ store, notices }: SweepParts, session: Session): boolean {
  try {
    store.remove(session);
    return true;
  } catch (error) {
    notices.warn({ session: session.id, err: error }, 'a session could not be removed');
    return false;
  }
}
