import { groupAndSession } from '../linux/libc.ts';
import { hasEnvironmentEntry, isDead, lastPid, type ProcessStat, ProcessTable, readStat } from '../linux/proc.ts';
import type { Cgroup, CommandCgroups } from './cgroup.ts';
import { markOf } from './environment.ts';
import { withoutLaunchers } from './launchers.ts';

/** All processes that a command started: found by its cgroup if it has one, and by group, session mark and parent. */
export interface ProcessTree {
  /** Returns the pids of the processes that were alive at most `oldestMs` ago; without it, that are alive now. */
  members(oldestMs?: number): number[];
  /** Returns the members that are alive right after the leader's end. Cheap in the usual case that none are left. */
  leftBehind(): number[];
  /** Returns the members that began after the leader, without reading the rest of /proc; undefined if impossible. */
  young(): number[] | undefined;
  /**
   * Sends `signals`, in this order, to every member, also outside of the process group. Returns how many there were.
   */
  signal(...signals: readonly NodeJS.Signals[]): number;
  /**
   * Returns the members without those that the agent put before the command: the programs that keep its exit code, make
   * its sandbox or change the user. Empty if the command has not begun.
   */
  ofCommand(): number[];
  /** Asks every member to end: SIGTERM once for each, including stopped ones. Returns how many were left then. */
  askToEnd(): number;
}

/** The shell of a command, if it is known: it leads the process group and the session. */
export interface Leader {
  readonly pid: number;
  /** In clock ticks since boot; undefined if it ended before anybody asked. */
  startTicks(): number | undefined;
  /** When this agent started it, on the clock of `performance.now()`; undefined if an earlier agent did. */
  readonly startedMs?: number;
}

/**
 * The tree according to /proc. A process belongs to it if it is in the leader's group or session, has the session's
 * mark in its environment (setsid and double fork keep it), or has a member as its parent. A process that clears its
 * environment, leaves the session and loses its parent escapes: only a cgroup contains that.
 */
export class MarkedTree implements ProcessTree {
  /** What was seen before is no evidence about it. */
  readonly #sinceMs = performance.now();

  constructor(
    /** `NAME=value`, as in the members' environment. */
    private readonly mark: string,
    readonly leader?: Leader,
    /** Whether another command's cgroup contains a process, so that it needs no look. */
    private readonly isElsewhere: (pid: number) => boolean = () => false,
  ) {}

  members(oldestMs = 0): number[] {
    const table = ProcessTable.look(oldestMs, this.#sinceMs);
    // A process older than the leader does not descend from it.
    const since = this.leader?.startTicks() ?? 0;
    const stats = table.stats.filter(({ startTicks }) => startTicks >= since);
    const group = this.groupOf(stats);
    noteShells(table);
    const isMember = (stat: ProcessStat): boolean =>
      isIn(stat, group) || this.isMarked(stat.pid, table.shellOf(stat.pid), group, table);
    const members = new Set(stats.filter(isMember).map(({ pid }) => pid));
    addDescendants(stats, members);
    return [...members];
  }

  leftBehind(): number[] {
    return this.young()?.length === 0 ? [] : this.members();
  }

  /**
   * Pids are assigned in order, so the ones in question lie between the leader's and the last one. Looking at these
   * saves reading all of /proc after each short command.
   */
  young(): number[] | undefined {
    const { leader } = this;
    const last = lastPid();
    if (leader === undefined || last === undefined || last < leader.pid || last - leader.pid > MOST_PIDS_LOOKED_AT)
      return undefined;
    const members: number[] = [];
    const isFresh = performance.now() - (leader.startedMs ?? Number.NEGATIVE_INFINITY) < FRESH_MS;
    for (let pid = leader.pid + 1; pid <= last; pid++) {
      const place = isShell(pid) ? undefined : groupAndSession(pid);
      if (place === undefined) continue;
      // Its session existed before the leader's: no descendant of the leader gets into one.
      if (isFresh && place.session < leader.pid) continue;
      if (isIn(place, leader.pid) || this.isMarked(pid, shellAbove(pid, place), leader.pid)) members.push(pid);
    }
    return members;
  }

  signal(...signals: readonly NodeJS.Signals[]): number {
    const members = this.members();
    for (const signal of signals) for (const pid of members) sendSignal(pid, signal);
    return members.length;
  }

  ofCommand(): number[] {
    return withoutLaunchers(this.members(), this.leader?.pid);
  }

  /** The leader's group first, without reading /proc: this also ends what starts processes as fast as it can. */
  askToEnd(): number {
    const { leader } = this;
    const isThere = leader !== undefined && readStat(leader.pid)?.startTicks === leader.startTicks();
    if (!isThere) return this.signal(...ENDING);
    for (const signal of ENDING) sendSignal(-leader.pid, signal);
    const members = this.members();
    for (const pid of members) {
      if (groupAndSession(pid)?.group === leader.pid) continue;
      for (const signal of ENDING) sendSignal(pid, signal);
    }
    return members.length;
  }

  /** The leader's pid names its group until another process has that pid. */
  private groupOf(stats: readonly ProcessStat[]): number | undefined {
    const { leader } = this;
    if (leader === undefined) return undefined;
    const holder = stats.find((stat) => stat.pid === leader.pid);
    return holder === undefined || holder.startTicks === leader.startTicks() ? leader.pid : undefined;
  }

  /** Whether a process has the mark. `shell` is the one that it descends from, and `own` the tree's, if known. */
  private isMarked(pid: number, shell: number | undefined, own: number | undefined, table?: ProcessTable): boolean {
    if (shell !== undefined && own !== undefined) return shell === own;
    // Reading the environment of a process waits for its fork: many seconds among the thousand of a fork bomb.
    if (this.isElsewhere(pid)) return false;
    return table?.isMarked(pid, this.mark) ?? hasEnvironmentEntry(pid, this.mark);
  }
}

/** The pids of the shells that run now: the agent's own children, each of another session. */
const shells = new Set<number>();

/** Whether `pid` is the shell of a running command: then it is not a process that another command left behind. */
function isShell(pid: number): boolean {
  return shells.has(pid);
}

/** Notes a shell that was started. */
export function addShell(pid: number): void {
  shells.add(pid);
}

/** Forgets a shell that has ended. */
export function removeShell(pid: number): void {
  shells.delete(pid);
}

/** A stopped process handles SIGTERM when it is continued. */
const ENDING = ['SIGTERM', 'SIGCONT'] as const;

type Place = Pick<ProcessStat, 'group' | 'session'>;

/** Whether a process is in the group or session that `leader` leads. */
function isIn({ group, session }: Place, leader: number | undefined): boolean {
  return leader !== undefined && (group === leader || session === leader);
}

/** The shell whose session or group a process is in: only descendants get there. */
function shellOf({ group, session }: Place): number | undefined {
  return isShell(session) ? session : isShell(group) ? group : undefined;
}

const known = new WeakSet<ProcessTable>();

/** Notes which shells the processes of a table descend from, by their sessions, their parents or earlier tables. */
function noteShells(table: ProcessTable): void {
  if (known.has(table)) return;
  known.add(table);
  // Most parents have lower pids than their children; for the others, the environment decides.
  for (const stat of [...table.stats].sort((a, b) => a.pid - b.pid)) {
    const shell = table.shellOf(stat.pid) ?? shellOf(stat) ?? table.shellOf(stat.parent);
    if (shell !== undefined) table.noteShell(stat.pid, shell);
  }
}

/** Returns the shell that a process descends from, by its session or its parents'; undefined if they do not show it. */
function shellAbove(pid: number, place: Place): number | undefined {
  let shell = shellOf(place);
  let stat = shell === undefined ? readStat(pid) : undefined;
  while (stat !== undefined && stat.parent > 1 && stat.parent !== process.pid) {
    stat = readStat(stat.parent);
    if (stat !== undefined) shell = shellOf(stat);
    if (shell !== undefined) return shell;
  }
  return shell;
}

/**
 * The tree by a command's cgroup, which also contains what clears its environment and forks away. /proc is read as
 * well: a command may move one of its processes into another cgroup of its user.
 */
export class CgroupTree implements ProcessTree {
  constructor(
    private readonly cgroup: Cgroup,
    private readonly marked: MarkedTree,
  ) {}

