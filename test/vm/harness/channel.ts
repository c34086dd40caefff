import type { Socket } from 'node:net';

/** What a script in the machine left behind, byte for byte. */
export interface RawResult {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** How much longer than a script the host waits: the runner itself ends the script when its time is up. */
const GRACE_SECONDS = 15;

interface Waiting {
  readonly resolve: (result: RawResult) => void;
  readonly reject: (reason: Error) => void;
}

/**
 * The way to the runner in the machine (`runner.pl`, where the protocol is described): lines of hex, over a socket of
 * the host. Scripts may run at the same time.
 */
export class Channel {
  #socket: Socket | undefined;
  readonly #waiting = new Map<string, Waiting>();
  #greeted = Promise.withResolvers<string>();
  #parts: string[] = [];
  #count = 0;

  constructor() {
    this.#greeted.promise.catch(() => {});
  }

  /** Speaks over `socket` from now on: the one to QEMU, or that of a runner in a container, which has a new one at each start. */
  attach(socket: Socket): void {
    this.#socket = socket;
    this.#parts = [];
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    // `close` follows.
    socket.on('error', () => {});
  }

  /** The id of the boot in which the runner starts next. Rejects when the machine ends before. */
  nextStart(): Promise<string> {
    return this.#greeted.promise;
  }

  /** Runs `script`. Throws when it takes longer than `seconds`, or when the runner does not live to tell. */
  async run(script: string, seconds: number): Promise<RawResult> {
    const id = String(++this.#count);
    const { promise, resolve, reject } = Promise.withResolvers<RawResult>();
    this.#waiting.set(id, { resolve, reject });
    this.#socket?.write(`${id} ${seconds} ${Buffer.from(script).toString('hex')}\n`);
    const silent = (): void => reject(new Error(`the machine has not answered within ${seconds + GRACE_SECONDS} s`));
    const timer = setTimeout(silent, (seconds + GRACE_SECONDS) * 1000);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#socket?.destroy();
  }

  /** Rejects all calls that wait: the machine has ended. */
  end(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#greeted.reject(reason);
  }

  #receive(text: string): void {
    // A long answer comes in thousands of pieces: they are put together once.
    if (!text.includes('\n')) {
      this.#parts.push(text);
      return;
    }
    const lines = (this.#parts.join('') + text).split('\n');
    this.#parts = [lines.pop() ?? ''];
    for (const line of lines) this.#take(line);
  }

  #take(line: string): void {
    const [id = '', code = '', stdout = '', stderr = ''] = line.split(' ');
    if (id === 'hello') {
      this.#greet(code);
      return;
    }
    const waiting = this.#waiting.get(id);
    if (code === 'late') {
      waiting?.reject(new Error(`it was killed when its time was up, after:\n${decode(stdout)}\n${decode(stderr)}`));
    } else {
      waiting?.resolve({ code: Number(code), stdout: decode(stdout), stderr: decode(stderr) });
    }
  }

  /** A runner that starts knows nothing of the scripts that its predecessor ran. */
  #greet(boot: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error('the runner of the tests was killed meanwhile'));
    this.#greeted.resolve(boot);
    this.#greeted = Promise.withResolvers();
    this.#greeted.promise.catch(() => {});
  }
}

function decode(text: string): Buffer {
  return text === '-' ? Buffer.alloc(0) : Buffer.from(text, 'hex');
}
