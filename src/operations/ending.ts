import type { EndReason, Outcome } from '../execution/outcome.ts';
import type { SessionRecord, SessionStatus } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';

/** The exit code of shells for what is there and cannot be run. */
export const EXIT_NOT_RUN = 126;

/** What the streams of a session hold now, and take of the disk where that is more. */
export function sizesOf(session: Session): Pick<SessionRecord, 'stdout_bytes' | 'stderr_bytes' | 'disk_bytes'> {
  const sizes = { stdout_bytes: session.sizeOf('stdout'), stderr_bytes: session.sizeOf('stderr') };
  const disk_bytes = session.diskBytes();
  return disk_bytes > sizes.stdout_bytes + sizes.stderr_bytes ? { ...sizes, disk_bytes } : sizes;
}

const STATUS_OF: Readonly<Record<EndReason, SessionStatus>> = {
  exited: 'done',
  timeout: 'timeout',
  killed: 'killed',
  output_limit: 'output_limit',
  lost: 'lost',
};

/** A command that ended by itself without anybody to take its exit code ended as far as anybody knows. */
export function statusOf(outcome: Outcome): SessionStatus {
  if (outcome.reason === 'exited' && outcome.exitCode === null) return 'lost';
  return STATUS_OF[outcome.reason];
}
