import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { within } from '../../helpers/waiting.ts';
import { BuildDirectory, claim } from './cache.ts';
import type { Channel } from './channel.ts';
import type { Image } from './image.ts';
import { CORES, createDisk, Machine, type Snapshot } from './machine.ts';

/** A boot takes a quarter of a minute on a quiet host; one that takes longer than this has failed. */
export const BOOT_SECONDS = 240;
const TAG = 'booted';

/**
 * The image's machine as it is after a boot that has come to rest, made once and kept beside the image. Throws when the
 * machine does not come up, or when a unit of it fails.
 */
export async function ensureSnapshot(image: Image, memoryMib: number): Promise<Snapshot> {
  // A saved machine can only be read by the QEMU that has saved it, with the same devices.
  const version = command(['qemu-system-x86_64', '--version']);
  const devices = readFileSync(join(import.meta.dir, 'machine.ts'), 'utf8');
  const hash = new Bun.CryptoHasher('sha256')
    .update(`${version}\0${devices}\0${CORES}\0${memoryMib}`)
    .digest('hex')
    .slice(0, 16);
  const disk = join(image.directory, `booted-${hash}.qcow2`);
  if (!existsSync(disk)) await save(image, memoryMib, disk);
  return { disk, tag: TAG };
}

async function save(image: Image, memoryMib: number, target: string): Promise<void> {
  console.error('vm: booting the machine once, for a snapshot …');
  const start = performance.now();
  using building = new BuildDirectory();
  const disk = join(building.path, 'root.qcow2');
  createDisk(image, disk);
  const { machine, channel, qmp } = await Machine.start({ image, memoryMib, disk });
  try {
    await within('the boot', channel.nextStart(), BOOT_SECONDS * 1000);
    await settled(channel);
    console.error(`vm: booted, after ${((performance.now() - start) / 1000).toFixed(1)} s`);
    await qmp.monitor(`savevm ${TAG}`);
    // In order, so that the file is complete: nobody reads the answer of a program that ends.
    qmp.execute('quit').catch(() => {});
    await machine.ended();
    claim(disk, target);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${machine.log()}`, { cause: error });
  } finally {
    await machine.kill();
  }
}

/** Resolves when systemd has started everything. Throws naming the units that failed. */
export async function settled(channel: Channel): Promise<void> {
  const { stdout } = await channel.run('systemctl is-system-running --wait', BOOT_SECONDS);
  const state = stdout.toString().trim();
  if (state === 'running') return;
  const failed = await channel.run('systemctl --failed --no-legend --plain; systemctl list-jobs --no-legend', 60);
  throw new Error(`the machine is ${state}: ${failed.stdout}`);
}
