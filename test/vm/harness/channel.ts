import { connect, type Socket } from 'node:net';

/** What a script in the machine left behind. */
export interface ScriptResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The way to the runner in the machine: a line of base64 each way, over a virtio port that is a socket of the host. */
export class Channel {
  readonly #socket: Socket;
  readonly #waiting = new Map<string, (result: ScriptResult) => void>();
  #rest = '';
  #count = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#receive(chunk.toString('latin1')));
    // The machine was switched off: whoever waits learns it by its own time limit.
    socket.on('error', () => {});
  }

  /** Connects to the socket of QEMU, which is there a moment after its start. */
  static async open(path: string): Promise<Channel> {
    for (let tries = 0; ; tries++) {
      try {
        return new Channel(await connected(path));
      } catch (error) {
        if (tries > 100) throw error;
        await Bun.sleep(50);
      }
    }
  }

  /** Runs `script` with bash; undefined when there is no answer within `seconds`. */
  async run(script: string, seconds: number): Promise<ScriptResult | undefined> {
    const id = String(++this.#count);
    const answer = new Promise<ScriptResult>((resolve) => this.#waiting.set(id, resolve));
    // The line break before it ends whatever was cut off by a reboot.
    this.#socket.write(`\n${id} ${Buffer.from(script).toString('base64')}\n`);
    const timer = Promise.withResolvers<undefined>();
    const timeout = setTimeout(() => timer.resolve(undefined), seconds * 1000);
    try {
      return await Promise.race([answer, timer.promise]);
    } finally {
      clearTimeout(timeout);
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const [id = '', code, stdout = '', stderr = ''] = line.split(' ');
      this.#waiting.get(id)?.({ code: Number(code), stdout: decode(stdout), stderr: decode(stderr) });
    }
  }
}

function decode(text: string): string {
  return text === '-' ? '' : Buffer.from(text, 'base64').toString('utf8');
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
