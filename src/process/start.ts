import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { delay, OneShotEvent } from '../lib/clock.ts';
import { startingWith } from '../linux/open-files.ts';
import { bootId, isDead, offerToOomKiller, readStat } from '../linux/proc.ts';
import { holdProcess, type ProcessHandle, statusOfZombie } from '../linux/process-end.ts';
import { Terminal } from './terminal.ts';
import { addShell, removeShell } from './tree.ts';

/** Open descriptors with one owner, which closes all of them. */
export class Descriptors implements Disposable {
  readonly #open = new Set<number>();

  /** Adds a descriptor and returns it. */
  add(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  /** Closes one of them before the others. */
  close(fd: number): void {
    if (this.#open.delete(fd)) closeSync(fd);
  }

  /** Passes one of them to the caller, which closes it from now on. */
  take(fd: number): number {
    this.#open.delete(fd);
    return fd;
  }

  /** Passes all of them to the caller, which closes them from now on. */
  release(): number[] {
    const all = [...this.#open];
    this.#open.clear();
    return all;
  }

  [Symbol.dispose](): void {
    for (const fd of this.release()) closeSync(fd);
  }
}

/** What a command is started with. The caller keeps the descriptors and closes them right after the start. */
export interface StartSpec {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A descriptor to read from, `ignore` for /dev/null, or a terminal for all three streams. */
  readonly stdin: number | 'ignore' | Terminal;
  /** Descriptors opened for append: the kernel writes the files, and no byte passes through the agent. */
  readonly stdout: number;
  readonly stderr: number;
  /** Descriptors that the command gets from number 3 on. */
  readonly more?: readonly number[];
  /** Path of the cgroup that the command is in from its first instruction on; undefined: the agent's own. */
  readonly cgroup: string | undefined;
}

/** How a process ended, by wait(2); both are `undefined` if that is unknown (a process that was not our child). */
export interface ExitStatus {
  readonly code: number | null;
  /** By name; real-time signals have no name and are numbers. */
  readonly signal: NodeJS.Signals | number | null;
}

/** A process that the agent watches: its child, or one that outlived an earlier agent. */
export interface WatchedProcess {
  /** 0 if it ended under an earlier agent: its pid may belong to another process by now. */
  readonly pid: number;
  /** Start time in clock ticks since boot; undefined if it ended before anybody asked. */
  startTicks(): number | undefined;
  /** When this agent started it, on the clock of `performance.now()`; undefined if an earlier agent did. */
  readonly startedMs?: number;
  readonly exited: OneShotEvent;
  /** How it ended; undefined while it runs, and if that stays unknown. */
  readonly status: () => ExitStatus | undefined;
}

/** Descriptors that Bun opens for a start: one for its failure, one to watch the process, and those of a terminal. */
const NEEDED = 4;
const NEEDED_WITH_TERMINAL = 12;

/**
 * Starts a command in its own session (setsid). Throws the system's error (`E2BIG`, `EAGAIN`, `EACCES` …) if it cannot
 * be started.
 */
export function start(spec: StartSpec): WatchedProcess {
  const exited = new OneShotEvent();
  let status: ExitStatus | undefined;
  const { stdin, stdout, stderr, more = [] } = spec;
  const terminal = stdin instanceof Terminal ? stdin : undefined;
  const streams = stdin instanceof Terminal ? { terminal: stdin.options() } : { stdin, stdout, stderr };
  const descriptors = more.length === 0 ? streams : withMore(streams, more);
  const startedMs = performance.now();
  const child = startingWith(terminal === undefined ? NEEDED : NEEDED_WITH_TERMINAL, () =>
    Bun.spawn([...spec.argv], {
      cwd: spec.cwd,
      env: spec.env,
      ...descriptors,
      detached: true,
      ...(spec.cgroup !== undefined && { cgroup: spec.cgroup }),
      onExit: (ended) => {
        removeShell(ended.pid);
        status = { code: ended.exitCode, signal: ended.signalCode };
        if (terminal === undefined) exited.fire();
        else void terminal.drained().then(() => exited.fire());
      },
    }),
  );
  terminal?.attach(child.terminal);
  addShell(child.pid);
  offerToOomKiller(child.pid);
  let ticks: number | undefined;
  const startTicks = (): number | undefined => {
    // Once it has ended, its pid may belong to another process. Read on demand: most commands end before anybody asks.
    if (!exited.fired) ticks ??= readStat(child.pid)?.startTicks;
    return ticks;
  };
  return { pid: child.pid, startTicks, startedMs, exited, status: () => status };
}

/** The same streams in the form that has more of them. With a terminal, the first three belong to the terminal. */
function withMore<Streams extends { stdin?: unknown; stdout?: unknown; stderr?: unknown }>(
  { stdin, stdout, stderr, ...rest }: Streams,
  more: readonly number[],
) {
  return { ...rest, stdio: [stdin, stdout, stderr, ...more] as never };
}

/** A process that ended under an earlier agent: only the processes that it left behind are watched. */
export function endedBefore(): WatchedProcess {
  const exited = new OneShotEvent();
  exited.fire();
  return { pid: 0, startTicks: () => undefined, exited, status: () => undefined };
}

/** Identifies a process beyond the agent's own life: a pid alone is reused. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}

/** Whether exactly this process is alive, not a later one with its pid. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== bootId()) return false;
  const stat = readStat(identity.pid);
  return stat !== undefined && stat.startTicks === identity.startTicks && !isDead(stat);
}

/** How often a process that is not our child is looked at: the kernel does not report its end. */
const ADOPTED_LOOK_MS = 200;

/**
 * Watches a process that outlived an earlier agent. Its end is known if it writes its exit code, which `keptCode` then
 * reads, or if the kernel reports the end of a process that is not our child.
 */
export function adopt(identity: ProcessIdentity, keptCode: () => number | null): WatchedProcess {
  const exited = new OneShotEvent();
  let status: ExitStatus | undefined;
  const watch = async (): Promise<void> => {
    using handle = holdProcess(identity.pid);
    // Its pid may have belonged to another process when the handle was opened.
    const held = isAlive(identity) ? handle : undefined;
    while (isAlive(identity)) await delay(ADOPTED_LOOK_MS);
    const code = keptCode();
    if (code !== null) status = { code, signal: null };
    else status = await endOf(identity, held);
    exited.fire();
  };
  void watch();
  return { pid: identity.pid, startTicks: () => identity.startTicks, exited, status: () => status };
}

/**
 * If its parent waits for it, as init usually does at once, the handle reports the end; else the process table does.
 */
async function endOf({ pid, startTicks }: ProcessIdentity, handle?: ProcessHandle): Promise<ExitStatus | undefined> {
  const look = (): number | undefined => statusOfZombie(pid, startTicks) ?? handle?.waitStatus();
  let waited = look();
  if (waited === undefined) {
    await delay(ADOPTED_LOOK_MS);
    waited = look();
  }
  return waited === undefined ? undefined : exitStatusOf(waited);
}

/** Splits what wait(2) returns: a signal in the lowest seven bits, or an exit code in the next byte. */
export function exitStatusOf(waited: number): ExitStatus {
  const number = waited & 0x7f;
  if (number === 0) return { code: (waited >> 8) & 0xff, signal: null };
  const named = Object.entries(constants.signals).find(([, value]) => value === number);
  return { code: null, signal: (named?.[0] as NodeJS.Signals | undefined) ?? number };
}
