import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { readProcFile } from '../linux/proc.ts';
import {
  applyLimits,
  CONTROLLERS,
  type Cost,
  costOf,
  defaultLimits,
  lowerWeight,
  type ResourceLimits,
  useOfCgroup,
} from './cgroup-limits.ts';
import { type Use, useOfProcesses } from './use.ts';

/**
 * The cgroup (cgroups(7), version 2) that every command gets one of its own below. It belongs to another unit of the
 * service manager than the agent's: what runs in it outlives the agent, and nothing leaves it by forking.
 */
export class CommandCgroups {
  #limits: ResourceLimits | undefined;

  constructor(private readonly directory: string) {}

  /** Whether the commands in it can have limits of their own. */
  get enforcesLimits(): boolean {
    return this.#limits !== undefined;
  }

  /** Why commands cannot be started in it; undefined when they can. */
  fault(): string | undefined {
    try {
      accessSync(this.directory, constants.W_OK);
      // Since Linux 5.14.
      accessSync(join(this.directory, 'cgroup.kill'), constants.F_OK);
      // To start a process in another cgroup takes the right to write to the ancestor of both.
      accessSync(join(dirname(this.directory), 'cgroup.procs'), constants.W_OK);
      return undefined;
    } catch (error) {
      return describeErrno(error);
    }
  }

  /**
   * Hands the controllers on to the cgroups of the commands, so that each has limits of its own. A cgroup that hands
   * controllers on may hold no process (cgroups(7)): what holds the place is moved below. Gives the limits in force;
   * throws the system's error where the controllers are not to be had.
   */
  limit(given: ResourceLimits): ResourceLimits {
    const place = join(this.directory, PLACE);
    mkdirSync(place, { recursive: true });
    for (const pid of readPids(this.directory)) writeFileSync(join(place, 'cgroup.procs'), String(pid));
    const wanted = CONTROLLERS.map((name) => `+${name}`).join(' ');
    writeFileSync(join(this.directory, 'cgroup.subtree_control'), wanted);
    try {
      writeFileSync(join(this.directory, 'cgroup.subtree_control'), '+io');
    } catch {
      // Without it, shares of a busy disk are not to be had; the other limits are.
    }
    this.#limits = defaultLimits(this.directory, given);
    return this.#limits;
  }

  /** The command whose cgroup `pid` is in, by its name; undefined for one that is in none of them. */
  holderOf(pid: number): string | undefined {
    const text = readProcFile(`/proc/${pid}/cgroup`);
    const path = text === undefined ? undefined : /^0::(.*)$/m.exec(text)?.[1];
    const [, after] = path?.split(`/${basename(this.directory)}/`) ?? [];
    const name = after?.split('/')[0];
    return name === PLACE ? undefined : name;
  }

  /** Makes a cgroup called `name`; undefined where that is refused: the service manager may have taken its parent away. */
  make(name: string, own: Partial<ResourceLimits> = {}): Cgroup | undefined {
    const path = join(this.directory, name);
    try {
      mkdirSync(path, { mode: 0o755 });
      if (this.#limits !== undefined) applyLimits(path, { ...this.#limits, ...given(own) });
      return new Cgroup(path);
    } catch {
      return undefined;
    }
  }

  /** The cgroup called `name`, which may not exist. */
  of(name: string): Cgroup {
    return new Cgroup(join(this.directory, name));
  }

  /**
   * Lets the command called `name` go behind those that begin, where the CPU is divided by cgroups. Nothing else of the
   * machine goes before it for that.
   */
  lower(name: string): void {
    if (!this.enforcesLimits) return;
    try {
      lowerWeight(join(this.directory, name));
    } catch {
      // It has ended.
    }
  }

  /** What the command called `name` took, and which limits it reached; undefined where it has no cgroup. */
  costOf(name: string): Cost | undefined {
    return costOf(join(this.directory, name), this.enforcesLimits);
  }

  /** What the command called `name` uses now: by the kernel's count where it has one, else by /proc of `members`. */
  useOf(name: string, members: () => number[]): Use {
    const counted = useOfCgroup(join(this.directory, name));
    if (counted.cpu_ms !== undefined && counted.memory_bytes !== undefined)
      return { cpu_ms: counted.cpu_ms, memory_bytes: counted.memory_bytes };
    return { ...useOfProcesses(members()), ...counted };
  }

  /** Removes the cgroups that hold no process any more and whose name `isNeeded` does not know. */
  sweep(isNeeded: (name: string) => boolean): void {
    for (const name of subdirectories(this.directory)) if (name !== PLACE && !isNeeded(name)) this.of(name).remove();
  }
}

/** What holds the unit's place is here. */
const PLACE = 'place';

/** The cgroup of one command, with those that the command made below it. */
export class Cgroup {
  constructor(readonly path: string) {}

  /** The processes in it; none where it does not exist. */
  pids(): number[] {
    const own = readPids(this.path);
    const below = subdirectories(this.path).flatMap((name) => new Cgroup(join(this.path, name)).pids());
    return [...own, ...below];
  }

  /** Whether a process lives in it or below it; one that has ended and was not waited for does not count. */
  isPopulated(): boolean {
    try {
      return readFileSync(join(this.path, 'cgroup.events'), 'latin1').includes('populated 1');
    } catch {
      return false;
    }
  }

  /** SIGKILL to all of it at once: nothing can fork faster. */
  kill(): void {
    try {
      writeFileSync(join(this.path, 'cgroup.kill'), '1');
    } catch {
      // It is gone, and with it every process.
    }
  }

  /** Removes it where no process is left in it. */
  remove(): void {
    // A look for cgroups below takes longer than the removal, and there seldom are any.
    if (this.#removeItself()) return;
    for (const name of subdirectories(this.path)) new Cgroup(join(this.path, name)).remove();
    this.#removeItself();
  }

  /** False where it is still populated, and a later sweep removes it, or has cgroups below; true when it is gone. */
  #removeItself(): boolean {
    try {
      rmdirSync(this.path);
      return true;
    } catch (error) {
      return errnoOf(error) === 'ENOENT';
    }
  }
}

function readPids(path: string): number[] {
  try {
    const text = readFileSync(join(path, 'cgroup.procs'), 'latin1');
    return text.split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function subdirectories(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** Only what was given: the rest is as for every command. */
function given(own: Partial<ResourceLimits>): Partial<ResourceLimits> {
  return Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
}
