import { writeFileSync } from 'node:fs';

/** As nice(1): lower goes first, 0 is usual. At -10 nine times the weight (sched_prio_to_weight in the kernel). */
const AGENT_NICE = -10;

/**
 * Lets the agent go before its commands where no cgroup divides the CPU: Linux shares it among sessions of processes
 * (sched(7), autogroups), and each command is a session of its own. Only root may; elsewhere, and where the kernel has no
 * autogroups, nothing changes.
 */
export function goBeforeCommands(): void {
  try {
    writeFileSync('/proc/self/autogroup', String(AGENT_NICE));
  } catch {
    // Not root, or no autogroups: they share as equals.
  }
}
