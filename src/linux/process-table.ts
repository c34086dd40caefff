import { isDead, listPids, type ProcessStat, readEnvironment, readStat } from './proc.ts';

/** Nobody looks at an older one: its memory is freed. */
const KEPT_MS = 1000;

/** What stays true of a process as long as it lives, whatever it does later. */
interface Origin {
  readonly startTicks: number;
  /** The shell that it descends from. Its parent may end, and with it what /proc tells of that. */
  shell?: number;
  /** What it got of the variable that marks the processes of a session; a process may clear its environment later. */
  marks?: readonly string[];
}

/**
 * Every live process but the agent itself, as /proc told at one moment. A look at 1,500 processes takes 20 to 50 ms, and
 * as long again with their environments: whoever may look at an older table shares it, and what does not change is
 * remembered from one to the next. To read the environment of a process that is in exec(2) waits for it, which among
 * thousands that want the CPU takes many seconds: each is read once.
 */
export class ProcessTable {
  static #latest: ProcessTable | undefined;
  static #known = new Map<number, Origin>();

  readonly stats: readonly ProcessStat[];
  readonly #takenMs = performance.now();
  readonly #origins = new Map<number, Origin>();

  private constructor() {
    const stats: ProcessStat[] = [];
    for (const pid of listPids()) {
      const stat = pid === process.pid ? undefined : readStat(pid);
      if (stat === undefined || isDead(stat)) continue;
      stats.push(stat);
      const known = ProcessTable.#known.get(pid);
      this.#origins.set(pid, known?.startTicks === stat.startTicks ? known : { startTicks: stat.startTicks });
    }
    this.stats = stats;
    ProcessTable.#known = this.#origins;
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

  /** The shell that a process of the table descends from, as it was noted in this table or in an earlier one. */
  shellOf(pid: number): number | undefined {
    return this.#origins.get(pid)?.shell;
  }

  /** Notes which shell a process of the table descends from. */
  noteShell(pid: number, shell: number): void {
    const origin = this.#origins.get(pid);
    if (origin !== undefined) origin.shell = shell;
  }

  /** Whether a process of the table was ever seen with `mark` (`NAME=value`) in its environment; NAME is always the same. */
  isMarked(pid: number, mark: string): boolean {
    const origin = this.#origins.get(pid);
    if (origin === undefined) return false;
    const name = mark.slice(0, mark.indexOf('=') + 1);
    const marks = origin.marks ?? marksIn(readEnvironment(pid), name);
    if (marks !== undefined) origin.marks = marks;
    return marks?.includes(mark) === true;
  }
}

/** Undefined where there is nothing to read: in the middle of exec(2) the kernel shows an empty environment. */
function marksIn(environment: string, name: string): string[] | undefined {
  const entries = environment.split('\0').filter((entry) => entry !== '');
  return entries.length === 0 ? undefined : entries.filter((entry) => entry.startsWith(name));
}
