import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** What the watchdog remembers: restarts since the agent was last found well. */
export interface Trouble {
  readonly restarts: number;
  /** Milliseconds since the epoch. */
  readonly lastRestart: number;
}

export const NO_TROUBLE: Trouble = { restarts: 0, lastRestart: 0 };

const FIRST_WAIT_MINUTES = 5;
const LONGEST_WAIT_MINUTES = 60;
/** A timer that comes a little early is not sent away for five more minutes. */
const SLACK_MS = 30_000;

/** After this many restarts that did not help, a person has to look. */
export const RESTARTS_UNTIL_HELP = 3;

/** The earliest time of the next restart, in milliseconds since the epoch: the waits double, up to an hour. */
export function nextRestart({ restarts, lastRestart }: Trouble): number {
  if (restarts === 0) return 0;
  const minutes = Math.min(FIRST_WAIT_MINUTES * 2 ** (restarts - 1), LONGEST_WAIT_MINUTES);
  return lastRestart + minutes * 60_000;
}

/** Whether the agent may be restarted at `now`. A clock that was set back does not hold restarts up. */
export function mayRestart(trouble: Trouble, now: number): boolean {
  return now >= nextRestart(trouble) - SLACK_MS || now < trouble.lastRestart;
}

/** The memory in `path`; none when there is no such file or it was damaged. */
export function readTrouble(path: string): Trouble {
  try {
    const { restarts, lastRestart } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    if (!Number.isInteger(restarts) || !Number.isInteger(lastRestart)) return NO_TROUBLE;
    return { restarts: Number(restarts), lastRestart: Number(lastRestart) };
  } catch {
    return NO_TROUBLE;
  }
}

/** Writes the memory; nothing to remember removes it. */
export function writeTrouble(path: string, trouble: Trouble): void {
  if (trouble.restarts === 0) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, JSON.stringify(trouble), { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
