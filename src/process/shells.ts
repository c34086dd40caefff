/** The pids of the shells that run now: the agent's own children, each of another session. */
const shells = new Set<number>();

/** Whether `pid` is the shell of a command that runs: then it is no process that another command left behind. */
export function isShell(pid: number): boolean {
  return shells.has(pid);
}

/** Notes a shell that was started. */
export function addShell(pid: number): void {
  shells.add(pid);
}

/** Forgets a shell that has ended. */
export function removeShell(pid: number): void {
  shells.delete(pid);
}
