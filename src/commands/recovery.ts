import { requestsDirectory, takeAway } from '../access/approval-request.ts';
import type { Freeze } from '../access/freeze.ts';
import type { Trail } from '../audit/trail.ts';
import type { Contexts } from '../contexts/contexts.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { bootId } from '../linux/proc.ts';
import { statusOfZombie } from '../linux/process-end.ts';
import { markOf } from '../process/environment.ts';
import { exitCodeOf } from '../process/run.ts';
import { adopt, endedBefore, exitStatusOf, isAlive, type ProcessIdentity } from '../process/start.ts';
import { findLeader } from '../process/tree.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { Commands } from './commands.ts';
import { EXIT_NOT_RUN, sizesOf, writeNotRun } from './ending.ts';
import type { Timings } from './timings.ts';

/** What recovery needs. */
export interface RecoveryDeps {
  readonly limits: { readonly maxExecSeconds: number };
  readonly clock: Clock;
  readonly store: SessionStore;
  readonly contexts: Contexts;
  readonly commands: Commands;
  readonly trail: Trail;
  readonly freeze: Freeze;
  readonly timings: Pick<Timings, 'resume'>;
}

/** What an agent found of the sessions of an earlier one. */
export interface Recovered {
  /** Commands that outlived the earlier agent and are under supervision again. */
  readonly adopted: number;
  /** Commands that ended together with it. */
  readonly lost: number;
  /** Commands that ended meanwhile and left their exit code. */
  readonly ended: number;
  /** Ended sessions whose left-behind processes are under supervision again. */
  readonly lingering: number;
}

/**
 * Looks at every session that was not over when the earlier agent ended, and supervises what still lives. A session
 * that cannot be read, or whose record cannot be written, does not keep others from being recovered.
 */
export function recoverSessions(deps: RecoveryDeps, logger: Logger): Recovered {
  const found = { adopted: 0, lost: 0, ended: 0, lingering: 0 };
  for (const session of deps.store.all()) {
    if (session.record.closed) continue;
    try {
      for (const state of recover(session, deps)) found[state]++;
    } catch (error) {
      logger.warn({ session: session.id, err: error }, 'a session could not be recovered');
    }
  }
  return found;
}

function recover(session: Session, deps: RecoveryDeps): (keyof Recovered)[] {
  if (session.record.status === 'waiting') return endWaiting(session, deps);
  if (session.record.status !== 'running') return takeUpLeftovers(session, deps.commands) ? ['lingering'] : [];
  const shell = findShell(session);
  if (shell !== undefined) {
    takeUpShell(session, shell, deps);
    return ['adopted'];
  }
  const exitCode = session.keptExitCode() ?? zombieCode(session);
  const state = exitCode === null ? 'lost' : 'ended';
  markOver(session, exitCode, deps);
  return takeUpLeftovers(session, deps.commands) ? [state, 'lingering'] : [state];
}

/** The command was only in the memory of the earlier agent. */
function endWaiting(session: Session, { clock, store, trail }: RecoveryDeps): [] {
  takeAway(requestsDirectory(store.directory), session.id);
  const reason = 'the agent was restarted while it waited for approval';
  writeNotRun(session, reason);
  session.update({
    status: 'denied',
    exit_code: EXIT_NOT_RUN,
    ended_at: clock.now(),
    duration_ms: Math.max(0, clock.now() - session.record.started_at),
    ...sizesOf(session, true),
    decision: { ...session.record.decision, action: 'stopped', reason },
  });
  trail.ended(session);
  return [];
}

function takeUpShell(
  session: Session,
  shell: ProcessIdentity,
  { commands, contexts, clock, limits, freeze, timings }: RecoveryDeps,
): void {
  // A session without a readable record has no limit of its own.
  const seconds = session.record.execution_seconds || limits.maxExecSeconds;
  const { started_at } = session.record;
  const ranMs = clock.now() - started_at - freeze.msBetween(started_at, clock.now());
  const left = seconds - ranMs / 1000;
  try {
    session.update({ process: shell, execution_seconds: seconds });
  } finally {
    // Even if the disk refuses the record: the command is held to its limits.
    contexts.occupy(session);
    const process = adopt(shell, () => session.keptExitCode());
    commands.takeUp(session, process, Math.max(0, left));
    timings.resume(session, process.exited);
  }
}

/** Returns the session's shell if it is alive: by its recorded identity, or by the mark if nothing was recorded yet. */
function findShell(session: Session): ProcessIdentity | undefined {
  const recorded = session.record.process;
  if (recorded === null || recorded.startTicks === null) {
    const leader = findLeader(markOf(session.id));
    return leader && { pid: leader.pid, startTicks: leader.startTicks, bootId: bootId() };
  }
  const identity = { ...recorded, startTicks: recorded.startTicks };
  return isAlive(identity) ? identity : undefined;
}

/** Returns the exit code of a shell that ended between two agents and is a zombie; null if that is unknown. */
function zombieCode({ record: { process } }: Session): number | null {
  if (process === null || process.startTicks === null || process.bootId !== bootId()) return null;
  const waited = statusOfZombie(process.pid, process.startTicks);
  return waited === undefined ? null : exitCodeOf('exited', exitStatusOf(waited));
}

/** Its exit code may be known; the time of its end is not. */
function markOver(session: Session, exitCode: number | null, { commands, contexts, clock, trail }: RecoveryDeps): void {
  const now = clock.now();
  const kept = contexts.keep(session, exitCode !== null);
  const survivors = commands.treeOf(session).members().length;
  const timing_bytes = session.sizeOf('timing');
  session.update({
    ...(timing_bytes > 0 && { timing_bytes }),
    status: exitCode === null ? 'lost' : 'done',
    exit_code: exitCode,
    ended_at: now,
    duration_ms: Math.max(0, now - session.record.started_at),
    ...sizesOf(session, survivors === 0),
    survivors,
    ...kept,
  });
  trail.ended(session);
}

/** Processes that outlive their shell still belong to the session, and are still held to its limits. */
function takeUpLeftovers(session: Session, commands: Commands): boolean {
  if (session.record.survivors === 0) return false;
  commands.takeUp(session, endedBefore(), session.record.execution_seconds);
  return true;
}
