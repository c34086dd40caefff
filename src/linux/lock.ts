import { fstatSync } from 'node:fs';
import { tryLock } from './libc.ts';
import { readProcFile } from './proc.ts';

/*
 * Every wait for a lock has a limit: a command of the same user can open the file, and hold it for as long as it runs.
 * Sandboxes do not see these files. A caller that finds a lock taken reports its holder.
 */

const LOOK_MS = 20;

/** How long a child of a killed agent may hold its locks, until it has become another program (vfork(2)). */
export const DYING_AGENT_MS = 500;

/** Takes the lock of an open file; false if another process holds it for all of `timeoutMs`. Blocks this process. */
export function lockWithin(fd: number, timeoutMs: number): boolean {
  const waitedFrom = performance.now();
  while (!tryLock(fd)) {
    if (performance.now() - waitedFrom >= timeoutMs) return false;
    Bun.sleepSync(LOOK_MS);
  }
  return true;
}

/**
 * Returns who holds the lock of an open file, for a person (`process 1234 (flock)`); `another process` if the kernel
 * names none, or its holder has left it to its children (proc(5), /proc/locks).
 */
export function lockHolder(fd: number): string {
  const { ino } = fstatSync(fd);
  const line = (readProcFile('/proc/locks') ?? '').split('\n').find((lock) => lock.includes(`:${ino} `));
  const pid = / FLOCK +ADVISORY +WRITE (\d+) /.exec(line ?? '')?.[1];
  const name = pid === undefined ? undefined : readProcFile(`/proc/${pid}/comm`)?.trim();
  return name === undefined ? 'another process' : `process ${pid} (${name})`;
}
