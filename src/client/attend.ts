import type { EventSourceMessage } from 'eventsource-parser';
import { delay } from '../lib/clock.ts';
import { visibleText } from '../lib/visible.ts';
import type { AgentClient } from './agent-client.ts';
import { Backoff, isSafeToRetry, isTransient, retry } from './backoff.ts';
import { writeAll } from './descriptor.ts';
import { ClientFault, ConnectionBroken, InputFault, NotAgent3, OutputFault, Refused, UNAUTHORIZED } from './faults.ts';
import { type Input, textOf } from './input.ts';
import { type Interrupt, type Interrupts, signalFor } from './interrupts.ts';
import type { EndState, Started } from './sessions.ts';

/** Follows a command until it ends: passes on its output, its input, and signals. */
export class Attendance {
  #breaks = 0;
  #hasErrors = false;
  #inputFault: ClientFault | undefined;

  constructor(
    private readonly client: AgentClient,
    private readonly started: Started,
    private readonly interrupts: Interrupts,
  ) {}

  /** Resolves to the exit code; undefined when the end of the command is not known. */
  async untilEnd(input: Input): Promise<number | undefined> {
    const { interrupts, started } = this;
    interrupts.listen((signal, count) => this.#interrupted(signal, count));
    if (started.isEarlier) note(`this key was used before; following its session ${started.session}`);
    if (started.waitsFor !== undefined) note(`waiting for approval: ${started.waitsFor} (session ${started.session})`);
    if (!started.isEarlier && input.kind === 'pieces') void this.#feed(input.pieces);
    try {
      const end = await this.#follow();
      return this.#exitCodeOf(end);
    } catch (error) {
      if (error instanceof OutputFault) await this.#kill('TERM');
      else if (error instanceof Refused && error.status === 404) note('its session was closed meanwhile');
      else if (error instanceof ClientFault) note(left(started, error));
      throw error;
    }
  }

  /**
   * Follows the session from its beginning to the end of its command. Resumes after a broken connection, for up to a
   * minute, without losing or repeating a byte. Throws a `ClientFault`.
   */
  async #follow(): Promise<EndState> {
    const { client } = this;
    const backoff = new Backoff();
    const offsets = { stdout: 0, stderr: 0 };
    for (;;) {
      try {
        for await (const event of client.events(this.started.session, offsets.stdout, offsets.stderr)) {
          backoff.reset();
          if (event.event === 'end') return fieldsOf<EndState>(client, event);
          if (event.event === 'refused') throw refusalOf(client, event);
          if (event.event !== 'output') continue;
          const { stream, base64 } = fieldsOf<Output>(client, event);
          const bytes = Buffer.from(base64, 'base64');
          if (stream === 'stderr') this.#hasErrors = true;
          await writeAll(stream === 'stdout' ? 1 : 2, bytes);
          // A stream that was emptied begins again, and a mask has another length than the secret.
          [offsets.stdout = 0, offsets.stderr = 0] = (event.id ?? '').split(',').map(Number);
        }
        throw new ConnectionBroken(`the connection to ${client.url} was closed`);
      } catch (error) {
        if (!(error instanceof ClientFault) || !isTransient(error)) throw error;
        this.#breaks++;
        await backoff.wait(error);
      }
    }
  }

