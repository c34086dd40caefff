import { readlinkSync } from 'node:fs';
import { delay } from '../lib/clock.ts';
import { isDead, readStat } from '../linux/proc.ts';

/** What is about to end gets so long for it. */
const WAIT_MS = 200;
/** What has taken less CPU time and wants more has only begun: 50 ms, of which a busy machine gives little at a time. */
const BEGINNER_TICKS = 5;
const FIRST_LOOK_MS = 2;
const SLOWEST_LOOK_MS = 16;

/**
 * The processes that a command has left behind, once those of them that are about to end have had time for it: what
 * they write is output of the command. `left` are those that a first `look` found.
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
    // In the middle of exec(2), nothing tells whose process it is: what was seen once stays.
    pids = [...new Set([...pids.filter(isThere), ...look()])];
  }
  return pids.filter(isThere);
}

/** A job that was started last has not come to wait for anything; a process substitution reads a pipe. */
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
