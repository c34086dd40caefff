import { readlinkSync } from 'node:fs';
import { delay } from '../lib/clock.ts';
import { isDead, readStat } from '../linux/proc.ts';

/** What reads a pipe, as a process substitution does, gets so long to write what it has read. */
const READER_MS = 200;
/** What has not come to wait for anything, as a job that was started last. */
const BEGINNER_MS = 50;
const FIRST_LOOK_MS = 2;
const SLOWEST_LOOK_MS = 16;

/**
 * The processes that a command has left behind, once those of them that are about to end have had time for it: what
 * they write is output of the command. `left` looks for them.
 */
export async function afterLastWrites(left: () => readonly number[]): Promise<readonly number[]> {
  const sinceMs = performance.now();
  let pids = left();
  for (let pauseMs = FIRST_LOOK_MS; pids.some((pid) => isAboutToEnd(pid, performance.now() - sinceMs)); ) {
    await delay(pauseMs);
    pauseMs = Math.min(2 * pauseMs, SLOWEST_LOOK_MS);
    pids = left();
  }
  return pids;
}

function isAboutToEnd(pid: number, waitedMs: number): boolean {
  const stat = readStat(pid);
  if (stat === undefined || isDead(stat)) return false;
  return (waitedMs < BEGINNER_MS && 'RD'.includes(stat.state)) || (waitedMs < READER_MS && readsPipe(pid));
}

function readsPipe(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/0`).startsWith('pipe:');
  } catch {
    return false;
  }
}
