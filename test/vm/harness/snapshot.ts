import { constants, copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { basename, join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { within } from '../../helpers/waiting.ts';
import { BuildDirectory, claim, MakingLock } from './cache.ts';
import type { Channel } from './channel.ts';
import type { Image } from './image.ts';
import { createDisk, type Hardware, Machine, type Snapshot, type Started } from './machine.ts';

/** A boot takes a quarter of a minute on a quiet host; one that takes longer than this has failed. */
export const BOOT_SECONDS = 240;
/** What QEMU calls the state in the file of a snapshot. */
const TAG = 'saved';
const PREPARED = 'prepared-';

/** Puts what a snapshot is to have into a machine that runs. */
export type Prepare = (machine: Started) => Promise<void>;

/** The image's machine as it is after a boot that has come to rest. Throws when it does not come up, or when a unit fails. */
export function bootedSnapshot(image: Image, hardware: Hardware): Promise<Snapshot> {
  return ensureSnapshot(image, hardware, `booted-${machineHash(hardware)}`, async ({ channel }) => {
    await within('the boot', channel.nextStart(), BOOT_SECONDS * 1000);
    await settled(channel);
  });
}

/** The booted machine after `prepare`; its `name` is different for each. */
export async function preparedSnapshot(
  image: Image,
  hardware: Hardware,
  name: string,
  prepare: Prepare,
): Promise<Snapshot> {
  const booted = await bootedSnapshot(image, hardware);
  const snapshot = await ensureSnapshot(
    image,
    hardware,
    `${PREPARED}${name}-${machineHash(hardware)}`,
    prepare,
    booted,
  );
  removeOthers(image, snapshot);
  return snapshot;
}

/** Every build of the agent makes snapshots of its own, which are large: those go that were not used for an hour. */
function removeOthers({ directory }: Image, { disk }: Snapshot): void {
  const now = Date.now();
  utimesSync(disk, now / 1000, now / 1000);
  for (const name of readdirSync(directory).filter((entry) => entry.startsWith(PREPARED))) {
    const path = join(directory, name);
    const { mtimeMs = now } = statSync(path, { throwIfNoEntry: false }) ?? {};
    if (now - mtimeMs > 3_600_000) rmSync(path, { force: true });
  }
}

/** A saved machine can only be read by the QEMU that has saved it, with the same devices. */
function machineHash(hardware: Hardware): string {
  const version = command(['qemu-system-x86_64', '--version']);
  const devices = readFileSync(join(import.meta.dir, 'machine.ts'), 'utf8');
  return new Bun.CryptoHasher('sha256')
    .update(`${version}\0${devices}\0${hardware.cores}\0${hardware.memoryMib}`)
    .digest('hex')
    .slice(0, 16);
}

/** A machine saved as `name`, made once and kept next to the image: begun by a boot, or from another snapshot. */
async function ensureSnapshot(
  image: Image,
  hardware: Hardware,
  name: string,
  prepare: Prepare,
  from?: Snapshot,
): Promise<Snapshot> {
  const target = join(image.directory, `${name}.qcow2`);
  if (!existsSync(target)) {
    using _alone = new MakingLock(`${target}.lock`);
    if (!existsSync(target)) await make(target, image, hardware, prepare, from);
  }
  return { disk: target, tag: TAG };
}

async function make(
  target: string,
  image: Image,
  hardware: Hardware,
  prepare: Prepare,
  from: Snapshot | undefined,
): Promise<void> {
  console.error(`vm: making ${basename(target)}, a snapshot …`);
  const start = performance.now();
  using building = new BuildDirectory();
  const disk = join(building.path, 'root.qcow2');
  if (from === undefined) createDisk(image, disk);
  else copyFileSync(from.disk, disk, constants.COPYFILE_FICLONE);
  await save(await Machine.start({ image, hardware, disk, snapshot: from }), prepare);
  claim(disk, target);
  console.error(`vm: made, after ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

async function save(started: Started, prepare: Prepare): Promise<void> {
  const { machine, qmp } = started;
  try {
    await prepare(started);
    // One of the same name is replaced.
    await qmp.monitor(`savevm ${TAG}`);
    // In order, so that the file is complete: nobody reads the answer of a program that ends.
    qmp.execute('quit').catch(() => {});
    await machine.ended();
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
