import { openMemory } from '../process/beginning.ts';
import { commandEnvironment } from '../process/environment.ts';
import { Descriptors } from '../process/start.ts';
import { kill } from '../process/terminate.ts';
import { treeOfSession } from '../process/tree.ts';
import { describeFailure } from '../sandbox/sandbox-cause.ts';
import { newSessionId } from '../sessions/record.ts';
import type { CommandDeps } from './command.ts';
import { forgetProbes, type Isolation, requireLimits } from './isolation.ts';
import { isolationPrefix, notRun } from './isolation-prefix.ts';
import { startError } from './launch.ts';

/** A helper that writes more than this to its standard error is stopped. */
const MAX_SAID_BYTES = 65_536;
/** Longest answer; most are a path. */
const MAX_ANSWER_BYTES = 8192;
/** How long a helper may clean up after the end of its input. */
const CLEAN_UP_MS = 2000;

/**
 * A script of the agent in the isolation of a profile: the same user, sandbox and limits as a command of its token. It
 * opens a path with the rights of such a command, and moves bytes between the file and its standard streams; the agent
 * itself opens no path for it. The caller closes it, or disposes of it, which ends it at once.
 */
export class Helper implements AsyncDisposable {
  readonly #child: HelperProcess;
  readonly #output: AsyncIterator<Uint8Array>;
  /** Output that was not taken yet. */
  #received: Uint8Array[] = [];
  #receiving: Promise<boolean> | undefined;
  #said = '';
  readonly #hasSaid: Promise<void>;
  #isSilent = false;
  #wake: () => void = () => {};
  #isClosed = false;

  /** `releaseSlot` is called when it has ended. */
  constructor(
    private readonly started: IsolatedScript,
    private readonly releaseSlot: () => void = () => {},
  ) {
    this.#child = started.child;
    this.#output = started.child.stdout[Symbol.asyncIterator]();
    this.#hasSaid = this.#listen();
  }

  /** Its standard error so far. */
  get said(): string {
    return this.#said;
  }

