import { openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { withReserve } from './open-files.ts';

/** One line of /proc/<pid>/stat, as far as a process tree needs it (proc(5)). */
export interface ProcessStat {
  readonly pid: number;
  /** One letter: R, S, D, T, Z … */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** The N of its controlling terminal, /dev/pts/N; undefined without one, and for other terminals. */
  readonly terminal: number | undefined;
  /** Process group in the foreground of its terminal; -1 without a terminal. */
  readonly foreground: number;
  /** CPU time of user and system, in clock ticks. */
  readonly cpuTicks: number;
  readonly threads: number;
  /** Start time in clock ticks since boot: with the pid and the boot id it identifies a process for good. */
  readonly startTicks: number;
}

/** A process that still exists in the table but has ended. */
export function isDead(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X' || stat.state === 'x';
}

/** Returns what /proc has about `pid`, or undefined if there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  const text = readProcFile(`/proc/${pid}/stat`);
  return text === undefined ? undefined : parseStat(pid, text);
}

/** Parses a line of /proc/<pid>/stat. The second field, the program's name in parentheses, may contain anything. */
export function parseStat(pid: number, text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, group, session] = fields;
  const startTicks = fields[19];
  if (state === undefined || startTicks === undefined) return undefined;
  return {
    pid,
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    terminal: pseudoTerminal(Number(fields[4])),
    foreground: Number(fields[5]),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    threads: Number(fields[17]),
    startTicks: Number(startTicks),
  };
}

/** UNIX98_PTY_SLAVE_MAJOR (linux/major.h). */
const PSEUDO_TERMINALS = 136;

/** Returns the N of /dev/pts/N for a device number as of makedev(3). */
function pseudoTerminal(device: number): number | undefined {
  return ((device >>> 8) & 0xfff) === PSEUDO_TERMINALS ? (device & 0xff) | ((device >>> 12) & 0xfff00) : undefined;
}

/** Whether `pid` is the first process of a PID namespace below ours: when it ends, the kernel ends all of them. */
export function isInit(pid: number): boolean {
  const numbers = /^NSpid:\s+(.+)$/m.exec(readProcFile(`/proc/${pid}/status`) ?? '')?.[1]?.split(/\s+/) ?? [];
  return numbers.length > 1 && numbers.at(-1) === '1';
}

/** Returns the umask of the agent and of what it starts. umask(2) would have to set another one to find out. */
export function ownUmask(): number {
  return Number.parseInt(/^Umask:\s+([0-7]+)$/m.exec(readProcFile('/proc/self/status') ?? '')?.[1] ?? '022', 8);
}

/** Whether a process has no living child; false if the kernel does not list them (`CONFIG_PROC_CHILDREN`). */
export function isChildless(pid: number): boolean {
  const children = readProcFile(`/proc/${pid}/task/${pid}/children`);
  if (children === undefined) return readStat(pid) === undefined;
  const stats = children.split(' ').filter(Boolean).map(Number).map(readStat);
  return stats.every((stat) => stat === undefined || isDead(stat));
}

/** Whether a process has a handler for a signal, by its number (proc(5), SigCgt). */
export function catchesSignal(pid: number, signal: number): boolean {
  const mask = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readProcFile(`/proc/${pid}/status`) ?? '')?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) >> BigInt(signal - 1)) % 2n === 1n;
}

/** Returns every process that /proc lists, without those that ended meanwhile. */
export function listPids(): number[] {
  const pids: number[] = [];
  for (const name of withReserve(() => readdirSync('/proc'))) {
    const pid = Number(name);
    if (Number.isInteger(pid)) pids.push(pid);
  }
  return pids;
}

/**
 * Returns the initial environment of `pid`, with a NUL before each entry and after the last. Empty if it cannot be
 * read.
 */
export function readEnvironment(pid: number): string {
  return `\0${readProcFile(`/proc/${pid}/environ`) ?? ''}`;
}

/** Whether the initial environment of `pid` has `assignment` (`NAME=value`). False if it cannot be read. */
export function hasEnvironmentEntry(pid: number, assignment: string): boolean {
  return readEnvironment(pid).includes(`\0${assignment}\0`);
}

/** Kept open, because it is read after every command: each read from the beginning returns current figures. */
let loadAverage: number | undefined;
const line = Buffer.alloc(128);

