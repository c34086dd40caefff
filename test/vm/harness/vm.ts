import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { Channel, type ScriptResult } from './channel.ts';
import { ensureImage, type Image } from './image.ts';

/** What a test puts into its machine: path there → file on the host. */
export interface VmOptions {
  readonly files?: Readonly<Record<string, string>>;
}

const MEMORY_MIB = 2048;
/** Its size is the same at every start, also where the machine goes on from a snapshot. */
const FILES_DISK = '1500M';

/** Under emulation, booting takes 15 s on a quiet machine. */
const BOOT_SECONDS = 240;
const RUN_SECONDS = 120;
const SNAPSHOT = 'booted';

const running = new Set<Vm>();
process.on('exit', () => {
  for (const vm of running) vm.kill();
});

/** Boots a machine, or goes on from the snapshot of a booted one. Throws when it does not come up. */
export async function bootVm({ files = {} }: VmOptions = {}): Promise<Vm> {
  const image = ensureImage();
  const snapshot = await ensureSnapshot(image);
  const vm = await Vm.start(image, { files, snapshot });
  await vm.sh(`date -s @${Math.ceil(Date.now() / 1000)} > /dev/null`);
  if (Object.keys(files).length > 0) await vm.sh('tar -x -f /dev/vdb -C /');
  return vm;
}

