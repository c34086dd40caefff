import { markOf } from '../execution/environment.ts';
import { adopt, endedBefore, isAlive, type ProcessIdentity } from '../execution/start.ts';
import { findLeader, MarkedTree } from '../execution/tree.ts';
import { bootId } from '../platform/proc.ts';
import type { Session } from '../sessions/session.ts';
import type { Commands } from './commands.ts';
import type { OperationParts } from './parts.ts';

/** What an agent found of the sessions that an earlier one left. */
export interface Recovered {
  /** Commands that outlived the earlier agent and are under supervision again. */
  readonly adopted: number;
  /** Commands that died with it. */
  readonly lost: number;
  /** Ended sessions whose left-behind processes are under supervision again. */
  readonly lingering: number;
}

/** Looks at every session that was not over when the earlier agent ended, and takes up what still lives. */
export function recoverSessions({ store, commands, clock, limits }: OperationParts): Recovered {
  const found = { adopted: 0, lost: 0, lingering: 0 };
  for (const session of store.all()) {
    if (session.record.closed) continue;
    if (session.record.status === 'running') {
      const identity = findShell(session);
      if (identity !== undefined) {
        const seconds = session.record.execution_seconds || limits.maxExecSeconds;
        const left = seconds - (clock.now() - session.record.started_at) / 1000;
        session.update({ process: identity, execution_seconds: seconds });
        commands.takeUp(session, adopt(identity), Math.max(0, left));
        found.adopted++;
        continue;
      }
      markLost(session, clock.now());
      found.lost++;
    }
    if (takeUpLeftovers(session, commands)) found.lingering++;
  }
  return found;
}

/** The session's shell, when it is alive: by its recorded identity, or by the mark where nothing was recorded yet. */
function findShell(session: Session): ProcessIdentity | undefined {
  const recorded = session.record.process;
  if (recorded === null) {
    const leader = findLeader(markOf(session.id));
    return leader && { pid: leader.pid, startTicks: leader.startTicks, bootId: bootId() };
  }
  return isAlive(recorded) ? recorded : undefined;
}

function markLost(session: Session, now: number): void {
  session.update({
    status: 'lost',
    ended_at: now,
    duration_ms: Math.max(0, now - session.record.started_at),
    stdout_bytes: session.sizeOf('stdout'),
    stderr_bytes: session.sizeOf('stderr'),
    survivors: new MarkedTree(markOf(session.id)).members().length,
  });
}

/** Processes that go on after their shell still belong to the session, and are still held to its limits. */
function takeUpLeftovers(session: Session, commands: Commands): boolean {
  if (session.record.survivors === 0) return false;
  commands.takeUp(session, endedBefore(), session.record.execution_seconds);
  return true;
}
