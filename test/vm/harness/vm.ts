import { within } from '../../helpers/waiting.ts';
import type { RawResult } from './channel.ts';
import { Container } from './container.ts';
import { Emulated } from './emulated.ts';
import type { Guest } from './guest.ts';
import { type Hardware, USUAL } from './machine.ts';
import type { Suite } from './recipe.ts';
import { untilScript } from './scripts.ts';
import { BOOT_SECONDS } from './snapshot.ts';

/** The machine that a test asks for. */
export interface VmOptions extends Partial<Hardware> {
  /**
   * What the tests need: a `machine` of their own, emulated by QEMU, for limits, a power cut, the clock or the kernel; or
   * systemd alone, which a `container` has as well, and many times as fast.
   */
  readonly needs?: 'machine' | 'container';
  /** Whether the bundle of this build is in it, and installed: that was done once, for all of them. A machine only. */
  readonly isInstalled?: boolean;
  /** What it puts into it: path there → file on the host. */
  readonly files?: Readonly<Record<string, string>>;
  readonly suite?: Suite;
}

/** What a script in the machine left behind, its output as text. */
export interface ScriptResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A script that takes longer hangs, also with others on a busy host. */
const RUN_SECONDS = 240;
/** Once in hundreds of times an emulated disk answers no more. */
const TRIES = 3;

/** Whether a container has failed to come up here: it is not tried again. */
let hasNoContainers = false;

/** A machine that has just booted, with the test's files in it. Throws when none comes up. */
export async function bootVm(options: VmOptions = {}): Promise<Vm> {
  const { needs = 'machine', suite = 'bookworm', isInstalled = false } = options;
  const { cores = USUAL.cores, memoryMib = USUAL.memoryMib } = options;
  if (needs === 'container' && !hasNoContainers) {
    try {
      return await prepared(() => Container.boot(suite), options);
    } catch (error) {
      hasNoContainers = true;
      console.error(`vm: no container comes up, so QEMU is used: ${error instanceof Error ? error.message : error}`);
    }
  }
  for (let tries = 1; ; tries++) {
    try {
      return await prepared(() => Emulated.boot(suite, { cores, memoryMib }, isInstalled), options);
    } catch (error) {
      if (tries === TRIES) throw error;
      console.error(`vm: did not come up, another one is tried: ${error instanceof Error ? error.message : error}`);
    }
  }
}

async function prepared(boot: () => Promise<Guest>, { files = {} }: VmOptions): Promise<Vm> {
  const start = performance.now();
  const guest = await boot();
  try {
    for (const [there, here] of Object.entries(files)) await guest.copyIn(here, there);
  } catch (error) {
    await guest.kill();
    throw error;
  }
  console.error(`vm: up after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return new Vm(guest);
}

/** A Debian with systemd which runs the scripts of a test. Disposing of it switches it off. */
export class Vm implements AsyncDisposable {
  readonly #guest: Guest;

  constructor(guest: Guest) {
    this.#guest = guest;
  }

  /** Whether limits of memory, processes and CPU hold in it. */
  get hasControllers(): boolean {
    return this.#guest.hasControllers;
  }

  /**
   * Runs a script with bash, as root; returns exit code, output and errors. Throws when it takes longer than `seconds`:
   * its processes are killed then, but for those that have left its process group.
   */
  async run(script: string, seconds?: number): Promise<ScriptResult> {
    const { code, stdout, stderr } = await this.runRaw(script, seconds);
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /** The same, with the bytes of the output as they are. */
  async runRaw(script: string, seconds: number = RUN_SECONDS): Promise<RawResult> {
    try {
      return await this.#guest.channel.run(script, seconds);
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      throw new Error(`no result within ${seconds} s of: ${script}\n${reason}\n${this.log()}`, { cause: error });
    }
  }

  /** The output of a script that must succeed. Throws with what it said when it does not. */
  async sh(script: string, seconds?: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(script, seconds);
    if (code === 0) return stdout;
    throw new Error(`exit code ${code} of: ${script}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`);
  }

  /** Repeats a script until it succeeds; returns its output. Throws after `seconds`, with the last output. */
  async until(script: string, seconds: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(untilScript(script, seconds), seconds + RUN_SECONDS);
    if (code === 0) return stdout;
    throw new Error(`not within ${seconds} s: ${script}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`);
  }

  /** Puts a file of the host into the machine, with its mode, as root's; of any size. */
  copyIn(hostPath: string, guestPath: string): Promise<void> {
    return this.#guest.copyIn(hostPath, guestPath);
  }

  /** Where the host reaches a unix socket of the machine, or an address such as `127.0.0.1:4222`. Throws for an emulated one. */
  reach(socket: string): Promise<string> {
    return this.#guest.reach(socket);
  }

  /** Passes what connects to `address` in the machine on to a unix socket of the host. Throws for an emulated one. */
  forward(address: string, socket: string): Promise<void> {
    return this.#guest.forward(address, socket);
  }

  /** Restarts the machine in order; resolves when it has booted again and come to rest, whatever has failed in it. */
  async reboot(): Promise<void> {
    await this.#bootsAgain(async () => {
      // The answer may be lost on the way down; what counts is the next boot.
      await this.#guest.channel.run('systemctl --no-block reboot', RUN_SECONDS).catch(() => {});
    });
  }

  /** The same as by a power cut: nothing is told to the machine, and what it had not written yet is lost. Throws in a container. */
  async powerCut(): Promise<void> {
    await this.#bootsAgain(() => this.#guest.powerCut());
  }

  /** The end of what the machine wrote on its console. */
  log(): string {
    return this.#guest.log();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest.kill();
  }

  async #bootsAgain(restart: () => Promise<void>): Promise<void> {
    const before = (await this.sh('cat /proc/sys/kernel/random/boot_id')).trim();
    const next = this.#nextBoot(before);
    await restart();
    await within('the boot', next, BOOT_SECONDS * 1000).catch((error) => {
      throw new Error(`the machine did not come up again: ${error.message}\n${this.log()}`, { cause: error });
    });
    await this.run('systemctl is-system-running --wait', BOOT_SECONDS);
  }

  /** The runner may be restarted on the way down as well: only another boot counts. */
  async #nextBoot(before: string): Promise<void> {
    while ((await this.#guest.channel.nextStart()) === before);
  }
}
