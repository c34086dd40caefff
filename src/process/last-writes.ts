import { readlinkSync } from 'node:fs';
import { delay } from '../lib/clock.ts';
import { isDead, readStat } from '../linux/proc.ts';

/** Processes that are about to end get this much time for it. */
const WAIT_MS = 200;
/** A process with less CPU time that wants more has only begun. 50 ms: a busy machine assigns little at a time. */
const BEGINNER_TICKS = 5;
const FIRST_LOOK_MS = 2;
const SLOWEST_LOOK_MS = 16;

/**
 * Returns the processes that a command has left behind, after those that are about to end had time to do so: what they
 * write is output of the command. `left` are the processes that a first `look` found.
 */
export async function afterLastWrites(
  left: readonly number[],
  look: () => readonly number[],
): Promise<readonly number[]> {
  const endMs = performance.now() + WAIT_MS;
  let pids = left;
  for (let pauseMs = FIRST_LOOK_MS; pids.some(isAboutToEnd) && performance.now() < endMs; ) {
    await delay(pauseMs);
    pauseMs = Math.min(2 * pauseMs, SLOWEST_LOOK_MS);
    // During exec(2), a process cannot be assigned to a command: what was seen once stays.
    pids = [...new Set([...pids.filter(isThere), ...look()])];
  }
  return pids.filter(isThere);
}

/** A job that was started last does not wait for anything yet; a process substitution reads a pipe. */
function isAboutToEnd(pid: number): boolean {
  const stat = readStat(pid);
  if (stat === undefined || isDead(stat)) return false;
  return ('RD'.includes(stat.state) && stat.cpuTicks < BEGINNER_TICKS) || readsPipe(pid);
}

function isThere(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && !isDead(stat);
}

function readsPipe(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/0`).startsWith('pipe:');
  } catch {
    return false;
  }
}
