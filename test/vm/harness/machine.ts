import { closeSync, constants, copyFileSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { Channel } from './channel.ts';
import type { Image } from './image.ts';
import { Qmp } from './qmp.ts';

/** How large a machine is. */
export interface Hardware {
  /** Each is a thread of the host. Two of them take a third more of its time for the same work than one does. */
  readonly cores: number;
  readonly memoryMib: number;
}

/** `AGENT3_TEST_CORES=2 AGENT3_TEST_MEMORY_MIB=1024` is another server. */
export const USUAL: Hardware = {
  cores: Number(process.env['AGENT3_TEST_CORES'] || 1),
  memoryMib: Number(process.env['AGENT3_TEST_MEMORY_MIB'] || 2048),
};

const KERNEL_ARGUMENTS = [
  ...['console=ttyS0', 'root=/dev/vda', 'rw', 'quiet', 'panic=-1', 'systemd.show_status=false'],
  // What costs time under emulation and is of no use there.
  ...['mitigations=off', 'audit=0', 'nowatchdog', 'cryptomgr.notests', 'random.trust_cpu=on'],
  // Otherwise the kernel takes the HPET, whose every reading leaves the emulated processor.
  ...['tsc=reliable', 'clocksource=tsc'],
].join(' ');

/** Without what is slow to emulate: copies byte by byte, a fifth level of pages, checks at each access to memory. */
const PROCESSOR = 'max,erms=off,fsrm=off,la57=off,smap=off,smep=off,pku=off';

/** QEMU makes its sockets within this time, also on a busy host. */
const START_MS = 20_000;
const LOG_BYTES = 4000;

/** Machines that are on: none outlives the process. */
const running = new Set<Machine>();
// `bun test` calls this only when a test exits; otherwise, QEMU is told by the kernel (see `#argv`).
process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll();
    process.kill(process.pid, signal);
  });
}

function killAll(): void {
  for (const machine of running) machine.kill();
}

/** The disk and memory of a machine that was running: it can be gone on with any number of times. */
export interface Snapshot {
  /** qcow2, which is copied. */
  readonly disk: string;
  readonly tag: string;
}

/** What a machine is started from: a boot of the image, unless there is a snapshot to resume from. */
export interface MachineOptions {
  readonly image: Image;
  readonly hardware: Hardware;
  readonly snapshot?: Snapshot | undefined;
  /** Its disk, which stays when the machine is gone; without one it gets a disk of its own, which goes with it. */
  readonly disk?: string;
}

/** A machine that is on, with the lines to it. */
export interface Started {
  readonly machine: Machine;
  readonly channel: Channel;
  readonly qmp: Qmp;
}

/** A new disk that shows the image's files, and keeps what is written. */
export function createDisk(image: Image, path: string): void {
  command(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image.root, '-F', 'raw', path]);
}

/** QEMU with its lines to the host. The process and everything it has on disk are gone after `kill`. */
export class Machine {
  readonly #directory = mkdtempSync(join(tmpdir(), 'agent3-vm-'));
  readonly #child: Bun.Subprocess;
  readonly #console: number;

  private constructor(parts: MachineOptions) {
    const { image, snapshot, disk = this.#ownDisk(image, snapshot) } = parts;
    this.#console = openSync(this.#at('console'), 'a+');
    this.#child = Bun.spawn(this.#argv(parts, disk), {
      stdio: ['ignore', 'ignore', this.#console],
    });
    running.add(this);
  }

  /** Starts QEMU and connects to it; the machine itself is then at the beginning of its boot. Throws with its log. */
  static async start(parts: MachineOptions): Promise<Started> {
    const machine = new Machine(parts);
    try {
      const channel = new Channel();
      channel.attach(await machine.#connect('channel'));
      machine.#child.exited.then(() => channel.end(new Error('QEMU has ended')));
      const qmp = await Qmp.on(await machine.#connect('qmp'));
      // QEMU has opened all it needs: from here on, nothing is left behind even when this process is killed.
      rmSync(machine.#directory, { recursive: true });
      return { machine, channel, qmp };
    } catch (error) {
      const log = machine.log();
      await machine.kill();
      throw new Error(`${error instanceof Error ? error.message : error}\n${log}`, { cause: error });
    }
  }

  /** The end of what the machine wrote on its console, and what QEMU itself said. */
  log(): string {
    const { size } = fstatSync(this.#console);
    const tail = Buffer.alloc(Math.min(size, LOG_BYTES));
    readSync(this.#console, tail, 0, tail.length, size - tail.length);
    return tail.toString('latin1');
  }

  /** Switches the machine off, as by pulling the plug. Resolves when it is gone. */
  async kill(): Promise<void> {
    const isFirst = running.delete(this);
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
    await this.#child.exited;
    if (isFirst) closeSync(this.#console);
  }

  /** Resolves when QEMU has ended by itself. */
  async ended(): Promise<void> {
    await this.#child.exited;
  }

  #ownDisk(image: Image, snapshot: Snapshot | undefined): string {
    const disk = this.#at('root.qcow2');
    if (snapshot === undefined) createDisk(image, disk);
    else copyFileSync(snapshot.disk, disk, constants.COPYFILE_FICLONE);
    return disk;
  }

  #at(name: string): string {
    return join(this.#directory, name);
  }

  #argv({ image, hardware, snapshot }: MachineOptions, disk: string): string[] {
    return [
      // The kernel kills QEMU when this process ends, however it ends.
      ...['setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64'],
      ...['-M', 'pc', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', PROCESSOR],
      ...['-smp', `${hardware.cores}`, '-m', `${hardware.memoryMib}`],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-nic', 'none', '-rtc', 'base=utc'],
      ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', KERNEL_ARGUMENTS],
      ...['-drive', `file=${disk},format=qcow2,if=virtio,cache=unsafe`],
      ...['-chardev', `file,id=console,path=${this.#at('console')},append=on`, '-serial', 'chardev:console'],
      ...['-chardev', `socket,id=qmp,path=${this.#at('qmp')},server=on,wait=off`, '-mon', 'chardev=qmp,mode=control'],
      ...['-chardev', `socket,id=channel,path=${this.#at('channel')},server=on,wait=off`],
      ...['-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=channel,name=agent3'],
      // For files that are copied in: disks come and go there at once, which on the PCI bus takes the guest seconds.
      ...['-device', 'virtio-scsi-pci,id=scsi', '-device', 'virtio-rng-pci'],
      ...(snapshot === undefined ? [] : ['-loadvm', snapshot.tag]),
    ];
  }

  async #connect(name: string): Promise<Socket> {
    for (const start = performance.now(); ; ) {
      try {
        return await connected(this.#at(name));
      } catch (error) {
        if (this.#child.exitCode !== null) throw new Error(`QEMU ended with ${this.#child.exitCode}`);
        if (performance.now() - start > START_MS) throw error;
      }
      await Bun.sleep(20);
    }
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