  /** Whether its standard error has ended. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Resolves with true when its standard error has more, or has ended. */
  saysMore(): Promise<true> {
    return new Promise((resolve) => {
      this.#wake = () => resolve(true);
      if (this.#isSilent) this.#wake();
    });
  }

  /** Bytes of its output that were received and not taken. */
  get received(): number {
    return this.#received.reduce((sum, { length }) => sum + length, 0);
  }

  /** Receives more of its output; false at the end. */
  receive(): Promise<boolean> {
    this.#receiving ??= this.#receiveOnce().finally(() => {
      this.#receiving = undefined;
    });
    return this.#receiving;
  }

  /** Takes what was received: at most `most` bytes. */
  take(most = Number.POSITIVE_INFINITY): Buffer {
    const [first = new Uint8Array(), ...more] = this.#received;
    // Copies only if there are several pieces.
    const all =
      more.length === 0 ? Buffer.from(first.buffer, first.byteOffset, first.length) : Buffer.concat(this.#received);
    this.#received = all.length > most ? [all.subarray(most)] : [];
    return all.subarray(0, Math.min(most, all.length));
  }

  /** Returns the next of its answers, each of which ends with a NUL; undefined if none comes. */
  async answer(): Promise<string | undefined> {
    for (;;) {
      const received = this.take();
      const end = received.indexOf(0);
      const rest = received.subarray(end + 1);
      this.#received = rest.length === 0 ? [] : [rest];
      if (end !== -1) return received.toString('utf8', 0, end);
      if (received.length > MAX_ANSWER_BYTES) this.kill();
      if (!(await this.receive())) return undefined;
    }
  }

  /** Writes to its standard input. Rejects when it reads no more. */
  async send(...pieces: readonly (string | Uint8Array)[]): Promise<void> {
    for (const piece of pieces) this.#child.stdin.write(piece);
    await this.#child.stdin.flush();
  }

  /** Returns its exit code. Throws `ProfileUnavailable` if it has not begun because its isolation failed. */
  async ended(): Promise<number> {
    const code = await this.#child.exited;
    await this.#hasSaid;
    if (this.#child.signalCode !== null || this.started.hasBegun()) return code;
    forgetProbes();
    throw notRun(describeFailure(this.#said), new Error(this.#said));
  }

  kill(): void {
    // Once it has ended, its pid may belong to another process.
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    try {
      // Its sandbox ends with the first process in it, which is in this group.
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }

  /** Ends its input, and stops it if it does not end by itself. */
  close(): void {
    if (this.#isClosed) return;
    void Promise.resolve(this.#child.stdin.end()).catch(() => {});
    const stop = (): void => {
      this.started.stop();
      this.kill();
    };
    const timer = setTimeout(stop, CLEAN_UP_MS);
    this.#releaseAtEnd(() => clearTimeout(timer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    this.#releaseAtEnd();
  }

  /** An answer need not wait for its end: its resources are released then. */
  #releaseAtEnd(also = (): void => {}): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    void this.#child.exited.then(() => {
      also();
      this.started.release();
      this.releaseSlot();
    });
  }

  async #receiveOnce(): Promise<boolean> {
    try {
      const { value, done } = await this.#output.next();
      if (done === true) return false;
      this.#received.push(value);
      return true;
    } catch {
      return false;
    }
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const bytes of this.#child.stderr) {
        this.#said += decoder.decode(bytes, { stream: true });
        this.#wake();
        if (this.#said.length > MAX_SAID_BYTES) this.kill();
      }
    } catch {
      // Its exit code is enough.
    }
    this.#isSilent = true;
    this.#wake();
  }
}

type HelperProcess = Bun.Subprocess<'pipe', 'pipe', 'pipe'>;

/** A script of the agent in the isolation of a profile. */
export interface IsolatedScript {
  readonly child: HelperProcess;
  /** Ends all of its processes. */
  stop(): void;
  /** Whether it had begun, when it has ended: if not, its isolation failed. */
  hasBegun(): boolean;
  /** Releases the resources of its isolation, when it has ended. */
  release(): void;
}

/** A program with a script, as words of a command line: its arguments follow. */
export type Script = readonly string[];

/** A script of sh(1). */
export const shellScript = (text: string): Script => ['/bin/sh', '-c', text, 'agent3'];

/**
 * Starts a script with its arguments in the isolation of a profile. Throws `ProfileUnavailable` if that cannot be made,
 * `MachineRefused` if the machine lacks resources, and `Frozen`.
 */
export function startIsolated(
  { account, cgroups, freeze }: Pick<CommandDeps, 'account' | 'cgroups' | 'freeze'>,
  isolation: Isolation,
  script: Script,
  args: readonly string[],
): IsolatedScript {
  requireLimits(isolation, cgroups?.enforcesLimits === true);
  using descriptors = new Descriptors();
  const id = newSessionId();
  const env = commandEnvironment(isolation.account ?? account, id, { LC_ALL: 'C' });
  const cgroup = cgroups?.make(id, isolation.limits);
  try {
    if (cgroup === undefined) requireLimits(isolation, false);
    const prefix = isolationPrefix(isolation, { cwd: '/', env }, descriptors);
    freeze.require('With this profile, files are read by a separate process, which cannot start now.');
    const inputs = (prefix?.inputs ?? []).map((bytes) => descriptors.add(openMemory(bytes)));
    const child = Bun.spawn([...(prefix?.words ?? []), ...script, ...args], {
      cwd: '/',
      env: prefix?.env ?? env,
      stdio: ['pipe', 'pipe', 'pipe', ...inputs, ...(prefix?.descriptors ?? [])] as ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...(cgroup !== undefined && { cgroup: cgroup.path }),
    });
    for (const fd of prefix?.status.kept ?? []) descriptors.take(fd);
    const release = (): void => {
      prefix?.status.close();
      cgroup?.remove();
    };
    const { pid } = child;
    const stop = (): void => void kill(treeOfSession(id, cgroups, { pid, startTicks: () => undefined }));
    return { child, stop, hasBegun: () => prefix?.status.hasBegun() ?? true, release };
  } catch (error) {
    cgroup?.remove();
    throw startError(error, isolation);
  }
}
