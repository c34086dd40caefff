import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { delay, OneShotEvent } from '../lib/clock.ts';
import { startingWith } from '../linux/open-files.ts';
import { bootId, isDead, offerToOomKiller, readStat } from '../linux/proc.ts';
import { holdProcess, type ProcessHandle, statusOfZombie } from '../linux/process-end.ts';
import { Terminal } from './terminal.ts';
import { addShell, removeShell } from './tree.ts';

/** Open descriptors with one owner, who closes all of them. */
export class Descriptors implements Disposable {
  readonly #open = new Set<number>();

  /** Takes over a descriptor, and gives it back. */
  add(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  /** Closes one of them before the others. */
  close(fd: number): void {
    if (this.#open.delete(fd)) closeSync(fd);
  }

  /** Gives one of them to the caller, who closes it from now on. */
  take(fd: number): number {
    this.#open.delete(fd);
    return fd;
  }

  /** Gives all of them to the caller, who closes them from now on. */
  release(): number[] {
    const all = [...this.#open];
    this.#open.clear();
    return all;
  }

  [Symbol.dispose](): void {
    for (const fd of this.release()) closeSync(fd);
  }
}

/** What a command is started with. The descriptors stay the caller's: it closes them right after the start. */
export interface StartSpec {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A descriptor to read from, `ignore` for /dev/null, or a terminal, which is then all three streams. */
  readonly stdin: number | 'ignore' | Terminal;
  /** Descriptors opened for append: the kernel writes the files, no byte passes through the agent. */
  readonly stdout: number;
  readonly stderr: number;
  /** Descriptors that the command gets from number 3 on. */
  readonly more?: readonly number[];
  /** Path of the cgroup that the command is in from its first instruction; undefined: the agent's own. */
  readonly cgroup: string | undefined;
}

/** How a process ended, as wait(2) tells; `undefined` of both where nobody could tell (a process that was not our child). */
export interface ExitStatus {
  readonly code: number | null;
  /** By name; real-time signals have none and come as their number. */
  readonly signal: NodeJS.Signals | number | null;
}

/** A process that the agent watches: its child, or one that outlived an earlier agent. */
export interface WatchedProcess {
  /** 0 when it ended under an earlier agent: its number may be another's by now. */
  readonly pid: number;
  /** Start time in clock ticks since boot; undefined when it has ended before anybody asked. */
  startTicks(): number | undefined;
  /** When this agent started it, on the clock of `performance.now()`; undefined where an earlier one did. */
  readonly startedMs?: number;
  readonly exited: OneShotEvent;
  /** How it ended; undefined while it runs, and for ever where nobody can know. */
  readonly status: () => ExitStatus | undefined;
}

/** Descriptors that Bun opens for a start: to learn of its failure, and to watch the process; those of a terminal. */
const NEEDED = 4;
const NEEDED_WITH_TERMINAL = 12;

/**
 * Starts a command in a session of its own (setsid). Throws the system's error (`E2BIG`, `EAGAIN`, `EACCES` …)
 * when it cannot be started.
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
    // Once it has ended, its pid may be another's. Read on demand: most commands are over before anybody asks.
    if (!exited.fired) ticks ??= readStat(child.pid)?.startTicks;
    return ticks;
  };
  return { pid: child.pid, startTicks, startedMs, exited, status: () => status };
}

/** The same streams in the form that takes more of them; with a terminal, its three are the terminal's. */
function withMore<Streams extends { stdin?: unknown; stdout?: unknown; stderr?: unknown }>(
  { stdin, stdout, stderr, ...rest }: Streams,
  more: readonly number[],
) {
  return { ...rest, stdio: [stdin, stdout, stderr, ...more] as never };
}

/** A process that ended under an earlier agent: only what it left behind is to be watched. */
export function endedBefore(): WatchedProcess {
  const exited = new OneShotEvent();
  exited.fire();
  return { pid: 0, startTicks: () => undefined, exited, status: () => undefined };
}

/** Names a process beyond the agent's own life: a pid alone is handed out again. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}

/** Whether exactly this process, not a later one with its pid, is alive. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== bootId()) return false;
  const stat = readStat(identity.pid);
  return stat !== undefined && stat.startTicks === identity.startTicks && !isDead(stat);
}

/** How often a process that is not our child is looked at: the kernel does not tell us of its end. */
const ADOPTED_LOOK_MS = 200;

/**
 * Watches a process that outlived an earlier agent. How it ends is known where it leaves its exit code, which `keptCode`
 * reads then, or where the kernel tells it of a process that is not our child.
 */
export function adopt(identity: ProcessIdentity, keptCode: () => number | null): WatchedProcess {
  const exited = new OneShotEvent();
  let status: ExitStatus | undefined;
  const watch = async (): Promise<void> => {
    using handle = holdProcess(identity.pid);
    // Its number may have been another's by the time that it was held.
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

/** Where its parent waits for it, as init mostly does at once, the handle tells; else the process table does. */
async function endOf({ pid, startTicks }: ProcessIdentity, handle?: ProcessHandle): Promise<ExitStatus | undefined> {
  const look = (): number | undefined => statusOfZombie(pid, startTicks) ?? handle?.waitStatus();
  let waited = look();
  if (waited === undefined) {
    await delay(ADOPTED_LOOK_MS);
    waited = look();
  }
  return waited === undefined ? undefined : exitStatusOf(waited);
}

/** The two halves of what wait(2) gives: a signal in the lowest seven bits, or a code in the next byte. */
export function exitStatusOf(waited: number): ExitStatus {
  const number = waited & 0x7f;
  if (number === 0) return { code: (waited >> 8) & 0xff, signal: null };
  const named = Object.entries(constants.signals).find(([, value]) => value === number);
  return { code: null, signal: (named?.[0] as NodeJS.Signals | undefined) ?? number };
}
