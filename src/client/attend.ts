import { visibleText } from '../lib/visible.ts';
import type { AgentClient } from './agent-client.ts';
import { writeAll } from './descriptor.ts';
import { ClientFault, OutputFault, Refused } from './faults.ts';
import { Feed } from './feed.ts';
import { type EndState, followSession } from './follow.ts';
import type { Interrupt, Interrupts } from './interrupts.ts';
import { mayPass, persist } from './patience.ts';
import type { Started } from './start.ts';
import type { Input } from './stdin.ts';

/** Follows a command until its end: passes its output, its input, and signals for it. */
export class Attendance {
  #breaks = 0;
  #hasErrors = false;
  #inputFault: ClientFault | undefined;

  constructor(
    private readonly client: AgentClient,
    private readonly started: Started,
    private readonly interrupts: Interrupts,
  ) {}

  /** Resolves to the exit code; undefined where the end of the command is not known. */
  async untilEnd(input: Input): Promise<number | undefined> {
    const { client, interrupts, started } = this;
    interrupts.listen((signal, count) => this.#interrupted(signal, count));
    if (started.isEarlier) note(`this key was used before: following its session ${started.session}`);
    if (started.waitsFor !== undefined)
      note(`a person has to approve this command first: ${started.waitsFor} (session ${started.session})`);
    if (!started.isEarlier && input.kind === 'pieces') void this.#feed(input.pieces);
    try {
      const end = await followSession(client, started.session, {
        write: (stream, bytes) => {
          if (stream === 'stderr') this.#hasErrors = true;
          return writeAll(stream === 'stdout' ? 1 : 2, bytes);
        },
        broken: () => {
          this.#breaks++;
        },
      });
      return this.#exitCodeOf(end);
    } catch (error) {
      if (error instanceof OutputFault) await this.#kill('TERM');
      else if (error instanceof Refused && error.status === 404) note('its session was closed meanwhile');
      else if (error instanceof ClientFault) note(`the command continues as session ${started.session}`);
      throw error;
    }
  }

  /** Stops the command when its input cannot be passed: it would work with a part of it. */
  async #feed(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      await new Feed(this.client, this.started.session, () => this.#breaks > 0).all(pieces);
    } catch (error) {
      if (!(error instanceof ClientFault)) throw error;
      this.#inputFault = error;
      note(error.message);
      await this.#kill('TERM');
    }
  }

  #interrupted(signal: Interrupt, count: number): void {
    if (count > 2) {
      leave(this.interrupts, `if it still runs: agent3 session stop --signal KILL ${this.started.session}`);
    }
    void this.#kill(count === 2 || signal === 'SIGTERM' ? 'TERM' : signal === 'SIGHUP' ? 'HUP' : 'INT');
  }

  async #kill(signal: 'INT' | 'TERM' | 'HUP'): Promise<void> {
    try {
      await persist(() => this.client.call('kill_session', { session: this.started.session, signal }), mayPass);
    } catch (error) {
      if (!(error instanceof ClientFault)) throw error;
      note(`the command was not stopped: ${error.message}`);
    }
  }

  #exitCodeOf(end: EndState): number | undefined {
    const interrupted = this.interrupts.exitCode;
    if (interrupted !== undefined) return interrupted;
    if (this.#inputFault !== undefined) return undefined;
    const message = endMessage(end, this.#hasErrors);
    if (message !== undefined) note(message);
    return end.exit_code ?? undefined;
  }
}

/**
 * What to say of the end: which limits a command ran into, and what it has left running; undefined where there is nothing
 * to say. `hasErrors`: something came on standard error.
 */
function endMessage(
  { status, duration_ms, message, session, waited_for }: EndState,
  hasErrors: boolean,
): string | undefined {
  switch (status) {
    case 'done':
      return message === undefined ? undefined : forPerson(message, session);
    case 'denied':
      // The reason has come on standard error, where a shell would write it, unless the disk is full.
      return hasErrors ? undefined : forPerson(message ?? 'not run', session);
    case 'timeout': {
      const what = `stopped at its time limit, after ${Math.round(duration_ms / 100) / 10} s; --timeout sets another.`;
      return waited_for === undefined ? what : `${what} It was silent: ${waited_for}`;
    }
    case 'killed':
      return 'stopped on request, by kill_session or close_session';
    default:
      return forPerson(message ?? status, session);
  }
}

/** A message of the agent, with the commands of this program in the place of the operations that it names. */
function forPerson(message: string, session: string): string {
  const named = message.replace(
    /\b(read|kill|close)_session\b/g,
    (_, verb) => `agent3 session ${verb === 'kill' ? 'stop' : verb}`,
  );
  return `${named} (session ${session})`;
}

/** Exits at once, before the end of the command. */
export function leave(interrupts: Interrupts, what: string): never {
  note(`left; ${what}`);
  process.exit(interrupts.exitCode);
}

/** Prints a line for the person on standard error. */
export function note(text: string): void {
  process.stderr.write(`agent3: ${visibleText(text)}\n`);
}
