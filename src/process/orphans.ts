import { hasEndedChild, reap } from '../linux/children.ts';
import { listPids, readStat } from '../linux/proc.ts';

const LOOK_MS = 500;

/**
 * As the first process of a container (PID 1), the agent becomes the parent of all orphans. It waits for them, or they
 * would stay as zombies. Those that Bun itself waits for are gone at the next look: only a zombie that was seen twice
 * is reaped.
 */
export function reapOrphans(): void {
  if (process.pid !== 1) return;
  let seen: ReadonlySet<number> = new Set();
  const look = (): void => {
    // The pid of a zombie is not assigned to another process.
    const ended = hasEndedChild() ? listPids().filter(isEndedChild) : [];
    for (const pid of ended) if (seen.has(pid)) reap(pid);
    seen = new Set(ended);
  };
  setInterval(look, LOOK_MS).unref();
}

function isEndedChild(pid: number): boolean {
  const stat = readStat(pid);
  return stat?.state === 'Z' && stat.parent === process.pid;
}
