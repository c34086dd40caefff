import { readlinkSync, statSync } from 'node:fs';
import { delay } from '../lib/clock.ts';
import { isDead, listPids, type ProcessStat, readStat } from '../linux/proc.ts';
import { hasUnreadInput } from '../linux/unread.ts';
import {
  type BlockedCall,
  blockedCall,
  commandLine,
  heldLocks,
  holdsLock,
  lockable,
  type NetSocket,
  netSockets,
  openFiles,
} from './proc-waits.ts';

export interface NamedProcess {
  readonly pid: number;
  /** Those that it was started with. */
  readonly words: readonly string[];
}

/** What a silent command waits for. */
export type Wait =
  | { readonly kind: 'input'; readonly on: 'terminal' | 'stdin'; readonly process: NamedProcess }
  /** `holder` is undefined if unknown. */
  | {
      readonly kind: 'lock';
      readonly path: string;
      readonly holder: NamedProcess | undefined;
      readonly process: NamedProcess;
    }
  | { readonly kind: 'network'; readonly socket: NetSocket; readonly process: NamedProcess }
  | { readonly kind: 'fifo'; readonly path: string; readonly process: NamedProcess }
  /** `seconds`: how long one such sleep lasts, if it has an end. */
  | { readonly kind: 'sleep'; readonly seconds: number | undefined; readonly process: NamedProcess }
  | { readonly kind: 'disk' | 'stopped'; readonly process: NamedProcess }
  | { readonly kind: 'cpu'; readonly percent: number; readonly process: NamedProcess };

/** The standard input that a session keeps open for its command. */
export type OpenInput =
  | { readonly kind: 'pipe'; readonly inode: number }
  /** `hasUnsent`: whether some of the input is still in the agent. */
  | { readonly kind: 'terminal'; readonly hasUnsent: () => boolean };

const SAMPLE_MS = 100;
/** A process that uses less of a CPU than this waits for something else, or for its turn at a busy CPU. */
export const BUSY_PERCENT = 50;
/** The priority of reasons in the same tree: reasons that somebody can act on come first. */
const ORDER: readonly Wait['kind'][] = ['input', 'lock', 'cpu', 'stopped', 'network', 'fifo', 'disk', 'sleep'];

/** At most so many processes of one command: a fork bomb has thousands, and each costs reads of /proc. */
const MOST_PROCESSES = 40;
/** The look then ends with what it has found: in CPU time, of which a busy machine assigns little at a time. */
const LOOK_MS = 100;
/** So many processes are examined in one turn: the agent does nothing else meanwhile. */
const PROCESSES_A_TURN = 4;

/**
 * Returns what the processes of a command wait for, according to /proc; undefined if that does not show it. Takes 0.1
 * s, and up to 0.1 s of CPU, in pieces that each wait for their `turn`.
 */
export async function findWait(
  tree: readonly number[],
  input: OpenInput | undefined,
  turn: () => Promise<void>,
): Promise<Wait | undefined> {
  if (tree.length > TOO_MANY) return undefined;
  const pids = tree.slice(0, MOST_PROCESSES);
  const since = performance.now();
  const before = new Map(pids.map((pid) => [pid, readStat(pid)]));
  await delay(SAMPLE_MS);
  const found: Wait[] = [];
  let spentMs = 0;
  for (const [index, pid] of pids.entries()) {
    if (index % PROCESSES_A_TURN === 0) await turn();
    const start = cpuMs();
    const stat = readStat(pid);
    const wait = stat && (busy(stat, before.get(pid), performance.now() - since) ?? waitOf(stat, tree, input));
    if (wait !== undefined) found.push(wait);
    spentMs += cpuMs() - start;
    if (spentMs > LOOK_MS) break;
  }
  return found.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || sleepOf(b) - sleepOf(a))[0];
}

/** CPU time of the agent so far, in milliseconds. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Of two sleepers, the one that polls for the other says less. */
function sleepOf(wait: Wait): number {
  return wait.kind === 'sleep' ? (wait.seconds ?? 0) : 0;
}

/** The memory of a forking process can be read after its fork: among many such processes, that takes seconds. */
const TOO_MANY = 100;