  /** Stops the command when its input cannot be passed on, so that it does not work with a part of it. */
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
    void this.#kill(signalFor(signal, count));
  }

  async #kill(signal: 'INT' | 'TERM' | 'HUP'): Promise<void> {
    try {
      await retry(() => this.client.call('kill_session', { session: this.started.session, signal }), isTransient);
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

/** Describes the end of a command, if needed. `hasErrors`: it wrote to standard error. */
export function endMessage(
  { status, duration_ms, message, session, waited_for }: EndState,
  hasErrors: boolean,
): string | undefined {
  switch (status) {
    case 'done':
      return message === undefined ? undefined : forPerson(message, session);
    case 'denied':
      // The reason was on standard error, as a shell would write it, unless the disk is full.
      return hasErrors ? undefined : forPerson(message ?? 'not run', session);
    case 'timeout': {
      const what = `stopped at its time limit, after ${Math.round(duration_ms / 100) / 10} s. To allow more: --timeout.`;
      return waited_for === undefined ? what : `${what} It was silent: ${waited_for}`;
    }
    case 'killed':
      return 'stopped on request, by kill_session or close_session';
    default:
      return forPerson(message ?? status, session);
  }
}

/** Replaces the names of operations in a message of the agent by the commands of this program. */
function forPerson(message: string, session: string): string {
  const named = message.replace(
    /\b(read|kill|close)_session\b/g,
    (_, verb) => `agent3 session ${verb === 'kill' ? 'stop' : verb}`,
  );
  return `${named} (session ${session})`;
}

/** Describes what happens to a command that is no longer followed. Approval requests end with their token. */
function left({ session, waitsFor }: Started, error: ClientFault): string {
  const isTokenGone = error instanceof Refused && error.isTokenRefused;
  if (waitsFor === undefined || !isTokenGone) return `the command continues as session ${session}`;
  return `the token has ended. A command that still waited for approval was not run; otherwise it continues as session ${session}`;
}

/** Exits at once, before the end of the command. */
export function leave(interrupts: Interrupts, what: string): never {
  note(`left; ${what}`);
  process.exit(interrupts.exitCode);
}

/** Prints a line on standard error. */
export function note(text: string): void {
  process.stderr.write(`agent3: ${visibleText(text)}\n`);
}

/** Pauses between attempts to write to a command that reads slowly. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

/** After a longer idle time, the other side may close a connection just as it is used. */
const IDLE_MS = 1000;

interface Written {
  readonly written: number;
  readonly status: string;
}

/** Sends standard input to a command that was started with `interactive` or `pty`. */
export class Feed {
  #sent = 0;
  #lastCallMs = Number.NEGATIVE_INFINITY;

  /** `hasBroken`: the connection to the agent broke since the command started. */
  constructor(
    private readonly client: AgentClient,
    private readonly session: string,
    private readonly hasBroken: () => boolean,
  ) {}

  /** Sends all `pieces`, then the end of the input. Throws `InputFault` when the command did not get all of it. */
  async all(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of pieces) {
      if (!(await this.send(piece))) return;
    }
    await this.#write(new Uint8Array(), true, () => false);
  }

  /** Sends `bytes` as fast as the command reads them. Returns false when it has stopped reading. */
  async send(bytes: Uint8Array): Promise<boolean> {
    let pauseMs = FIRST_PAUSE_MS;
    for (let rest = bytes; rest.length > 0; ) {
      const answer = await this.#write(rest, false, this.hasBroken);
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

  /** Returns the answer; undefined when the command no longer reads input. Throws `InputFault` when that is a loss. */
  async #write(bytes: Uint8Array, close: boolean, isLoss: () => boolean): Promise<Written | undefined> {
    const args = { session: this.session, ...inputOf(bytes), close, wait: 0, plain: false };
    const attempt = (): Promise<Written> => {
      const fresh = performance.now() - this.#lastCallMs > IDLE_MS;
      this.#lastCallMs = performance.now();
      return this.client.call<Written>('write_session', args, { fresh });
    };
    try {
      // The end may be sent twice, but not text.
      return await retry(attempt, close ? isTransient : isSafeToRetry);
    } catch (fault) {
      if (fault instanceof ConnectionBroken) throw this.#cut('the connection broke while it was sent');
      // 400: the input is closed. 404: the session was.
      if (!(fault instanceof Refused) || (fault.status !== 400 && fault.status !== 404)) throw fault;
      if (isLoss()) throw this.#cut('the agent was restarted, which ends an open input');
      return undefined;
    }
  }

  #cut(reason: string): InputFault {
    return new InputFault(
      `standard input did not arrive completely: ${reason}, after ${this.#sent} bytes. Copy it as a file (agent3 cp), or run the command again.`,
    );
  }
}

/** Returns arguments of `write_session` for bytes: as text where possible, else as Base64. */
function inputOf(bytes: Uint8Array) {
  const text = textOf(bytes);
  if (text !== undefined) return { input: text };
  return { input: Buffer.from(bytes).toString('base64'), encoding: 'base64' };
}

interface Output {
  readonly stream: 'stdout' | 'stderr';
  readonly base64: string;
}

interface Refusal {
  readonly status: number;
  readonly error: string;
  readonly message?: string;
}

/** The token ended or was revoked while the session was followed. */
function refusalOf(client: AgentClient, event: EventSourceMessage): Refused {
  const { status, error, message = '' } = fieldsOf<Refusal>(client, event);
  return new Refused(`${error}: ${message}`, status, undefined, error === UNAUTHORIZED, undefined);
}

function fieldsOf<T>(client: AgentClient, { data }: EventSourceMessage): T {
  try {
    return JSON.parse(data) as T;
  } catch {
    throw new NotAgent3(`${client.url} sent an event that is not JSON.`, 200);
  }
}
