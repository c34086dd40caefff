import type { Freeze } from '../access/freeze.ts';
import { notRun } from '../commands/boundary.ts';
import type { Confinement } from '../commands/confinement.ts';
import { startWalled, type Walled } from '../commands/helper.ts';
import { MachineRefused } from '../lib/errors.ts';
import type { CommandCgroups } from '../process/cgroup.ts';
import type { Account } from '../process/environment.ts';
import { kill } from '../process/terminate.ts';
import { treeOfSession } from '../process/tree.ts';
import { lastLine } from '../sandbox/sandbox-cause.ts';
import type { SessionId } from '../sessions/record.ts';

/** What helpers are started with. */
export interface HelperDeps {
  readonly account: Account;
  readonly cgroups: CommandCgroups | undefined;
  readonly freeze: Freeze;
}

/** A helper that has not answered within this holds nobody up any longer. */
const ANSWER_MS = 30_000;
/** A helper whose input has ended may clean up for so long. */
const CLEAN_UP_MS = 2000;
const MAX_ANSWER_BYTES = 8192;

/**
 * A small shell within the walls of a profile, which opens a path with the rights that a command has there, and moves
 * bytes between the file and its standard streams. It answers lines; the agent opens no path for it.
 */
export class Helper {
  readonly #id: SessionId;
  readonly #child: Walled['child'];
  readonly #output: AsyncIterator<Uint8Array>;
  readonly #said: Promise<string>;
  #rest: Uint8Array = new Uint8Array();
  #isClosed = false;

  /** Starts `script` of sh(1) with `args`. Throws `ProfileUnavailable` where the walls cannot be made. */
  constructor(
    private readonly deps: HelperDeps,
    confinement: Confinement,
    script: string,
    args: readonly string[],
  ) {
    const { id, child, release } = startWalled(deps, confinement, script, args);
    this.#id = id;
    this.#child = child;
    void child.exited.then(() => setImmediate(release));
    this.#output = this.#child.stdout[Symbol.asyncIterator]();
    this.#said = new Response(this.#child.stderr).text().catch(() => '');
  }

  /** Sends a line, and bytes behind it. Throws `MachineRefused` when the helper has gone. */
  async send(line: string, bytes?: Uint8Array): Promise<void> {
    await this.#inTime(async () => {
      this.#child.stdin.write(`${line}\n`);
      if (bytes !== undefined) this.#child.stdin.write(bytes);
      await this.#child.stdin.flush();
    });
  }

  /** The next of its answers, each of which ends with a NUL. Throws `MachineRefused` when none comes in time. */
  async answer(mostMs = ANSWER_MS): Promise<string> {
    let text = '';
    for (;;) {
      const end = this.#rest.indexOf(0);
      text += Buffer.from(end === -1 ? this.#rest : this.#rest.subarray(0, end)).toString();
      if (end !== -1) {
        this.#rest = this.#rest.subarray(end + 1);
        return text;
      }
      if (text.length > MAX_ANSWER_BYTES) throw new MachineRefused('The helper of this transfer gave no answer.', text);
      await this.#refill(mostMs);
    }
  }

  /** Fills all of `frame`. Throws `MachineRefused` when there is less. */
  async fill(frame: Uint8Array): Promise<void> {
    for (let at = 0; at < frame.length; ) {
      if (this.#rest.length === 0) await this.#refill();
      const piece = this.#rest.subarray(0, frame.length - at);
      frame.set(piece, at);
      at += piece.length;
      this.#rest = this.#rest.subarray(piece.length);
    }
  }

  /** Why the walls around it could not be made, as the refusal of the call, from what it has said. */
  async unavailable(): Promise<Error> {
    return notRun(`they could not be made (${lastLine(await this.#said)})`, new Error(await this.#said));
  }

  /** Ends its input; what does not end by itself then is stopped. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    void Promise.resolve(this.#child.stdin.end()).catch(() => {});
    const stop = (): void => {
      const { pid } = this.#child;
      void kill(treeOfSession(this.#id, this.deps.cgroups, { pid, startTicks: () => undefined }));
      this.#child.kill('SIGKILL');
    };
    const timer = setTimeout(stop, CLEAN_UP_MS);
    void this.#child.exited.then(() => clearTimeout(timer));
  }

  async #refill(mostMs = ANSWER_MS): Promise<void> {
    const { done, value } = await this.#inTime(() => this.#output.next(), mostMs);
    if (done) {
      const last = lastLine(await this.#said);
      const said = last.includes('No space left') ? 'the disk is full' : last;
      throw new MachineRefused(`The file cannot be read or written: ${said || 'its helper has ended'}.`, said);
    }
    this.#rest = value;
  }

  async #inTime<T>(work: () => Promise<T>, mostMs = ANSWER_MS): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new MachineRefused('The disk did not answer in time. Repeat the transfer.', undefined)),
      mostMs,
    );
    try {
      return await Promise.race([work(), late.promise]);
    } catch (error) {
      if (error instanceof MachineRefused) throw error;
      throw new MachineRefused('The helper of this transfer has ended. Repeat the transfer.', error);
    } finally {
      clearTimeout(timer);
    }
  }
}
