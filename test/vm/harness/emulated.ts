import { statSync } from 'node:fs';
import type { Channel } from './channel.ts';
import type { Guest } from './guest.ts';
import { ensureImage } from './image.ts';
import { Machine } from './machine.ts';
import type { Qmp } from './qmp.ts';
import type { Suite } from './recipe.ts';
import { clockScript, copyScript } from './scripts.ts';
import { ensureSnapshot } from './snapshot.ts';

const CLOCK_SECONDS = 120;
/** 5 s for the executable, beside another machine. */
const COPY_SECONDS = 60;

/** A machine in QEMU: slow, with a kernel, controllers and a power supply of its own. */
export class Emulated implements Guest {
  readonly hasControllers = true;
  readonly channel: Channel;
  readonly #machine: Machine;
  readonly #qmp: Qmp;
  #disks = 0;

  private constructor(machine: Machine, channel: Channel, qmp: Qmp) {
    this.#machine = machine;
    this.channel = channel;
    this.#qmp = qmp;
  }

  /** One that has just booted, and knows the time. Throws when it does not come up. */
  static async boot(suite: Suite, memoryMib: number): Promise<Emulated> {
    const image = ensureImage(suite);
    const snapshot = await ensureSnapshot(image, memoryMib);
    const { machine, channel, qmp } = await Machine.start({ image, memoryMib, snapshot });
    const emulated = new Emulated(machine, channel, qmp);
    try {
      await channel.run(clockScript(Date.now() / 1000), CLOCK_SECONDS);
      return emulated;
    } catch (error) {
      await emulated.kill();
      throw error;
    }
  }

  async copyIn(hostPath: string, guestPath: string): Promise<void> {
    const { size, mode } = statSync(hostPath);
    // Of one length, so that no name is the beginning of another.
    const disk = `copy-${String(++this.#disks).padStart(6, '0')}`;
    await this.#qmp.plugDisk(disk, hostPath);
    const { code, stderr } = await this.channel.run(copyScript(disk, size, mode, guestPath), COPY_SECONDS);
    if (code !== 0) throw new Error(`${hostPath} was not copied: ${stderr}`);
    await this.#qmp.unplugDisk(disk);
  }

  async powerCut(): Promise<void> {
    await this.#qmp.execute('system_reset');
  }

  log(): string {
    return this.#machine.log();
  }

  async kill(): Promise<void> {
    await this.#machine.kill();
    this.channel.close();
    this.#qmp.close();
  }
}
