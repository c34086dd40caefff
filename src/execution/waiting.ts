import { readlinkSync, statSync } from 'node:fs';
import { delay } from '../core/clock.ts';
import { type ProcessStat, readStat } from '../platform/proc.ts';
import {
  type BlockedCall,
  blockedCall,
  heldLocks,
  type NetSocket,
  netSockets,
  openFiles,
  processName,
} from '../platform/proc-waits.ts';

/** A process, by number and name. */
export interface NamedProcess {
  readonly pid: number;
  readonly name: string;
}

/** What a silent command waits for. */
export type Wait =
  | { readonly kind: 'input'; readonly on: 'terminal' | 'stdin'; readonly process: NamedProcess }
  | { readonly kind: 'lock'; readonly path: string; readonly holder: NamedProcess; readonly process: NamedProcess }
  | { readonly kind: 'network'; readonly socket: NetSocket; readonly process: NamedProcess }
  | { readonly kind: 'disk' | 'sleep' | 'stopped'; readonly process: NamedProcess }
  | { readonly kind: 'cpu'; readonly percent: number; readonly process: NamedProcess };

/** The standard input that a session keeps open for its command. */
export type OpenInput = { readonly kind: 'pipe'; readonly inode: number } | { readonly kind: 'terminal' };

/** How long the use of the CPU is measured. */
const SAMPLE_MS = 100;
/** A process that takes less of a CPU than this waits for something else. */
const BUSY_PERCENT = 50;
/** What one reason is worth beside another in the same tree: what somebody can do something about comes first. */
const ORDER: readonly Wait['kind'][] = ['input', 'lock', 'cpu', 'stopped', 'network', 'disk', 'sleep'];

/** More processes of one command are not looked at: a fork bomb has thousands, and each costs reads of /proc. */
const MOST_PROCESSES = 40;
/** The look ends then with what it has found: nothing else in the agent goes on meanwhile. */
const LOOK_MS = 100;

/**
 * What the processes of a command wait for, read from /proc; undefined where that does not tell. Takes 0.1 s, and up to
 * 0.1 s of CPU.
 */
export async function findWait(tree: readonly number[], input: OpenInput | undefined): Promise<Wait | undefined> {
  const pids = tree.slice(0, MOST_PROCESSES);
  const before = new Map(pids.map((pid) => [pid, readStat(pid)?.cpuTicks]));
  await delay(SAMPLE_MS);
  const found: Wait[] = [];
  const end = performance.now() + LOOK_MS;
  for (const pid of pids) {
    const stat = readStat(pid);
    const wait = stat && (busy(stat, before.get(pid)) ?? waitOf(stat, tree, input));
    if (wait !== undefined) found.push(wait);
    if (performance.now() > end) break;
  }
  return found.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))[0];
}

/** Whether a process of the command waits for somebody to type. */
export function waitsForInput(pids: readonly number[], input: OpenInput): boolean {
  return pids.slice(0, MOST_PROCESSES).some((pid) => {
    const stat = readStat(pid);
    const call = stat?.state === 'S' ? blockedCall(pid) : undefined;
    return stat !== undefined && call !== undefined && inputWait(stat, call, input) !== undefined;
  });
}

/** USER_HZ: the kernel tells CPU time in hundredths of a second on every architecture (proc(5)). */
const TICK_MS = 10;

function busy(stat: ProcessStat, before: number | undefined): Wait | undefined {
  if (before === undefined) return undefined;
  const percent = Math.min(100, Math.round(((stat.cpuTicks - before) * TICK_MS * 100) / SAMPLE_MS));
  return percent < BUSY_PERCENT ? undefined : { kind: 'cpu', percent, process: named(stat.pid) };
}

function waitOf(stat: ProcessStat, tree: readonly number[], input: OpenInput | undefined): Wait | undefined {
  const process = named(stat.pid);
  if (stat.state === 'T') return { kind: 'stopped', process };
  const call = blockedCall(stat.pid);
  const wait =
    (input && call && inputWait(stat, call, input)) ?? lockWait(stat.pid, call, tree) ?? networkWait(stat.pid, call);
  if (wait !== undefined) return wait;
  if (stat.state === 'D') return { kind: 'disk', process };
  return call?.in === 'sleep' ? { kind: 'sleep', process } : undefined;
}

function inputWait(stat: ProcessStat, call: BlockedCall, input: OpenInput): Wait | undefined {
  const process = named(stat.pid);
  if (call.in !== 'read' && call.in !== 'poll') return undefined;
  const target = linkOf(stat.pid, call.in === 'read' ? call.fd : 0);
  if (input.kind === 'pipe') {
    const isOurs = target === `pipe:[${input.inode}]`;
    return isOurs ? { kind: 'input', on: 'stdin', process } : undefined;
  }
  const isTerminal = target !== undefined && /^\/dev\/(?:pts\/\d+|tty)$/.test(target);
  // Who polls and is not in the foreground waits for something else.
  if (!isTerminal || (call.in === 'poll' && stat.foreground !== stat.group)) return undefined;
  return { kind: 'input', on: 'terminal', process };
}

/**
 * A lock that somebody outside the tree holds on a file which this process has open: it waits in the kernel for it, or
 * looks for it again and again, as apt does.
 */
function lockWait(pid: number, call: BlockedCall | undefined, tree: readonly number[]): Wait | undefined {
  if (call?.in !== 'lock' && call?.in !== 'sleep') return undefined;
  const holders = new Map(heldLocks().map(({ inode, holder }) => [inode, holder]));
  if (holders.size === 0) return undefined;
  for (const [fd, path] of openFiles(pid)) {
    const holder = path.startsWith('/') ? holders.get(inodeOf(pid, fd)) : undefined;
    if (holder === undefined || tree.includes(holder)) continue;
    return { kind: 'lock', path, holder: named(holder), process: named(pid) };
  }
  return undefined;
}

function networkWait(pid: number, call: BlockedCall | undefined): Wait | undefined {
  if (call === undefined || !['connect', 'accept', 'receive', 'read', 'poll'].includes(call.in)) return undefined;
  const files = openFiles(pid);
  const wanted = call.in === 'poll' ? [...files.values()] : [files.get(call.fd) ?? ''];
  const inodes = new Set(wanted.map((target) => Number(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? 0)));
  const sockets = netSockets(pid).filter(({ inode }) => inode !== 0 && inodes.has(inode));
  const socket = sockets.find(({ state }) => state !== 'listening') ?? sockets[0];
  return socket && { kind: 'network', socket, process: named(pid) };
}

function named(pid: number): NamedProcess {
  return { pid, name: processName(pid) ?? 'unknown' };
}

function linkOf(pid: number, fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return undefined;
  }
}

function inodeOf(pid: number, fd: number): number {
  try {
    return statSync(`/proc/${pid}/fd/${fd}`).ino;
  } catch {
    return 0;
  }
}
