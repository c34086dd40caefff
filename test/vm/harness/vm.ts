import { statSync } from 'node:fs';
import { within } from '../../helpers/waiting.ts';
import type { Channel, RawResult } from './channel.ts';
import { ensureImage } from './image.ts';
import { Machine, MEMORY_MIB } from './machine.ts';
import type { Qmp } from './qmp.ts';
import type { Suite } from './recipe.ts';
import { clockScript, copyScript, untilScript } from './scripts.ts';
import { BOOT_SECONDS, ensureSnapshot } from './snapshot.ts';

/** The machine that a test asks for. */
export interface VmOptions {
  /** What it puts into it: path there → file on the host. */
  readonly files?: Readonly<Record<string, string>>;
  readonly suite?: Suite;
  readonly memoryMib?: number;
}

/** What a script in the machine left behind, its output as text. */
export interface ScriptResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const RUN_SECONDS = 120;
/** 5 s for the executable, beside another machine. */
const COPY_SECONDS = 60;
/** Once in hundreds of times an emulated disk answers no more. */
const TRIES = 3;

/** A machine that has just booted, with the test's files in it. Throws when none comes up. */
export async function bootVm(options: VmOptions = {}): Promise<Vm> {
  for (let tries = 1; ; tries++) {
    try {
      return await bootOnce(options);
    } catch (error) {
      if (tries === TRIES) throw error;
      console.error(`vm: did not come up, another one is tried: ${error instanceof Error ? error.message : error}`);
    }
  }
}

async function bootOnce({ files = {}, suite = 'bookworm', memoryMib = MEMORY_MIB }: VmOptions): Promise<Vm> {
  const image = ensureImage(suite);
  const snapshot = await ensureSnapshot(image, memoryMib);
  const start = performance.now();
  const { machine, channel, qmp } = await Machine.start({ image, memoryMib, snapshot });
  const vm = new Vm(machine, channel, qmp);
  try {
    await vm.sh(clockScript(Date.now() / 1000));
    for (const [there, here] of Object.entries(files)) await vm.copyIn(here, there);
  } catch (error) {
    await vm[Symbol.asyncDispose]();
    throw error;
  }
  console.error(`vm: up after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return vm;
}

/** A Debian with systemd, in QEMU, which runs the scripts of a test. Disposing of it switches it off. */
export class Vm implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #channel: Channel;
  readonly #qmp: Qmp;
  #disks = 0;

  constructor(machine: Machine, channel: Channel, qmp: Qmp) {
    this.#machine = machine;
    this.#channel = channel;
    this.#qmp = qmp;
  }

  /**
   * Runs a script with bash, as root; gives exit code, output and errors. Throws when it takes longer than `seconds`:
   * its processes are killed then, but for those that have left its process group.
   */
  async run(script: string, seconds?: number): Promise<ScriptResult> {
    const { code, stdout, stderr } = await this.runRaw(script, seconds);
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /** The same, with the bytes of the output as they are. */
  async runRaw(script: string, seconds: number = RUN_SECONDS): Promise<RawResult> {
    try {
      return await this.#channel.run(script, seconds);
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

  /** Repeats a script in the machine until it succeeds; gives the output. Throws after `seconds` with what it said last. */
  async until(script: string, seconds: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(untilScript(script, seconds), seconds + RUN_SECONDS);
    if (code === 0) return stdout;
    throw new Error(`not within ${seconds} s: ${script}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`);
  }

  /** Puts a file of the host into the machine, with its mode, as root's; of any size. */
  async copyIn(hostPath: string, guestPath: string): Promise<void> {
    const { size, mode } = statSync(hostPath);
    // Of one length, so that no name is the beginning of another.
    const disk = `copy-${String(++this.#disks).padStart(6, '0')}`;
    await this.#qmp.plugDisk(disk, hostPath);
    await this.sh(copyScript(disk, size, mode, guestPath), COPY_SECONDS);
    await this.#qmp.unplugDisk(disk);
  }

  /** Restarts the machine in order; resolves when it has booted again and come to rest, whatever has failed in it. */
  async reboot(): Promise<void> {
    await this.#bootsAgain(async () => {
      // The answer may be lost on the way down; what counts is the next boot.
      await this.#channel.run('systemctl --no-block reboot', RUN_SECONDS).catch(() => {});
    });
  }

  /** The same as by a power cut: nothing is told to the machine, and what it had not written yet is lost. */
  async powerCut(): Promise<void> {
    await this.#bootsAgain(async () => {
      await this.#qmp.execute('system_reset');
    });
  }

  /** The end of what the machine wrote on its console, and what QEMU said. */
  log(): string {
    return this.#machine.log();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.kill();
    this.#channel.close();
    this.#qmp.close();
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
    while ((await this.#channel.nextStart()) === before);
  }
}
