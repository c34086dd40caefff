import { openMemory } from '../process/beginning.ts';
import { commandEnvironment } from '../process/environment.ts';
import { Descriptors } from '../process/start.ts';
import { describeFailure } from '../sandbox/sandbox-cause.ts';
import { newSessionId, type SessionId } from '../sessions/record.ts';
import { boundaryOf, notRun } from './boundary.ts';
import type { CommandDeps } from './command.ts';
import { type Confinement, forgetProbes, requireCeilings } from './confinement.ts';
import { startError } from './launch.ts';

/** What a helper may write to its standard error before it is stopped, in bytes. */
const MAX_SAID_BYTES = 65_536;

/**
 * A shell script of the agent's own, held in what the profile of a token holds its commands in: the same user, sandbox
 * and limits. It reads and changes files for a client. Disposing of it ends it.
 */
export class Helper implements AsyncDisposable {
  readonly #child: HelperProcess;
  #said = '';
  readonly #hasSaid: Promise<void>;
  #isSilent = false;
  #wake: () => void = () => {};

  /** `leave` is called when it has ended. */
  constructor(
    private readonly walled: Walled,
    private readonly leave: () => void,
  ) {
    this.#child = walled.child;
    this.#hasSaid = this.#listen();
  }

  /** What it writes. */
  get output(): ReadableStream<Uint8Array> {
    return this.#child.stdout;
  }

  /** Its standard error so far. */
  get said(): string {
    return this.#said;
  }

  /** It says no more. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Resolves, with true, when it has said more, or says no more. */
  saysMore(): Promise<true> {
    return new Promise((resolve) => {
      this.#wake = () => resolve(true);
      if (this.#isSilent) this.#wake();
    });
  }

  /** Gives it the last that it reads. It may have ended meanwhile, which its exit code says. */
  async send(...pieces: readonly (string | Uint8Array)[]): Promise<void> {
    try {
      for (const piece of pieces) this.#child.stdin.write(piece);
      await this.#child.stdin.end();
    } catch {
      // It reads no more.
    }
  }

  /** Its exit code. Throws `ProfileUnavailable` where the walls around it have failed, so that it has not begun. */
  async ended(): Promise<number> {
    const code = await this.#child.exited;
    await this.#hasSaid;
    if (this.#child.signalCode !== null || this.walled.hasBegun()) return code;
    forgetProbes();
    throw notRun(describeFailure(this.#said), new Error(this.#said));
  }

  kill(): void {
    // Once it has ended, its number may be another's.
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    try {
      // Its sandbox ends with the first process in it, which is in this group.
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }

  /** An answer need not wait for its end: what it holds is given back then. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    void this.#child.exited.then(() => {
      this.walled.release();
      this.leave();
    });
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
      // Its exit code says what there is to say.
    }
    this.#isSilent = true;
    this.#wake();
  }
}

type HelperProcess = Bun.Subprocess<'pipe', 'pipe', 'pipe'>;

/** A script of the agent's own within the walls of a profile. */
export interface Walled {
  readonly id: SessionId;
  readonly child: HelperProcess;
  /** Whether it has begun, when it is over: else its walls could not be made. */
  hasBegun(): boolean;
  /** Gives back what its walls took, when it is over. */
  release(): void;
}

/**
 * Starts a script of sh(1) with its arguments within the walls of a profile. Throws `ProfileUnavailable` where they cannot
 * be made, `MachineRefused` where the machine has no room for it, and `Frozen`.
 */
export function startWalled(
  { account, cgroups, freeze }: Pick<CommandDeps, 'account' | 'cgroups' | 'freeze'>,
  confinement: Confinement,
  script: string,
  args: readonly string[],
): Walled {
  requireCeilings(confinement, cgroups?.holdsCeilings === true);
  using descriptors = new Descriptors();
  const id = newSessionId();
  const env = commandEnvironment(confinement.account ?? account, id, { LC_ALL: 'C' });
  const cgroup = cgroups?.make(id, confinement.ceilings);
  try {
    if (cgroup === undefined) requireCeilings(confinement, false);
    const boundary = boundaryOf(confinement, { cwd: '/', env }, descriptors);
    freeze.require('With this profile, files are read by a process of their own.');
    const inputs = (boundary?.inputs ?? []).map((bytes) => descriptors.add(openMemory(bytes)));
    const child = Bun.spawn([...(boundary?.words ?? []), '/bin/sh', '-c', script, 'agent3', ...args], {
      cwd: '/',
      env: boundary?.env ?? env,
      stdio: ['pipe', 'pipe', 'pipe', ...inputs, ...(boundary?.descriptors ?? [])] as ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...(cgroup !== undefined && { cgroup: cgroup.path }),
    });
    for (const fd of boundary?.status.kept ?? []) descriptors.take(fd);
    const release = (): void => {
      boundary?.status.close();
      cgroup?.remove();
    };
    return { id, child, hasBegun: () => boundary?.status.hasBegun() ?? true, release };
  } catch (error) {
    cgroup?.remove();
    throw startError(error, confinement);
  }
}
