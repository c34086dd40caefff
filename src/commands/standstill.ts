import type { Freeze } from '../access/freeze.ts';
import { nextTurn } from '../lib/clock.ts';
import { isDead, readStat } from '../linux/proc.ts';
import type { CommandCgroups } from '../process/cgroup.ts';
import { type ProcessTree, sendSignal } from '../process/tree.ts';

/** Processes that fork while they are stopped are looked for again at once, this often, and then at the next look. */
const ROUNDS = 20;
const LOOK_MS = 1000;

/**
 * While the server is frozen, stops by SIGSTOP the processes that systemd does not freeze: all of them if it freezes
 * none, else those outside of the cgroups of commands. The thaw continues them.
 */
export class Standstill {
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Processes that were stopped before the freeze, as `pid start`: they stay stopped. */
  readonly #asleep = new Set<string>();
  readonly #stopped = new Set<string>();

  constructor(
    private readonly freeze: Freeze,
    private readonly cgroups: CommandCgroups | undefined,
    private readonly trees: () => readonly ProcessTree[],
  ) {
    freeze.subscribe(() => this.look());
  }

  /** Takes over what an earlier agent has stopped, whose thaw it may have missed. */
  takeUp(): void {
    const { last, isFrozen } = this.freeze;
    if (!isFrozen && last?.signals !== true) return;
    const pids = this.trees().flatMap((tree) => tree.members());
    for (const pid of pids)
      if (last?.signals === true || !this.#isHeld(pid)) this.#stopped.add(`${pid} ${readStat(pid)?.startTicks}`);
    this.look();
  }

  /** Brings every process into the state that the freeze requires. */
  look(): void {
    if (!this.freeze.isFrozen) this.#release();
    else {
      this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref();
      void this.#stop();
    }
  }

  async #stop(): Promise<void> {
    for (let round = 0; round < ROUNDS && this.freeze.isFrozen; round++) {
      if (this.trees().reduce((count, tree) => count + this.#stopTree(tree), 0) === 0) return;
      await nextTurn();
    }
  }

  /** Returns how many processes it had to stop. */
  #stopTree(tree: ProcessTree): number {
    let count = 0;
    // Asked once: a second question may come after the thaw, which continues all of them.
    const isBySignals = this.freeze.current?.signals === true;
    if (!this.freeze.isFrozen) return 0;
    for (const pid of tree.members()) {
      const stat = readStat(pid);
      if (stat === undefined || isDead(stat) || (!isBySignals && this.#isHeld(pid))) continue;
      const name = `${pid} ${stat.startTicks}`;
      const isStopped = stat.state === 'T';
      if (isStopped && !this.#stopped.has(name)) this.#asleep.add(name);
      if (isStopped) continue;
      this.#stopped.add(name);
      sendSignal(pid, 'SIGSTOP');
      count++;
    }
    return count;
  }

  /** Whether systemd freezes a process. */
  #isHeld(pid: number): boolean {
    return this.cgroups?.holderOf(pid) !== undefined;
  }

  #release(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const tree of this.trees()) {
      // Children before their parents: a shell takes a stopped child for a job in the background.
      for (const pid of tree.members().sort((a, b) => b - a)) {
        if (this.#stopped.has(`${pid} ${readStat(pid)?.startTicks}`)) sendSignal(pid, 'SIGCONT');
      }
    }
    this.#stopped.clear();
    this.#asleep.clear();
  }
}