  members(oldestMs = 0): number[] {
    const pids = this.cgroup.pids();
    // Reading /proc for a fork bomb takes longer than systemd waits for a sign of life. Hidden processes are found when
    // the rest is gone.
    if (pids.length > MOST_LOOKED_AT) return pids;
    return [...new Set([...pids.filter(isAlivePid), ...this.marked.members(oldestMs)])];
  }

  young(): number[] | undefined {
    return this.cgroup.isPopulated() ? this.cgroup.pids() : this.marked.young();
  }

  leftBehind(): number[] {
    return this.cgroup.isPopulated() ? this.members() : this.marked.leftBehind();
  }

  signal(...signals: readonly NodeJS.Signals[]): number {
    const members = this.members();
    for (const signal of signals) {
      if (signal === 'SIGKILL') this.cgroup.kill();
      for (const pid of members) sendSignal(pid, signal);
    }
    return members.length;
  }

  ofCommand(): number[] {
    return withoutLaunchers(this.members(), this.marked.leader?.pid);
  }

  askToEnd(): number {
    return this.signal(...ENDING);
  }
}

/** Above this number, the members of a cgroup are taken as it lists them, zombies included. */
const MOST_LOOKED_AT = 100;

/** A zombie stays in its cgroup until its parent has waited for it. */
function isAlivePid(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && !isDead(stat);
}

/** Within this time, pids are not reused: a machine starts thousands a second. */
const FRESH_MS = 100;

/** Above this number, reading all of /proc once is cheaper than looking at each pid. */
const MOST_PIDS_LOOKED_AT = 1000;

/** Returns the shell of a session whose pid was not recorded: the oldest marked process that leads its own session. */
export function findLeader(mark: string): ProcessStat | undefined {
  const leaders = new MarkedTree(mark)
    .members()
    .map(readStat)
    .filter((stat) => stat !== undefined)
    .filter((stat) => stat.session === stat.pid)
    .sort((a, b) => a.startTicks - b.startTicks);
  return leaders[0];
}

/** Adds to `members` every process that has one of them as an ancestor. */
function addDescendants(stats: readonly ProcessStat[], members: Set<number>): void {
  let before: number;
  do {
    before = members.size;
    for (const stat of stats) if (members.has(stat.parent)) members.add(stat.pid);
  } while (members.size > before);
}

/**
 * kill(2), with a negative `pid` for a group. Ignores a process that has ended (ESRCH) or is another user's (EPERM).
 */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {}
}

/** The processes of a session: those in its cgroup, if it has one, and those that have its mark. */
export function treeOfSession(id: string, cgroups: CommandCgroups | undefined, leader?: Leader): ProcessTree {
  if (cgroups === undefined) return new MarkedTree(markOf(id), leader);
  const isElsewhere = (pid: number): boolean => {
    const holder = cgroups.holderOf(pid);
    return holder !== undefined && holder !== id;
  };
  return new CgroupTree(cgroups.of(id), new MarkedTree(markOf(id), leader, isElsewhere));
}
