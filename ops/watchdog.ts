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
 * The watchdog: is the agent alive, and if not, restart it. It imports nothing of src, so that it lives when the agent
 * is broken.
 */

/** How a check ended, as the exit code tells it. */
export const CHECK = { ok: 0, restarted: 1, down: 3 } as const;
export type CheckResult = (typeof CHECK)[keyof typeof CHECK];

export interface CheckOptions {
  readonly target: Target;
  readonly write: WriteLine;
  /** The directory of the logs that are not to grow beyond their size; undefined: nobody asked for that. */
  readonly logs: string | undefined;
  /** Where it remembers its restarts. */
  readonly stateFile: string;
  /** Between the first look and the second, before anything is done. */
  readonly recheckSeconds: number;
  /** How long a restarted agent may take to be well. */
  readonly recoverySeconds: number;
}

/** One check: looks, looks again when something is wrong, restarts when it still is; writes what it found. */
export async function checkOnce(options: CheckOptions): Promise<CheckResult> {
  const { target, write, stateFile, recheckSeconds } = options;
  const rotation = options.logs === undefined ? undefined : rotateLargeLogs(options.logs);
  if (rotation !== undefined) write(rotation);
  if (readService(target.unit).isSwitchedOff) {
    write('Agent3 is switched off (its unit is disabled and stopped)');
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
  // What a restart of the agent alone did not mend, a command may hold up.
  const isAgain = trouble.restarts > 0;
  write(`Agent3 not running. Restarting... (${fault}${isAgain ? '; every command is stopped as well' : ''})`);
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
  // Counted until a later check finds the agent well: one that dies again within minutes was not helped.
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

/** From the third restart in vain, the owner is asked to look. */
function adviceAfter({ restarts }: Trouble): string {
  if (restarts < RESTARTS_UNTIL_HELP) return '';
  return `${restarts} restarts did not help: the owner has to look, journalctl -u agent3. `;
}

/** Checks by a cron schedule until `stop` happens. Throws an `Error` for a schedule that is none. */
export async function checkOnSchedule(schedule: string, options: CheckOptions, stop: AbortSignal): Promise<void> {
  const { CronJob, validateCronExpression } = await import('cron');
  const { valid, error } = validateCronExpression(schedule);
  if (!valid)
    throw new Error(
      `AGENT3_WATCHDOG_SCHEDULE: "${schedule.slice(0, 60)}" is no schedule of cron: ${error?.message ?? ''}`,
    );
  const job = CronJob.from({
    cronTime: schedule,
    onTick: async () => void (await checkOnce(options)),
    errorHandler: (fault) => options.write(`the check itself failed: ${String(fault).slice(0, 300)}`),
    // A check that takes long is not joined by a second one.
    waitForCompletion: true,
    start: true,
  });
  await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()));
  await job.stop();
}
