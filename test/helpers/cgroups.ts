import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

/** A cgroup (version 2) of a test. Disposing of it removes it, with the empty ones below. */
export class TestCgroup implements Disposable {
  constructor(readonly path: string) {}

  /** Makes one; undefined where this machine has no version 2, or does not let us. */
  static make(): TestCgroup | undefined {
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((line) => line.split(' ')[2] === 'cgroup2');
    if (mount === undefined) return undefined;
    const path = join(mount.split(' ')[1] ?? '/', `agent3-test-${process.pid}-${Math.random().toString(36).slice(2)}`);
    try {
      mkdirSync(path);
      return new TestCgroup(path);
    } catch {
      return undefined;
    }
  }

  /** The cgroups below it that commands have. */
  names(): string[] {
    return this.#all().filter((name) => name !== 'place');
  }

  #all(): string[] {
    return readdirSync(this.path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    try {
      for (const name of this.#all()) rmdirSync(join(this.path, name));
      rmdirSync(this.path);
    } catch {
      // A process that a failed test left keeps it.
    }
  }
}

/** Whether this machine has cgroups for tests. In the VM of test/vm, systemd hands one to the agent. */
export function hasCgroups(): boolean {
  using cgroup = TestCgroup.make();
  return cgroup !== undefined;
}
