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
 * The cgroup (cgroups(7), version 2) that contains one cgroup for every command. It belongs to another unit of the
 * service manager than the agent's: its processes outlive the agent, and none leaves it by forking.
 */
export class CommandCgroups {
  #limits: ResourceLimits | undefined;

  constructor(private readonly directory: string) {}

  /** Whether commands can have limits of their own. */
  get enforcesLimits(): boolean {
    return this.#limits !== undefined;
  }

  /** Returns why commands cannot be started in it; undefined if they can. */
  fault(): string | undefined {
    try {
      accessSync(this.directory, constants.W_OK);
      // Since Linux 5.14.
      accessSync(join(this.directory, 'cgroup.kill'), constants.F_OK);
      // Starting a process in another cgroup requires write access to the common ancestor.
      accessSync(join(dirname(this.directory), 'cgroup.procs'), constants.W_OK);
      return undefined;
    } catch (error) {
      return describeErrno(error);
    }
  }

  /**
   * Delegates the controllers to the cgroups of the commands, so that each has its own limits. A cgroup that delegates
   * controllers may contain no process (cgroups(7)): the process that keeps the unit alive is moved below. Returns the
   * limits in force. Throws the system's error if the controllers are not available.
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
      // Without it, shares of a busy disk are not available; the other limits are.
    }
    this.#limits = defaultLimits(this.directory, given);
    return this.#limits;
  }

  /** Returns the name of the command whose cgroup `pid` is in; undefined if it is in none of them. */
  holderOf(pid: number): string | undefined {
    const text = readProcFile(`/proc/${pid}/cgroup`);
    const path = text === undefined ? undefined : /^0::(.*)$/m.exec(text)?.[1];
    const [, after] = path?.split(`/${basename(this.directory)}/`) ?? [];
    const name = after?.split('/')[0];
    return name === PLACE ? undefined : name;
  }

  /** Makes a cgroup called `name`; undefined if that is refused: the service manager may have removed its parent. */
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
   * Lowers the CPU weight of the command called `name`, so that new commands go first. Other processes of the machine
   * get no advantage from that.
   */
  lower(name: string): void {
    if (!this.enforcesLimits) return;
    try {
      lowerWeight(join(this.directory, name));
    } catch {
      // It has ended.
    }
  }

  /** Returns what the command called `name` used, and which limits it reached; undefined if it has no cgroup. */
  costOf(name: string): Cost | undefined {
    return costOf(join(this.directory, name), this.enforcesLimits);
  }

  /**
   * Returns what the command called `name` uses now: as the kernel counts it if possible, else by /proc of `members`.
   */
  useOf(name: string, members: () => number[]): Use {
    const counted = useOfCgroup(join(this.directory, name));
    if (counted.cpu_ms !== undefined && counted.memory_bytes !== undefined)
      return { cpu_ms: counted.cpu_ms, memory_bytes: counted.memory_bytes };
    return { ...useOfProcesses(members()), ...counted };
  }

  /** Removes the cgroups that contain no process and that `isNeeded` does not name. */
  sweep(isNeeded: (name: string) => boolean): void {
    for (const name of subdirectories(this.directory)) if (name !== PLACE && !isNeeded(name)) this.of(name).remove();
  }
}

/** The cgroup of the process that keeps the unit alive. */
const PLACE = 'place';

/** The cgroup of one command, with the cgroups that the command made below it. */
export class Cgroup {
  constructor(readonly path: string) {}

  /** Returns the processes in it; none if it does not exist. */
  pids(): number[] {
    const own = readPids(this.path);
    const below = subdirectories(this.path).flatMap((name) => new Cgroup(join(this.path, name)).pids());
    return [...own, ...below];
  }

  /** Whether it, or a cgroup below it, contains a live process. A zombie does not count. */
  isPopulated(): boolean {
    try {
      return readFileSync(join(this.path, 'cgroup.events'), 'latin1').includes('populated 1');
    } catch {
      return false;
    }
  }

  /** Sends SIGKILL to all of it at once: no process can fork faster. */
  kill(): void {
    try {
      writeFileSync(join(this.path, 'cgroup.kill'), '1');
    } catch {
      // It is gone, and with it every process.
    }
  }

  /** Removes it if no process is left in it. */
  remove(): void {
    // Looking for cgroups below takes longer than the removal, and is seldom needed.
    if (this.#removeItself()) return;
    for (const name of subdirectories(this.path)) new Cgroup(join(this.path, name)).remove();
    this.#removeItself();
  }

  /** Returns true if it is gone. False if it has processes or cgroups below; a later sweep removes it. */
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

/** Only the limits that are set: the others are as for every command. */
function given(own: Partial<ResourceLimits>): Partial<ResourceLimits> {
  return Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
}
