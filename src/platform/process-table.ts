import { isDead, listPids, type ProcessStat, readEnvironment, readStat } from './proc.ts';

/** Nobody looks at an older one: its memory is freed. */
const KEPT_MS = 1000;

/**
 * Every live process but the agent itself, as /proc told at one moment. A look at 1,500 processes takes 20 to 50 ms, and
 * as long again with their environments: whoever may look at an older table shares it.
 */
export class ProcessTable {
  static #latest: ProcessTable | undefined;

  readonly stats: readonly ProcessStat[];
  readonly #takenMs = performance.now();
  readonly #environments = new Map<number, string>();

  private constructor() {
    const stats: ProcessStat[] = [];
    for (const pid of listPids()) {
      const stat = pid === process.pid ? undefined : readStat(pid);
      if (stat !== undefined && !isDead(stat)) stats.push(stat);
    }
    this.stats = stats;
  }

  /** The processes as they were at most `oldestMs` ago, and not before `sinceMs` of the monotonic clock. */
  static look(oldestMs: number, sinceMs: number): ProcessTable {
    const latest = ProcessTable.#latest;
    const isRecent = latest !== undefined && performance.now() - latest.#takenMs < oldestMs;
    if (isRecent && latest.#takenMs >= sinceMs) return latest;
    const table = new ProcessTable();
    ProcessTable.#latest = table;
    setTimeout(() => {
      if (ProcessTable.#latest === table) ProcessTable.#latest = undefined;
    }, KEPT_MS).unref();
    return table;
  }

  /** Whether the environment that a process of the table was started with holds `assignment` (`NAME=value`). */
  hasEnvironmentEntry(pid: number, assignment: string): boolean {
    const known = this.#environments.get(pid) ?? readEnvironment(pid);
    this.#environments.set(pid, known);
    return known.includes(`\0${assignment}\0`);
  }
}
