import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** The state of the watchdog: restarts since the last successful check. */
export interface Trouble {
  readonly restarts: number;
  /** Milliseconds since the epoch. */
  readonly lastRestart: number;
}

export const NO_TROUBLE: Trouble = { restarts: 0, lastRestart: 0 };

const FIRST_WAIT_MINUTES = 5;
const LONGEST_WAIT_MINUTES = 60;
/** Tolerance for a timer that is a little early. */
const SLACK_MS = 30_000;

/** After this many restarts that did not help, a person must look. */
export const RESTARTS_UNTIL_HELP = 3;

/** Returns the earliest time of the next restart, in milliseconds since the epoch. The wait doubles, up to an hour. */
export function nextRestart({ restarts, lastRestart }: Trouble): number {
  if (restarts === 0) return 0;
  const minutes = Math.min(FIRST_WAIT_MINUTES * 2 ** (restarts - 1), LONGEST_WAIT_MINUTES);
  return lastRestart + minutes * 60_000;
}

/** Returns true when the agent may be restarted at `now`. A clock that was set back does not delay restarts. */
export function mayRestart(trouble: Trouble, now: number): boolean {
  return now >= nextRestart(trouble) - SLACK_MS || now < trouble.lastRestart;
}

/** Reads the state in `path`; empty when the file is missing or damaged. */
export function readTrouble(path: string): Trouble {
  try {
    const { restarts, lastRestart } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    if (!Number.isInteger(restarts) || !Number.isInteger(lastRestart)) return NO_TROUBLE;
    return { restarts: Number(restarts), lastRestart: Number(lastRestart) };
  } catch {
    return NO_TROUBLE;
  }
}

/** Writes the state, or removes the file when the state is empty. */
export function writeTrouble(path: string, trouble: Trouble): void {
  if (trouble.restarts === 0) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, JSON.stringify(trouble), { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
