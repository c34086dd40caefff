import { libc } from './libc.ts';

/** waitid(2): P_ALL and P_PID; WNOHANG | WEXITED, and with that WNOWAIT. */
const [P_ALL, P_PID] = [0, 1];
const [ENDED_NOW, LEAVE_WAITABLE] = [1 | 4, 1 | 4 | 0x0100_0000];
/** `siginfo_t` on 64-bit Linux: its size, and the offset of `si_pid`. */
const [SIGINFO_BYTES, SI_PID] = [128, 16];

/** Whether a child has ended that nothing has waited for. */
export function hasEndedChild(): boolean {
  const info = Buffer.alloc(SIGINFO_BYTES);
  return libc().waitid(P_ALL, 0, info, LEAVE_WAITABLE) === 0 && info.readInt32LE(SI_PID) !== 0;
}

/** Waits for an ended child, so that the kernel forgets it. */
export function reap(pid: number): void {
  libc().waitid(P_PID, pid, Buffer.alloc(SIGINFO_BYTES), ENDED_NOW);
}
