import { readdirSync, readFileSync } from 'node:fs';
import { eventually } from './waiting.ts';

/** Whether the process runs; one that has ended and only waits to be reaped does not. */
export function isAlive(pid: number): boolean {
  const stat = readProc(`${pid}/stat`);
  if (stat === undefined) return false;
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  return state !== 'Z' && state !== 'X';
}

/** Resolves when the process has ended. */
export async function gone(pid: number): Promise<void> {
  await eventually(`process ${pid} ends`, () => !isAlive(pid));
}

/** Pids of the live processes whose environment holds `assignment` (`NAME=value`). */
export function processesWith(assignment: string): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((pid) => isAlive(pid) && readProc(`${pid}/environ`)?.split('\0').includes(assignment));
}

/** Ends every process that a session left, whatever became of its agent. */
export function killProcessesOf(session: string): void {
  for (const pid of processesWith(`AGENT3_SESSION=${session}`)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

/** A file of /proc; undefined where the process is gone or another user's. */
export function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'latin1');
  } catch {
    return undefined;
  }
}

/** The pid that a command wrote as its output. */
export function pidIn(text: string): number {
  const pid = Number(text.trim());
  if (!Number.isInteger(pid) || pid < 2) throw new Error(`no pid: ${JSON.stringify(text)}`);
  return pid;
}