/** Returns the pid that the kernel assigned last in this pid namespace: the fifth field of /proc/loadavg. */
export function lastPid(): number | undefined {
  loadAverage ??= openSync('/proc/loadavg', 'r');
  const text = line.toString('latin1', 0, readSync(loadAverage, line, 0, line.length, 0));
  const pid = Number(text.slice(text.lastIndexOf(' ') + 1));
  return Number.isInteger(pid) ? pid : undefined;
}

let bootIdentifier: string | undefined;

/** Identifies this boot of the machine: a pid recorded under another boot is invalid. */
export function bootId(): string {
  bootIdentifier ??= (readProcFile('/proc/sys/kernel/random/boot_id') ?? 'unknown').trim();
  return bootIdentifier;
}

let protectedFromOom: boolean | undefined;

/** Added by the kernel to a process's badness when memory runs out: the highest is ended first (proc(5)). */
const COMMAND_OOM_SCORE = 500;

/**
 * If the service manager protects the agent from the OOM killer, its commands inherit that: this removes it from `pid`,
 * so that a command is ended before the agent and before the rest of the machine. Otherwise it does nothing.
 */
export function offerToOomKiller(pid: number): void {
  protectedFromOom ??= Number(readProcFile('/proc/self/oom_score_adj') ?? 0) < 0;
  if (!protectedFromOom) return;
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(COMMAND_OOM_SCORE));
  } catch {
    // The process has ended.
  }
}

/** Returns undefined for a process that ends while it is read (ENOENT, ESRCH), or belongs to another user (EACCES). */
export function readProcFile(path: string): string | undefined {
  try {
    return withReserve(() => readFileSync(path, 'latin1'));
  } catch {
    return undefined;
  }
}

/** As nice(1): lower goes first, 0 is usual. At -10 nine times the weight (sched_prio_to_weight in the kernel). */
const AGENT_NICE = -10;

/**
 * Lets the agent go before its commands if no cgroup divides the CPU: Linux shares it among sessions of processes
 * (sched(7), autogroups), and each command is its own session. Only root may; elsewhere, and without autogroups,
 * nothing changes.
 */
export function goBeforeCommands(): void {
  try {
    writeFileSync('/proc/self/autogroup', String(AGENT_NICE));
  } catch {
    // Not root, or no autogroups: they share as equals.
  }
}

/** An older table is not used: its memory is freed. */
const KEPT_MS = 1000;

/** What stays true of a process as long as it lives, whatever it does later. */
interface Origin {
  readonly startTicks: number;
  /** The shell that it descends from. Its parent may end, and /proc then no longer shows it. */
  shell?: number;
  /**
   * The variables in its environment that mark the processes of a session; a process may clear its environment later.
   */
  marks?: readonly string[];
}

/**
 * Every live process except the agent itself, from /proc at one moment. Reading 1,500 processes takes 20 to 50 ms, and
 * as long again with their environments: callers that accept an older table share it, and what does not change is
 * remembered. Reading the environment of a process in exec(2) waits for it, which takes many seconds among thousands
 * that want the CPU: each is read once.
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

  /** Returns the processes as they were at most `oldestMs` ago, and not before `sinceMs` of the monotonic clock. */
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

  /** Returns the shell that a process of the table descends from, as noted in this table or in an earlier one. */
  shellOf(pid: number): number | undefined {
    return this.#origins.get(pid)?.shell;
  }

  /** Notes which shell a process of the table descends from. */
  noteShell(pid: number, shell: number): void {
    const origin = this.#origins.get(pid);
    if (origin !== undefined) origin.shell = shell;
  }

  /**
   * Whether a process of the table was ever seen with `mark` (`NAME=value`) in its environment; NAME is always the
   * same.
   */
  isMarked(pid: number, mark: string): boolean {
    const origin = this.#origins.get(pid);
    if (origin === undefined) return false;
    const name = mark.slice(0, mark.indexOf('=') + 1);
    const marks = origin.marks ?? marksIn(readEnvironment(pid), name);
    if (marks !== undefined) origin.marks = marks;
    return marks?.includes(mark) === true;
  }
}

/** Returns undefined if there is nothing to read: during exec(2) the kernel shows an empty environment. */
function marksIn(environment: string, name: string): string[] | undefined {
  const entries = environment.split('\0').filter((entry) => entry !== '');
  return entries.length === 0 ? undefined : entries.filter((entry) => entry.startsWith(name));
}