/** Whether a process of the command waits for input. */
export function waitsForInput(tree: readonly number[], input: OpenInput): boolean {
  return asksForInput(tree, input) === 'yes';
}

/** The same, and whether it is certain that none does: each of them does something else, in its only thread. */
export function asksForInput(tree: readonly number[], input: OpenInput): 'yes' | 'no' | 'maybe' {
  if (tree.length > TOO_MANY) return 'maybe';
  const seen = tree.slice(0, MOST_PROCESSES).map((pid) => {
    const stat = readStat(pid);
    const call = stat?.state === 'S' ? blockedCall(pid) : undefined;
    if (stat !== undefined && call !== undefined && inputWait(stat, call, input, tree) !== undefined) return 'yes';
    if (stat === undefined || isDead(stat)) return 'no';
    const isElsewhere = 'RD'.includes(stat.state) || (call !== undefined && call.in !== 'poll');
    return stat.threads === 1 && isElsewhere ? 'no' : 'maybe';
  });
  if (seen.includes('yes')) return 'yes';
  return seen.length === tree.length && !seen.includes('maybe') ? 'no' : 'maybe';
}

/** USER_HZ: the kernel counts CPU time in hundredths of a second on every architecture (proc(5)). */
const TICK_MS = 10;

/** A process that wants the CPU both times is busy, even if a busy machine assigns it little. */
function busy(stat: ProcessStat, before: ProcessStat | undefined, elapsedMs: number): Wait | undefined {
  if (before === undefined) return undefined;
  const percent = Math.min(100, Math.round(((stat.cpuTicks - before.cpuTicks) * TICK_MS * 100) / elapsedMs));
  const wantsCpu = before.state === 'R' && stat.state === 'R';
  return percent < BUSY_PERCENT && !wantsCpu ? undefined : { kind: 'cpu', percent, process: named(stat.pid) };
}

function waitOf(stat: ProcessStat, tree: readonly number[], input: OpenInput | undefined): Wait | undefined {
  const process = named(stat.pid);
  if (stat.state === 'T') return { kind: 'stopped', process };
  const call = blockedCall(stat.pid);
  const wait =
    (input && call && inputWait(stat, call, input, tree)) ??
    lockWait(stat.pid, call, tree) ??
    networkWait(stat.pid, call) ??
    fifoWait(stat.pid, call);
  if (wait !== undefined) return wait;
  if (stat.state === 'D') return { kind: 'disk', process };
  const isTimer = call?.in === 'poll' && call.seconds !== undefined;
  return call?.in === 'sleep' || isTimer ? { kind: 'sleep', seconds: call.seconds, process } : undefined;
}

function inputWait(stat: ProcessStat, call: BlockedCall, input: OpenInput, tree: readonly number[]): Wait | undefined {
  const fd = inputDescriptor(stat.pid, call, input);
  if (fd === undefined) return undefined;
  if (call.in === 'poll') {
    // A background process gets no input. A process that polls its input while a child of it works (apt does) waits for
    // the child.
    if (input.kind === 'terminal' && stat.foreground !== stat.group) return undefined;
    if (call.seconds !== undefined && tree.some((pid) => readStat(pid)?.parent === stat.pid)) return undefined;
  }
  if (input.kind === 'terminal' && hasMoreToRead(stat, call, input)) return undefined;
  return { kind: 'input', on: input.kind === 'pipe' ? 'stdin' : 'terminal', process: named(stat.pid) };
}

/**
 * Whether the reader of a terminal has not read all input. A pipe needs no such look: a write wakes its reader before
 * it returns, while a terminal passes input on later.
 */
function hasMoreToRead(
  stat: ProcessStat,
  call: BlockedCall,
  input: OpenInput & { readonly kind: 'terminal' },
): boolean {
  if (input.hasUnsent() || (stat.terminal !== undefined && hasUnreadInput(stat.terminal))) return true;
  // It may have read since the look, and be at work with that.
  const now = blockedCall(stat.pid);
  return now?.in !== call.in || inputDescriptor(stat.pid, now, input) === undefined;
}

/**
 * Returns the descriptor through which a call waits for the input of the command; undefined if it waits for other
 * things.
 */
