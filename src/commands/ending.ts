import { ProfileUnavailable } from '../lib/errors.ts';
import type { EndReason, Outcome } from '../process/outcome.ts';
import type { SessionRecord, SessionStatus } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';

/** The exit code of shells for what is there and cannot be run. */
export const EXIT_NOT_RUN = 126;

type Sizes = Pick<SessionRecord, 'stdout_bytes' | 'stderr_bytes' | 'disk_bytes' | 'reserved_bytes'>;

/**
 * What the streams of a session hold now, and take of the disk where that is more. With no process left (`isOver`), what
 * was reserved for them is given back first.
 */
export function sizesOf(session: Session, isOver: boolean): Sizes {
  const use = session.diskUse();
  const { stdout, stderr } = use;
  const sizes = { stdout_bytes: stdout.size, stderr_bytes: stderr.size };
  if (stdout.reserved + stderr.reserved === 0 && session.record.disk_bytes === undefined) return sizes;
  if (isOver) session.giveBack(use);
  const taken = stdout.taken + stderr.taken;
  const isMore = taken > stdout.size + stderr.size;
  return { ...sizes, disk_bytes: session.diskBytes(), ...(isMore && { reserved_bytes: taken }) };
}

const STATUS_OF: Readonly<Record<EndReason, SessionStatus>> = {
  exited: 'done',
  timeout: 'timeout',
  killed: 'killed',
  output_limit: 'output_limit',
  lost: 'lost',
};

/** A command that ended by itself without anybody to take its exit code ended as far as anybody knows. */
function statusOf(outcome: Outcome): SessionStatus {
  if (outcome.reason === 'exited' && outcome.exitCode === null) return 'lost';
  return STATUS_OF[outcome.reason];
}

/** What the record of a session says of the end of its command; `now` is in milliseconds since the epoch. */
export function endingOf(outcome: Outcome, now: number, durationMs: number) {
  return {
    status: statusOf(outcome),
    exit_code: outcome.exitCode,
    ended_at: now,
    duration_ms: Math.round(durationMs),
  };
}

/** What stands in the record of a session whose command was not started. */
export const NOT_STARTED = 'failed';

/** How the record of a session ends whose command has never begun. */
export function neverBegun(reason: string): Pick<SessionRecord, 'status' | 'exit_code' | 'decision'> {
  return { status: 'denied', exit_code: EXIT_NOT_RUN, decision: { action: NOT_STARTED, reason } };
}

/** The refusal of a call whose command has never begun; undefined where it has. */
export function refusalOf({ status, decision }: SessionRecord): ProfileUnavailable | undefined {
  if (status !== 'denied' || decision?.action !== NOT_STARTED) return undefined;
  return new ProfileUnavailable(`Nothing was run: ${decision.reason}.`, new Error(decision.reason));
}
