import { constants } from 'node:os';

/** Why a command is over. */
export type EndReason = 'exited' | 'timeout' | 'killed' | 'output_limit' | 'lost';

/** How a process ended, as wait(2) tells; `undefined` of both where nobody could tell (a process that was not our child). */
export interface ExitStatus {
  readonly code: number | null;
  /** By name; real-time signals have none and come as their number. */
  readonly signal: NodeJS.Signals | number | null;
}

/** The end of a command. */
export interface Outcome {
  readonly reason: EndReason;
  /** The shell's convention: 128+n for signal n, 124 at the execution limit (as timeout(1)), null where unknown. */
  readonly exitCode: number | null;
  /** Processes of its tree that were alive when it was over. */
  readonly survivors: number;
}

/** timeout(1), "If the command times out … exit with status 124". */
const EXIT_TIMEOUT = 124;

/** The exit code that belongs to a reason and to how the shell ended. */
export function exitCodeOf(reason: EndReason, status: ExitStatus | undefined): number | null {
  switch (reason) {
    case 'timeout':
      return EXIT_TIMEOUT;
    case 'lost':
      return null;
    case 'exited':
    case 'killed':
    case 'output_limit':
      return status === undefined ? null : shellCode(status);
    default:
      return reason satisfies never;
  }
}

function shellCode(status: ExitStatus): number | null {
  const { signal, code } = status;
  if (signal === null) return code;
  return 128 + (typeof signal === 'number' ? signal : constants.signals[signal]);
}
