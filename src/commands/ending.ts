import { appendFileSync, rmSync } from 'node:fs';
import type { Verdict } from '../access/approvals.ts';
import { type AgentError, InvalidArguments, ProfileUnavailable } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { isInit, readProcFile } from '../linux/proc.ts';
import type { Status } from '../process/beginning.ts';
import type { EndReason, Outcome } from '../process/run.ts';
import type { Decision } from '../rules/rule.ts';
import { isWithin, OWN_DIRECTORIES } from '../sandbox/hidden.ts';
import { describeFailure } from '../sandbox/sandbox-cause.ts';
import { bytesOnDisk, recordBytes, type SessionRecord, type SessionStatus } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import { forgetProbes } from './isolation.ts';

/** Longer lists of process names say little. */
const MOST_NAMES = 5;

/**
 * Returns the names of processes (`comm` in proc(5)), each once: `sleep, node ×2`. Programs choose them freely. The first
 * process of a sandbox, bwrap, is the agent's, and has no name here.
 */
export function namesOf(pids: readonly number[]): string {
  const counts = new Map<string, number>();
  for (const pid of pids) {
    const comm = Buffer.from(readProcFile(`/proc/${pid}/comm`) ?? '', 'latin1').toString();
    const name = visibleLine(comm.replace(/\n$/, '')).trim();
    if (name !== '' && !(name === 'bwrap' && isInit(pid))) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const names = [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => (count === 1 ? name : `${name} ×${count}`));
  return names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES).join(', ')} …` : names.join(', ');
}

/** The exit code of shells for a command that exists and cannot be run. */
export const EXIT_NOT_RUN = 126;

/** Writes the reason to the standard error of the session, as a shell would. */
export function writeNotRun(session: Session, reason: string): void {
  try {
    appendFileSync(session.path('stderr'), `agent3: not run: ${reason}\n`);
  } catch {
    // The disk is full; the answer has the reason as well.
  }
}

/** Returns why a command that waited for a person is not run. */
export function describeVerdict({ reason }: Decision, { kind, why, by }: Verdict): string {
  switch (kind) {
    case 'denied':
      return `${by || 'the owner'} denied it${why === '' ? '' : `: ${why}`}`;
    case 'tampered':
      return why;
    case 'expired':
      return `it needed approval (${reason}), and ${why}`;
    default:
      return `it waited for approval (${reason}), and ${why}`;
  }
}

type Sizes = Pick<SessionRecord, 'stdout_bytes' | 'stderr_bytes' | 'disk_bytes' | 'reserved_bytes'>;

/**
 * Returns the sizes of the streams of a session, and what they take of the disk if that is more. If no process is left
 * (`isOver`), blocks that were reserved for them are freed first.
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

/** A command that ended by itself has ended, even if its exit code is unknown. */
function statusOf(outcome: Outcome): SessionStatus {
  if (outcome.reason === 'exited' && outcome.exitCode === null) return 'lost';
  return STATUS_OF[outcome.reason];
}

/** Returns the fields of a record for the end of its command; `now` is in milliseconds since the epoch. */
export function endingOf(outcome: Outcome, now: number, durationMs: number) {
  return {
    status: statusOf(outcome),
    exit_code: outcome.exitCode,
    ended_at: now,
    duration_ms: Math.round(durationMs),
  };
}

/** The reason in the record of a session whose command was not started. */
export const NOT_STARTED = 'failed';

/** The reason if its directory does not exist. */
const NO_DIRECTORY = 'no_directory';

/** Why a command has never begun. */
export interface NotBegun {
  readonly action: typeof NOT_STARTED | typeof NO_DIRECTORY;
  readonly reason: string;
}

/** Returns the fields of a record whose command has never begun. */
export function neverBegun({ action, reason }: NotBegun): Pick<SessionRecord, 'status' | 'exit_code' | 'decision'> {
  return { status: 'denied', exit_code: EXIT_NOT_RUN, decision: { action, reason } };
}

/** Returns the refusal of a call whose command has never begun; undefined if it has. */
export function refusalOf({ status, decision, look }: SessionRecord): AgentError | undefined {
  if (status !== 'denied') return undefined;
  if (decision?.action !== NOT_STARTED && decision?.action !== NO_DIRECTORY) return undefined;
  if (decision.action === NO_DIRECTORY && look) return new InvalidArguments(`Nothing was run: ${decision.reason}.`);
  return new ProfileUnavailable(`Nothing was run: ${decision.reason}.`, new Error(decision.reason));
}

/** The lowest exit code that may mean a signal: then it is unknown whether the command had begun. */
const SIGNALLED = 128;

/**
 * Returns why an isolated command that has ended has never begun: chroot(1), prlimit(1) or bwrap(1) failed. Undefined
 * if it has begun, according to `status`, which this closes. Output and exit code of the command itself do not count.
 */
export function whyNotBegun(session: Session, { reason, exitCode }: Outcome, status: Status): NotBegun | undefined {
  try {
    if (reason !== 'exited' || exitCode === null || exitCode >= SIGNALLED || status.hasBegun()) return undefined;
  } finally {
    status.close();
  }
  forgetProbes();
  const { input } = session.record;
  const words = endOf(session, input === 'terminal' ? 'stdout' : 'stderr');
  if (/^bwrap: Can't chdir to [^\n]*$/m.test(words))
    return { action: NO_DIRECTORY, reason: describeNoDirectory(session.record) };
  return { action: NOT_STARTED, reason: visibleLine(describeFailure(words)) };
}

/** Describes a hidden directory and a missing one in the same way. */
function describeNoDirectory({ cwd, look }: SessionRecord): string {
  const shown = JSON.stringify(cwd.slice(0, 200));
  if (!look)
    return `there is no directory ${shown} for the commands of this token (their /tmp, /var/tmp and /run begin empty, and some directories are hidden). Call shell again with another cwd`;
  if (OWN_DIRECTORIES.some((root) => isWithin(root, cwd)))
    return `look begins with an empty /tmp, /var/tmp and /run, so it has no directory ${shown}. Call shell with the same cwd`;
  return `look has no directory ${shown}: it is not there, or is hidden. Call look again with another cwd`;
}

const TAIL_BYTES = 2000;

function endOf(session: Session, name: 'stdout' | 'stderr'): string {
  const stream = session.stream(name);
  return Buffer.from(stream.read(Math.max(0, stream.size - TAIL_BYTES), TAIL_BYTES)).toString();
}

/** Follows what the session of a running command takes of the disk. */
export class DiskWatch {
  /** The size at the last report. */
  #bytes = 0;

  constructor(
    private readonly session: Session,
    private readonly maxBytes: number,
    private readonly store: SessionStore,
  ) {}

  /**
   * Bytes that the command may still write; below 0 it is stopped. Blocks that are reserved for a file count as
   * written: setrlimit(2) only sees sizes.
   */
  readonly room = (): number => {
    const { stdout, stderr } = this.session.diskUse();
    const { record } = this.session;
    const state = record.context === undefined ? 0 : this.session.sizeOf('context');
    const taken = stdout.taken + stderr.taken + state;
    this.#report(taken + recordBytes(record));
    const { file_max } = record;
    if (file_max !== undefined && (reservesMore(stdout, file_max) || reservesMore(stderr, file_max))) return -1;
    return this.maxBytes - taken;
  };

  /** The command has ended, and the record has its sizes. */
  end(): void {
    if (this.session.record.context !== undefined) rmSync(this.session.path('context'), { force: true });
    this.#report(bytesOnDisk(this.session.record));
  }

  #report(bytes: number): void {
    this.store.grow(bytes - this.#bytes);
    this.#bytes = bytes;
  }
}

/** Whether a file has more blocks than bytes, and more than it may. */
function reservesMore({ size, taken }: { readonly size: number; readonly taken: number }, maxBytes: number): boolean {
  return taken > size && taken > maxBytes;
}
