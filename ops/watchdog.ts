import { findFault } from './watchdog/check.ts';
import { isoDate, type WriteLine } from './watchdog/journal.ts';
import { rotateLargeLogs } from './watchdog/logs.ts';
import { readService, restart, stopCommands } from './watchdog/service.ts';
import {
  mayRestart,
  NO_TROUBLE,
  nextRestart,
  RESTARTS_UNTIL_HELP,
  readTrouble,
  type Trouble,
  writeTrouble,
} from './watchdog/spacing.ts';
import type { Target } from './watchdog/target.ts';

/*
 * The watchdog checks the agent, and restarts it when it does not answer. It imports nothing of src, so that it works when
 * the agent is broken.
 */

/** The result of a check, which is the exit code. */
export const CHECK = { ok: 0, restarted: 1, down: 3 } as const;
export type CheckResult = (typeof CHECK)[keyof typeof CHECK];

export interface CheckOptions {
  readonly target: Target;
  readonly write: WriteLine;
  /** The directory of logs whose size is limited; undefined for no limit. */
  readonly logs: string | undefined;
  /** The file of its restarts. */
  readonly stateFile: string;
  /** Seconds between the first check and the second, before a restart. */
  readonly recheckSeconds: number;
  /** How long a restarted agent may take to answer, in seconds. */
  readonly recoverySeconds: number;
}

/** Checks the agent once. When something is wrong, checks again, and then restarts it. Writes what it found. */
export async function checkOnce(options: CheckOptions): Promise<CheckResult> {
  const { target, write, stateFile, recheckSeconds } = options;
  const rotation = options.logs === undefined ? undefined : rotateLargeLogs(options.logs);
  if (rotation !== undefined) write(rotation);
  if (readService(target.unit).isSwitchedOff) {
    write('Agent3 is disabled (its unit is disabled and stopped)');
    return CHECK.ok;
  }
  const fault = (await findFault(target)) === undefined ? undefined : await lookAgain(target, recheckSeconds);
  if (fault === undefined) {
    write('Agent3 running OK');
    writeTrouble(stateFile, NO_TROUBLE);
    return CHECK.ok;
  }
  const trouble = readTrouble(stateFile);
  if (!mayRestart(trouble, Date.now())) {
    write(
      `Agent3 not running. ${adviceAfter(trouble)}Next restart at ${isoDate(new Date(nextRestart(trouble)))} (${fault})`,
    );
    return CHECK.down;
  }
  // When a restart of the agent did not help, a command may be the cause.
  const isAgain = trouble.restarts > 0;
  write(`Agent3 not running. Restarting... (${fault}${isAgain ? '; every command is stopped too' : ''})`);
  if (isAgain) stopCommands(target.unit);
  return restartAndLook(options, trouble);
}

async function lookAgain(target: Target, seconds: number): Promise<string | undefined> {
  await Bun.sleep(seconds * 1000);
  return findFault(target);
}

const LOOK_MS = 1000;

async function restartAndLook(options: CheckOptions, before: Trouble): Promise<CheckResult> {
  const { target, write, stateFile, recoverySeconds } = options;
  // Counted until a later check succeeds: an agent that dies again within minutes still has the problem.
  const trouble: Trouble = { restarts: before.restarts + 1, lastRestart: Date.now() };
  writeTrouble(stateFile, trouble);
  let fault = restart(target.unit) ?? (await findFault(target));
  const end = performance.now() + recoverySeconds * 1000;
  while (fault !== undefined && performance.now() < end) {
    await Bun.sleep(LOOK_MS);
    fault = await findFault(target);
  }
  if (fault === undefined) {
    write('Agent3 running again');
    return CHECK.restarted;
  }
  write(`Agent3 still not running. ${adviceAfter(trouble)}(${fault})`);
  return CHECK.down;
}

/** Asks the owner to look, from the third restart that did not help. */
function adviceAfter({ restarts }: Trouble): string {
  if (restarts < RESTARTS_UNTIL_HELP) return '';
  return `${restarts} restarts did not help. The owner must look: journalctl -u agent3. `;
}

/** Checks by a cron schedule until `stop` aborts. Throws an `Error` for an invalid schedule. */
export async function checkOnSchedule(schedule: string, options: CheckOptions, stop: AbortSignal): Promise<void> {
  const { CronJob, validateCronExpression } = await import('cron');
  const { valid, error } = validateCronExpression(schedule);
  if (!valid)
    throw new Error(
      `AGENT3_WATCHDOG_SCHEDULE: "${schedule.slice(0, 60)}" is not a cron schedule: ${error?.message ?? ''}`,
    );
  const job = CronJob.from({
    cronTime: schedule,
    onTick: async () => void (await checkOnce(options)),
    errorHandler: (fault) => options.write(`the check itself failed: ${String(fault).slice(0, 300)}`),
    // A second check does not start during a long one.
    waitForCompletion: true,
    start: true,
  });
  await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()));
  await job.stop();
}