function inputDescriptor(pid: number, call: BlockedCall, input: OpenInput): number | undefined {
  if (call.in !== 'read' && call.in !== 'poll') return undefined;
  const wanted = call.in === 'read' ? [call.fd] : (call.polled ?? []);
  return wanted.find((fd) => {
    const target = linkOf(pid, fd);
    if (target === undefined) return false;
    return input.kind === 'pipe' ? target === `pipe:[${input.inode}]` : /^\/dev\/(?:pts\/\d+|tty)$/.test(target);
  });
}

/**
 * Returns a lock of another process on a file which this process has open: it waits in the kernel for it, or tries
 * again and again, as apt does. A sleeper within a command that holds the lock does not wait for it.
 */
function lockWait(pid: number, call: BlockedCall | undefined, tree: readonly number[]): Wait | undefined {
  if (call?.in !== 'lock' && call?.in !== 'sleep') return undefined;
  const holders = new Map(heldLocks().map(({ file, holder }) => [file, holder]));
  if (holders.size === 0) return undefined;
  for (const [fd, path] of openFiles(pid)) {
    const taker = path.startsWith('/') ? holders.get(lockable(pid, fd) ?? '') : undefined;
    if (taker === undefined || holdsLock(pid, fd)) continue;
    const holder = whoHolds(taker, path, tree, pid);
    if (call.in === 'sleep' && (tree.includes(taker) || (holder !== undefined && tree.includes(holder)))) continue;
    return { kind: 'lock', path, holder: holder === undefined ? undefined : named(holder), process: named(pid) };
  }
  return undefined;
}

/**
 * The process that took the lock may have ended, and one that inherited its descriptor holds it since. So may the one
 * that waits: then another that has it is named.
 */
function whoHolds(taker: number, path: string, tree: readonly number[], waiting: number): number | undefined {
  if (taker > 0 && commandLine(taker) !== undefined) return taker;
  const end = cpuMs() + LOOK_MS;
  // Of the command itself, the last process with it is named: those before it are its shells.
  for (const pid of [...tree.toReversed(), ...listPids()]) {
    if (cpuMs() > end) return undefined;
    if (pid === waiting) continue;
    for (const [fd, open] of openFiles(pid)) if (open === path && holdsLock(pid, fd)) return pid;
  }
  return undefined;
}

function networkWait(pid: number, call: BlockedCall | undefined): Wait | undefined {
  if (call === undefined || !['connect', 'accept', 'receive', 'read', 'poll'].includes(call.in)) return undefined;
  const files = openFiles(pid);
  // A process that polls for writing waits for its connection: then all of its open descriptors are examined.
  const asked = call.in === 'poll' ? call.polled : [call.fd];
  const wanted = asked?.map((fd) => files.get(fd) ?? '') ?? [...files.values()];
  const all = call.in === 'poll' ? [...files.values()] : wanted;
  const sockets = netSockets(pid);
  const found = socketsAmong(wanted, sockets);
  const socket =
    found.find(({ state }) => state !== 'listening') ??
    found[0] ??
    socketsAmong(all, sockets).find(({ state }) => state === 'connecting');
  return socket && { kind: 'network', socket, process: named(pid) };
}

function socketsAmong(targets: readonly string[], sockets: readonly NetSocket[]): NetSocket[] {
  const inodes = new Set(targets.map((target) => Number(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? 0)));
  return sockets.filter(({ inode }) => inode !== 0 && inodes.has(inode));
}

/** A named pipe whose other side is not open, or writes nothing. */
function fifoWait(pid: number, call: BlockedCall | undefined): Wait | undefined {
  if (call?.in === 'open' && call.path !== undefined) return { kind: 'fifo', path: call.path, process: named(pid) };
  const target = call?.in === 'read' ? linkOf(pid, call.fd) : undefined;
  if (call === undefined || target?.startsWith('/') !== true || !isFifo(pid, call.fd)) return undefined;
  return { kind: 'fifo', path: target, process: named(pid) };
}

function named(pid: number): NamedProcess {
  return { pid, words: commandLine(pid) ?? ['unknown'] };
}

function linkOf(pid: number, fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return undefined;
  }
}

function isFifo(pid: number, fd: number): boolean {
  try {
    return statSync(`/proc/${pid}/fd/${fd}`).isFIFO();
  } catch {
    return false;
  }
}
