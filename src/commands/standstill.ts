import type { Freeze } from '../access/freeze.ts';
import { nextTurn } from '../lib/clock.ts';
import { isDead, readStat } from '../linux/proc.ts';
import type { CommandCgroups } from '../process/cgroup.ts';
import { type ProcessTree, sendSignal } from '../process/tree.ts';

/** What forks while it is stopped is looked for again at once, so often, and then with the next look. */
const ROUNDS = 20;
const LOOK_MS = 1000;

/**
 * Stops by SIGSTOP, while the server is frozen, the processes that systemd does not hold: all of them where it holds
 * none, else those outside of the cgroups of commands. They go on at the thaw.
 */
export class Standstill {
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Those that were stopped before the freeze, as `pid start`: they stay so. */
  readonly #asleep = new Set<string>();
  readonly #stopped = new Set<string>();

  constructor(
    private readonly freeze: Freeze,
    private readonly cgroups: CommandCgroups | undefined,
    private readonly trees: () => readonly ProcessTree[],
  ) {
    freeze.subscribe(() => this.look());
  }

  /** Takes up what an earlier agent has stopped, and may not have seen the thaw of. */
  takeUp(): void {
    const { last, isFrozen } = this.freeze;
    if (!isFrozen && last?.signals !== true) return;
    const pids = this.trees().flatMap((tree) => tree.members());
    for (const pid of pids)
      if (last?.signals === true || !this.#isHeld(pid)) this.#stopped.add(`${pid} ${readStat(pid)?.startTicks}`);
    this.look();
  }

  /** Brings every process into the state that the freeze asks for. */
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

  /** Gives how many processes it had to stop. */
  #stopTree(tree: ProcessTree): number {
    let count = 0;
    // Asked once: a question may find the thaw, which lets everything go on.
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

  /** Whether systemd holds a process. */
  #isHeld(pid: number): boolean {
    return this.cgroups?.holderOf(pid) !== undefined;
  }

  #release(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const tree of this.trees()) {
      // Children before their parents: a shell that sees a stopped child takes it for a job in the background.
      for (const pid of tree.members().sort((a, b) => b - a)) {
        if (this.#stopped.has(`${pid} ${readStat(pid)?.startTicks}`)) sendSignal(pid, 'SIGCONT');
      }
    }
    this.#stopped.clear();
    this.#asleep.clear();
  }
}
