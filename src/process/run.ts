import { constants } from 'node:os';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { catchesSignal, isChildless, isDead, isInit, readStat } from '../linux/proc.ts';
import { afterLastWrites } from './last-writes.ts';
import { asksToEnd, type SignalName } from './signals.ts';
import type { ExitStatus, WatchedProcess } from './start.ts';
import { kill, terminate } from './terminate.ts';
import { type Standing, TimeLimit } from './time-limit.ts';
import { type ProcessTree, sendSignal } from './tree.ts';

/** Why a command has ended. */
export type EndReason = 'exited' | 'timeout' | 'killed' | 'output_limit' | 'lost';

/** The end of a command. */
export interface Outcome {
  readonly reason: EndReason;
  /** The shell's convention: 128+n for signal n, 124 at the execution limit (as timeout(1)), null where unknown. */
  readonly exitCode: number | null;
  /** Processes of its tree that were alive when it was over. */
  readonly survivors: number;
}

/** What a command may take. */
export interface CommandLimits {
  readonly freeze: Standing;
  readonly executionSeconds: number;
  /** Between SIGTERM and SIGKILL. */
  readonly graceSeconds: number;
  /** Both streams together. */
  readonly outputBytes: number;
  /** Of a command in its own PID namespace: the first process there, if it is known. It is not part of the command. */
  readonly init?: () => number | undefined;
  /** Processes that the shell leaves behind are ended with it, after their last writes. */
  readonly endsWithShell?: boolean;
}

/** Why something other than the command's own limits stops it. */
export type StopReason = Extract<EndReason, 'killed' | 'output_limit'>;

/** A command under supervision, from its start to the end of its last process. */
export interface RunningCommand {
  readonly tree: ProcessTree;
  /** The shell has ended, or the whole tree was stopped: the outcome is known. */
  readonly over: OneShotEvent;
  /** No process of the tree is left. Later than `over` when the command left processes behind. */
  readonly settled: OneShotEvent;
  /** Undefined until `over`. */
  outcome(): Outcome | undefined;
  /** Stops the whole tree; the outcome has this reason. `settled` happens when the tree is gone. */
  stop(reason: StopReason): void;
  /**
   * Sends a signal to every process of the command, and KILL to its launchers too. Returns how many processes the
   * command has: 0 before it has begun. If one then ends by a signal that asks to end, the command was killed on
   * request.
   */
  signal(signal: SignalName): number;
}

/**
 * Watches `process` until its tree is gone, and stops it at the first limit it reaches. `roomBytes` returns how much it
 * may still write; below 0 it has written too much. `beforeTimeout` may look at the command before it is stopped for
 * its time; it must not throw.
 */
export function supervise(
  process: WatchedProcess,
  tree: ProcessTree,
  limits: CommandLimits,
  roomBytes: () => number,
  beforeTimeout: () => Promise<void>,
): RunningCommand {
  const over = new OneShotEvent();
  const settled = new OneShotEvent();
  const stopped = new OneShotEvent();
  let stopReason: StopReason = 'killed';
  let outcome: Outcome | undefined;
  const asked = new Set<NodeJS.Signals>();

  const life = async (): Promise<void> => {
    using output = new OutputLimit(roomBytes, limits.outputBytes);
    const first = await firstReason(process, limits, output, stopped);
    const cause = first === 'killed' ? stopReason : first;
    if (cause === 'timeout') await beforeTimeout();
    let left = await endTree(cause, process, tree, limits, output);
    const reason = cause === 'exited' && endedBy(process, asked) ? 'killed' : cause;
    outcome = { reason, exitCode: exitCodeOf(reason, process.status()), survivors: left };
    over.fire();
    while (left > 0) left = await lingerOn(tree, limits, output, stopped);
    settled.fire();
  };
  void life();
  return {
    tree,
    over,
    settled,
    outcome: () => outcome,
    stop: (reason) => {
      if (!stopped.fired) stopReason = reason;
      stopped.fire();
    },
    signal: (name) => {
      const signal: NodeJS.Signals = `SIG${name}`;
      if (asksToEnd(name)) asked.add(signal);
      const processes = receiversOf(signal, tree.ofCommand());
      if (name === 'KILL') tree.signal(signal);
      // A stopped process handles no signal but SIGKILL until it is continued.
      const signals: NodeJS.Signals[] = asksToEnd(name) ? [signal, 'SIGCONT'] : [signal];
      for (const one of signals) for (const pid of processes) sendSignal(pid, one);
      return processes.length;
    },
  };
}

/**
 * Returns which of `members` get a signal. USR1 and USR2 end a process without a handler for them, such as a shell that
 * waits for the program they are meant for. So they are sent to the processes that have one, if there are any.
 */
function receiversOf(signal: NodeJS.Signals, members: readonly number[]): readonly number[] {
  if (signal !== 'SIGUSR1' && signal !== 'SIGUSR2') return members;
  const receivers = members.filter((pid) => catchesSignal(pid, constants.signals[signal]));
  return receivers.length === 0 ? members : receivers;
}

/** Whether the shell ended by a signal that was requested, or, according to its exit code, a program in it did. */
function endedBy(process: WatchedProcess, asked: ReadonlySet<NodeJS.Signals>): boolean {
  const status = process.status();
  // The exit status is unknown: take the request as the cause.
  if (status === undefined) return asked.size > 0;
  return [...asked].some((signal) => status.signal === signal || status.code === 128 + constants.signals[signal]);
}

