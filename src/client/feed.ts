import { delay } from '../lib/clock.ts';
import type { AgentClient } from './agent-client.ts';
import { ConnectionBroken, InputFault, Refused } from './faults.ts';
import { mayPass, persist, wasNotDone } from './patience.ts';
import { decodeText } from './stdin.ts';

/** A command that reads slowly is tried again, from often to seldom. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

/** A connection that was idle for longer may be closed by the other side at the moment it is used. */
const IDLE_MS = 1000;

interface Written {
  readonly written: number;
  readonly status: string;
}

/** Types standard input into a command that was started with `interactive` or `pty`. */
export class Feed {
  #sent = 0;
  #lastCallMs = Number.NEGATIVE_INFINITY;

  /** `hasBroken` tells whether the agent was away since the command was started. */
  constructor(
    private readonly client: AgentClient,
    private readonly session: string,
    private readonly hasBroken: () => boolean,
  ) {}

  /**
   * Sends all `pieces`, then the end of the input; returns early when the command reads no more. Throws `InputFault`
   * when the command has not got all it should have.
   */
  async all(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of pieces) {
      if (!(await this.send(piece))) return;
    }
    await this.#write('', true, () => false);
  }

  /** Sends `bytes`, which must be whole characters, as the command takes them; gives whether it goes on reading. */
  async send(bytes: Uint8Array): Promise<boolean> {
    let pauseMs = FIRST_PAUSE_MS;
    for (let rest = bytes; rest.length > 0; ) {
      const answer = await this.#write(decodeText(rest, this.#sent), false, this.hasBroken);
      if (answer === undefined) return false;
      this.#sent += answer.written;
      rest = rest.subarray(answer.written);
      if (rest.length === 0) return true;
      if (answer.status !== 'running') return false;
      pauseMs = answer.written > 0 ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      await delay(pauseMs);
    }
    return true;
  }

  /** The answer; undefined when the command takes no input any more and `isLoss` says that this is as it should be. */
  async #write(input: string, close: boolean, isLoss: () => boolean): Promise<Written | undefined> {
    const args = { session: this.session, input, close, wait: 0, plain: false };
    const attempt = (): Promise<Written> => {
      const fresh = performance.now() - this.#lastCallMs > IDLE_MS;
      this.#lastCallMs = performance.now();
      return this.client.call<Written>('write_session', args, { fresh });
    };
    try {
      // The end may be sent twice, text may not.
      return await persist(attempt, close ? mayPass : wasNotDone);
    } catch (fault) {
      if (fault instanceof ConnectionBroken) throw this.#cut('the connection broke while it was sent');
      // 400: the input is closed. 404: the session was.
      if (!(fault instanceof Refused) || (fault.status !== 400 && fault.status !== 404)) throw fault;
      if (isLoss()) throw this.#cut('the agent was restarted meanwhile, which ends an open input');
      return undefined;
    }
  }

  #cut(reason: string): InputFault {
    return new InputFault(
      `standard input did not arrive whole: ${reason}, after ${this.#sent} bytes. Send it as a file in parts, or run the command again.`,
    );
  }
}
