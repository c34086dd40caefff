import { tryLock } from './libc.ts';

const LOOK_MS = 20;

/**
 * A child of an agent that was killed just now holds its locks until it has become another program (vfork(2)): for so
 * long a new agent waits for them.
 */
export const DYING_AGENT_MS = 500;

/** Takes the lock of an open file; false where another process holds it for all of `patienceMs`. Blocks this process. */
export function lockWithin(fd: number, patienceMs: number): boolean {
  const waitedFrom = performance.now();
  while (!tryLock(fd)) {
    if (performance.now() - waitedFrom >= patienceMs) return false;
    Bun.sleepSync(LOOK_MS);
  }
  return true;
}