async function firstReason(
  process: WatchedProcess,
  limits: CommandLimits,
  output: OutputLimit,
  stopped: OneShotEvent,
): Promise<EndReason> {
  using time = new TimeLimit(limits.executionSeconds, limits.freeze);
  const first = await firstOf({
    exited: process.exited,
    timeout: time.reached,
    output_limit: output.exceeded,
    killed: stopped,
  });
  return first;
}

/** After SIGKILL the kernel reports the end of the shell at once; more than this is a process stuck in the kernel. */
const REAP_SECONDS = 1;

/** Ends the tree as `reason` requires. Returns how many of its processes are left. */
async function endTree(
  reason: EndReason,
  process: WatchedProcess,
  tree: ProcessTree,
  limits: CommandLimits,
  output: OutputLimit,
): Promise<number> {
  if (reason === 'exited') {
    const { init, endsWithShell = false } = limits;
    const look = (): readonly number[] => (init === undefined ? tree.leftBehind() : leftInSandbox(tree, init()));
    const left = look();
    if (left.length === 0) return 0;
    const staying = await afterLastWrites(left, look);
    return endsWithShell && staying.length > 0 ? await kill(tree) : staying.length;
  }
  // A command that fills the disk gets no grace period in which it could continue; a frozen one could not use it.
  const left =
    reason === 'output_limit' || limits.freeze.isFrozen
      ? await kill(tree)
      : await terminate(tree, limits.graceSeconds, output.exceeded);
  await Deadline.after(REAP_SECONDS).waitFor(process.exited);
  return left;
}

/**
 * Returns what a command has left in its sandbox. The first process does not count: it ends when it is alone, and
 * everything there ends with it. All processes began after the leader, and none can leave: one that clears its
 * environment and leaves its session and its parent becomes a child of the first process.
 */
function leftInSandbox(tree: ProcessTree, init: number | undefined): number[] {
  const isAlone = (pid: number): boolean => isInit(pid) && isChildless(pid);
  const isOver = init === undefined ? tree.young()?.every(isAlone) === true : isGone(init) || isAlone(init);
  return isOver ? [] : tree.members().filter((pid) => !isInit(pid));
}

function isGone(pid: number): boolean {
  const stat = readStat(pid);
  return stat === undefined || isDead(stat);
}

/** How often left-behind processes are looked for. */
const LINGER_LOOK_SECONDS = 1;

/** Waits while left-behind processes live, and enforces the output limit for them. Returns how many are left. */
async function lingerOn(
  tree: ProcessTree,
  limits: CommandLimits,
  output: OutputLimit,
  stopped: OneShotEvent,
): Promise<number> {
  if (output.exceeded.fired || (stopped.fired && limits.freeze.isFrozen)) return kill(tree);
  if (stopped.fired) return terminate(tree, limits.graceSeconds, output.exceeded);
  await Deadline.after(LINGER_LOOK_SECONDS).waitFor(output.exceeded, stopped);
  return tree.members(LINGER_LOOK_SECONDS * 500).length;
}

/**
 * The highest speed at which a command is assumed to fill its file, in bytes per millisecond: 4 GB/s, four times what
 * `head -c 1G /dev/zero` reached on the machine of the bench. The next look comes before that speed could pass the
 * limit.
 */
const FASTEST_BYTES_PER_MS = 4_000_000;
const CLOSEST_LOOKS_MS = 10;
const WIDEST_LOOKS_MS = 500;

/** Fires when a command has no room left on the disk: `roomBytes` returns less than 0. It starts with `limitBytes`. */
class OutputLimit implements Disposable {
  readonly exceeded = new OneShotEvent();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly roomBytes: () => number,
    limitBytes: number,
  ) {
    this.#lookLater(limitBytes);
  }

  #lookLater(roomBytes: number): void {
    const ms = Math.min(Math.max(roomBytes / FASTEST_BYTES_PER_MS, CLOSEST_LOOKS_MS), WIDEST_LOOKS_MS);
    this.#timer = setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    const room = this.roomBytes();
    if (room < 0) this.exceeded.fire();
    else this.#lookLater(room);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Resolves with the name of the first of `events` that happens. */
function firstOf<Name extends string>(events: Readonly<Record<Name, OneShotEvent>>): Promise<Name> {
  return new Promise((resolve) => {
    const unsubscribes: (() => void)[] = [];
    const settle = (name: Name): void => {
      for (const unsubscribe of unsubscribes) unsubscribe();
      resolve(name);
    };
    for (const name in events) unsubscribes.push(events[name].subscribe(() => settle(name)));
  });
}

/** timeout(1), "If the command times out … exit with status 124". */
const EXIT_TIMEOUT = 124;

/** Returns the exit code for a reason and for how the shell ended. */
export function exitCodeOf(reason: EndReason, status: ExitStatus | undefined): number | null {
  switch (reason) {
    case 'timeout':
      return EXIT_TIMEOUT;
    case 'lost':
      return null;
    case 'exited':
    case 'killed':
    case 'output_limit':
      return status === undefined ? null : shellCode(status);
    default:
      return reason satisfies never;
  }
}

function shellCode(status: ExitStatus): number | null {
  const { signal, code } = status;
  if (signal === null) return code;
  return 128 + (typeof signal === 'number' ? signal : constants.signals[signal]);
}
