import { closeSync, openSync, readFileSync } from 'node:fs';
import { hasFree, outOfFiles } from './descriptors.ts';
import { libc } from './libc.ts';
import { hasSystemd } from './systemd.ts';

/** Descriptors kept for what must not fail when the agent has as many open as it may. */
const RESERVED = 4;
const reserve: number[] = [];

/** Returns the result of `work`. If no descriptor is free, it is tried again with those that are kept. */
export function withReserve<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const isOut = error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE');
    if (!isOut || reserve.length === 0) throw error;
  }
  for (const fd of reserve.splice(0)) closeSync(fd);
  try {
    return work();
  } finally {
    fillReserve();
  }
}

function fillReserve(): void {
  try {
    while (reserve.length < RESERVED) reserve.push(openSync('/dev/null', 'r'));
  } catch {
    // The next call that needs one tries again.
  }
}

/** How many descriptors a process may have (getrlimit(2)). */
export interface FileLimits {
  readonly soft: number;
  readonly hard: number;
}

/** The limits of commands, if the agent's are higher: Bun raises its own limit. */
let startLimits: FileLimits | undefined;

/**
 * The soft limit that Linux begins with, and systemd keeps for every service. Programs that need more raise it
 * themselves.
 */
const USUAL_SOFT = 1024;
/** The hard limit of systemd for a service which sets none (systemd-system.conf(5), `DefaultLimitNOFILE=`). */
const SYSTEMD_HARD = 524_288;

/** Must be called once, when the agent starts. */
export function noteFileLimits(): void {
  fillReserve();
  const own = fileLimits(process.pid);
  if (own === undefined) return;
  // Without systemd, the first process has started nothing: it is the parent of all orphans.
  const isOrphan = process.ppid === 1 && !hasSystemd();
  const soft = softAtStart(own, isOrphan ? undefined : fileLimits(process.ppid));
  if (soft < own.soft) startLimits = { soft, hard: own.hard };
}

/**
 * Returns the soft limit that the agent most likely began with. Bun has raised it to the hard one by now, so it is
 * derived from the limits of its parent. A lower hard limit was set on the way (`ulimit -n`, `LimitNOFILE=`), and the
 * soft one with it; else a lower soft limit was inherited. If neither is so (`ulimit -Sn` right before the start, a
 * container, a service without its own limit), it is the usual one.
 */
export function softAtStart(own: FileLimits, parents: FileLimits | undefined): number {
  if (parents === undefined || own.hard === SYSTEMD_HARD)
    return Math.min(own.hard, USUAL_SOFT, parents?.soft ?? own.hard);
  if (own.hard < parents.hard) return own.hard;
  return parents.soft < own.hard ? parents.soft : Math.min(own.hard, USUAL_SOFT);
}

function fileLimits(pid: number): FileLimits | undefined {
  try {
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1')) ?? [];
    return soft === undefined ? undefined : { soft: Number(soft), hard: Number(hard) };
  } catch {
    // It is another user's, or has ended.
    return undefined;
  }
}

/** setrlimit(2): RLIMIT_NOFILE. */
const OPEN_FILES = 7;

/** Sets how many descriptors the agent, and what it starts from now on, may have. */
function setSoftFileLimit(soft: number, hard: number): void {
  libc().setrlimit(OPEN_FILES, new BigUint64Array([BigInt(soft), BigInt(hard)]));
}

/**
 * Returns the result of `start`, which starts a process and needs at most `needed` descriptors. The process may open as
 * many files as the agent could when it was started. Throws EMFILE before `start` if too few are free: Bun itself would
 * fail after the start, and leave the process alone.
 */
export function startingWith<T>(needed: number, start: () => T): T {
  if (startLimits !== undefined) {
    const { soft, hard } = startLimits;
    setSoftFileLimit(soft, hard);
    try {
      if (hasFree(needed)) return start();
    } finally {
      setSoftFileLimit(hard, hard);
    }
  }
  if (hasFree(needed)) return start();
  throw outOfFiles();
}