/** The root disk of a machine that has booted, with its memory, made once for each image. */
async function ensureSnapshot(image: Image): Promise<string> {
  const disk = join(image.directory, 'booted.qcow2');
  if (existsSync(disk)) return disk;
  console.error('vm: booting the machine once, for a snapshot …');
  const vm = await Vm.start(image, { files: {}, snapshot: undefined });
  try {
    const { stdout } = await vm.run('systemctl is-system-running --wait');
    if (stdout.trim() !== 'running') {
      const failed = await vm.run('systemctl --failed --no-legend; systemctl list-jobs');
      throw new Error(`the machine is ${stdout.trim()}: ${failed.stdout}`);
    }
    await vm.monitor(`savevm ${SNAPSHOT}`);
    vm.kill();
    renameSync(vm.disk, disk);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
  return disk;
}

interface StartOptions {
  readonly files: Readonly<Record<string, string>>;
  readonly snapshot: string | undefined;
}

/** A Debian with systemd, in QEMU, which runs the scripts of a test. Disposing of it switches it off. */
export class Vm implements AsyncDisposable {
  readonly disk: string;
  readonly #directory: string;
  #child: Bun.Subprocess<'ignore', 'ignore', 'pipe'> | undefined;
  #channel: Channel | undefined;

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'agent3-vm-'));
    this.disk = join(this.#directory, 'root.qcow2');
  }

  static async start(image: Image, { files, snapshot }: StartOptions): Promise<Vm> {
    const vm = new Vm();
    running.add(vm);
    try {
      if (snapshot !== undefined) copyFileSync(snapshot, vm.disk);
      else command(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image.root, '-F', 'raw', vm.disk]);
      vm.#pack(files);
      vm.#launch(image, snapshot !== undefined);
      vm.#channel = await Channel.open(join(vm.#directory, 'channel'));
      await vm.#answering(BOOT_SECONDS);
      return vm;
    } catch (error) {
      const told = new Error(`${error instanceof Error ? error.message : error}\n${vm.log()}`);
      await vm[Symbol.asyncDispose]();
      throw told;
    }
  }

  /** Runs a script with bash, as root; gives exit code, output and errors. Throws when it takes too long. */
  async run(script: string, seconds: number = RUN_SECONDS): Promise<ScriptResult> {
    const result = await this.#channel?.run(script, seconds);
    if (result !== undefined) return result;
    throw new Error(`no answer within ${seconds} s to: ${script}\n${this.log()}`);
  }

  /** The output of a script that must succeed. */
  async sh(script: string, seconds?: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(script, seconds);
    if (code === 0) return stdout;
    throw new Error(`exit code ${code} of: ${script}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`);
  }

  /** Repeats a script until it succeeds; gives the output. Throws after `seconds` with what it said last. */
  async until(script: string, seconds: number): Promise<string> {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const { code, stdout, stderr } = await this.run(script);
      if (code === 0) return stdout;
      if (performance.now() > end) {
        throw new Error(`not within ${seconds} s: ${script}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`);
      }
      await Bun.sleep(250);
    }
  }

  /** Restarts the machine in order, and waits until it has booted. */
  async reboot(): Promise<void> {
    const boot = await this.sh('cat /proc/sys/kernel/random/boot_id');
    // It may be down before it could answer.
    await this.#channel?.run('systemctl --no-block reboot', 5);
    const end = performance.now() + BOOT_SECONDS * 1000;
    for (;;) {
      const result = await this.#channel?.run('cat /proc/sys/kernel/random/boot_id', 5);
      if (result?.code === 0 && result.stdout !== boot) break;
      if (performance.now() > end) throw new Error(`the machine did not come up again\n${this.log()}`);
    }
    await this.run('systemctl is-system-running --wait');
  }

  /** A command of QEMU's own monitor. */
  async monitor(text: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let prompts = 0;
    const socket = await Bun.connect({
      unix: join(this.#directory, 'monitor'),
      socket: {
        data: (_socket, data) => {
          // One prompt greets, the second one follows the command.
          prompts += data.toString().split('(qemu)').length - 1;
          if (prompts >= 2) resolve();
        },
      },
    });
    socket.write(`${text}\n`);
    await promise;
    socket.end();
  }

  /** The end of what the machine wrote on its console, and what QEMU said. */
  log(): string {
    const console = join(this.#directory, 'console');
    return existsSync(console) ? readFileSync(console, 'latin1').slice(-3000) : '';
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    this.#channel?.close();
    await this.#child?.exited;
    rmSync(this.#directory, { recursive: true, force: true });
    running.delete(this);
  }

  /** The files as a plain tar, which is the machine's second disk. */
  #pack(files: Readonly<Record<string, string>>): void {
    const tree = join(this.#directory, 'files');
    mkdirSync(tree);
    for (const [path, source] of Object.entries(files)) {
      const target = join(tree, path);
      mkdirSync(dirname(target), { recursive: true });
      placeFile(source, target);
    }
    const disk = join(this.#directory, 'files.tar');
    command(['tar', '--owner=0', '--group=0', '-cf', disk, '-C', tree, '.']);
    command(['truncate', '-s', FILES_DISK, disk]);
    rmSync(tree, { recursive: true });
  }

  #launch(image: Image, fromSnapshot: boolean): void {
    const at = (name: string): string => join(this.#directory, name);
    const argv = [
      'qemu-system-x86_64',
      ...['-M', 'pc', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max', '-smp', '2', '-m', String(MEMORY_MIB)],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-nic', 'none', '-rtc', 'base=utc'],
      ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', KERNEL_ARGUMENTS],
      ...['-drive', `file=${this.disk},format=qcow2,if=virtio,cache=unsafe`],
      ...['-drive', `file=${at('files.tar')},format=raw,if=virtio,readonly=on`],
      ...['-serial', `file:${at('console')}`, '-monitor', `unix:${at('monitor')},server,nowait`],
      ...['-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=channel,name=agent3'],
      ...['-chardev', `socket,id=channel,path=${at('channel')},server=on,wait=off`],
      ...['-device', 'virtio-rng-pci'],
      ...(fromSnapshot ? ['-loadvm', SNAPSHOT] : []),
    ];
    this.#child = Bun.spawn(argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  async #answering(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const result = await this.#channel?.run('true', 5);
      if (result?.code === 0) return;
      if (this.#child?.exitCode != null) throw new Error(`QEMU ended: ${await this.#child.stderr.text()}`);
      if (performance.now() > end) throw new Error(`the machine gave no sign of life within ${seconds} s`);
    }
  }
}

const KERNEL_ARGUMENTS =
  'console=ttyS0 root=/dev/vda rw quiet panic=-1 mitigations=off audit=0 nowatchdog systemd.show_status=false';

/** A hard link where it can be: the executable has more than 100 MB. */
function placeFile(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch {
    copyFileSync(source, target);
  }
}
