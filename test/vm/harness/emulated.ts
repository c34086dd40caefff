import { statSync } from 'node:fs';
import { BUNDLE, bundleHash, INSTALL_BUNDLE } from './bundle.ts';
import type { Channel } from './channel.ts';
import type { Guest } from './guest.ts';
import { ensureImage } from './image.ts';
import { type Hardware, Machine, type Started } from './machine.ts';
import type { Qmp } from './qmp.ts';
import type { Suite } from './recipe.ts';
import { clockScript, copyScript } from './scripts.ts';
import { bootedSnapshot, preparedSnapshot } from './snapshot.ts';

const CLOCK_SECONDS = 180;
/** 5 s for the executable, while another machine runs. */
const COPY_SECONDS = 180;
/** 20 s on a quiet host. */
const INSTALL_SECONDS = 240;

/** A machine in QEMU: slow, with a kernel, controllers and a power supply of its own. */
export class Emulated implements Guest {
  readonly hasControllers = true;
  readonly channel: Channel;
  readonly #machine: Machine;
  readonly #qmp: Qmp;
  #disks = 0;

  private constructor({ machine, channel, qmp }: Started) {
    this.#machine = machine;
    this.channel = channel;
    this.#qmp = qmp;
  }

  /**
   * One that has just booted, or in which the bundle has been installed as well, and that knows the time. Throws when it
   * does not come up.
   */
  static async boot(suite: Suite, hardware: Hardware, isInstalled: boolean): Promise<Emulated> {
    const image = ensureImage(suite);
    const snapshot = isInstalled
      ? await preparedSnapshot(image, hardware, `installed-${bundleHash()}`, Emulated.#install)
      : await bootedSnapshot(image, hardware);
    const emulated = new Emulated(await Machine.start({ image, hardware, snapshot }));
    try {
      await emulated.setClock();
      return emulated;
    } catch (error) {
      await emulated.kill();
      throw error;
    }
  }

  /** Installs the bundle in a machine that is to be saved. */
  static async #install(started: Started): Promise<void> {
    const emulated = new Emulated(started);
    await emulated.setClock();
    for (const [there, here] of Object.entries(BUNDLE)) await emulated.copyIn(here, there);
    const { code, stdout, stderr } = await emulated.channel.run(INSTALL_BUNDLE, INSTALL_SECONDS);
    if (code !== 0) throw new Error(`the bundle was not installed: ${stdout}\n${stderr}`);
  }

  /** The clock of a machine that resumes from a snapshot has stopped meanwhile. */
  async setClock(): Promise<void> {
    await this.channel.run(clockScript(Date.now() / 1000), CLOCK_SECONDS);
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

  reach(socket: string): Promise<string> {
    return Promise.reject(new Error(`an emulated machine shares no files with the host, so ${socket} is not reached`));
  }

  forward(address: string, socket: string): Promise<void> {
    return Promise.reject(new Error(`an emulated machine shares no files with the host: ${address}, ${socket}`));
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
