import type { Socket } from 'node:net';

/** What QEMU says: an answer, an error, or news. */
interface Message {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: { readonly device?: string };
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
}

/** Of the bus for disks that come and go. */
const PLACES = 256;

/** QEMU's machine protocol: disks are plugged in through it, the machine is saved and reset. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #unplugged = new Map<string, () => void>();
  #count = 0;
  #disks = 0;
  #rest = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('QEMU has ended'));
    });
    // `close` follows, and rejects the calls that wait.
    socket.on('error', () => {});
  }

  /** A connection that QEMU has agreed to take commands from. */
  static async on(socket: Socket): Promise<Qmp> {
    const qmp = new Qmp(socket);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** Throws with QEMU's own words when it refuses. */
  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = ++this.#count;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    return promise;
  }

  /** A command of the monitor for humans, which saves machines. Throws when it says anything at all: it has no codes. */
  async monitor(line: string): Promise<void> {
    const said = await this.execute('human-monitor-command', { 'command-line': line });
    if (said !== '') throw new Error(`${line}: ${said}`);
  }

  /**
   * Plugs in a file of the host as a disk that can only be read. The machine finds it by `name`, its serial number. Its
   * place is a new one each time: what the machine hears late of a disk that is gone, it takes for word of the next there.
   */
  async plugDisk(name: string, path: string): Promise<void> {
    const place = ++this.#disks % PLACES;
    const file = { driver: 'file', filename: path, locking: 'off' };
    await this.execute('blockdev-add', { 'node-name': name, driver: 'raw', 'read-only': true, file });
    await this.execute('device_add', {
      driver: 'scsi-hd',
      bus: 'scsi.0',
      'scsi-id': place,
      id: name,
      drive: name,
      serial: name,
    });
  }

  /** Resolves when the machine has let go of the disk. */
  async unplugDisk(name: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#unplugged.set(name, resolve);
    await this.execute('device_del', { id: name });
    await promise;
    await this.execute('blockdev-del', { 'node-name': name });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#take(JSON.parse(line) as Message);
  }

  #take(message: Message): void {
    const device = message.data?.device;
    if (message.event === 'DEVICE_DELETED' && device !== undefined) {
      this.#unplugged.get(device)?.();
      this.#unplugged.delete(device);
    }
    if (message.id === undefined) return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.return);
    else waiting?.reject(new Error(`QEMU: ${message.error.desc}`));
  }
}
