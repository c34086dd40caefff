import { isatty } from 'node:tty';
import type { AgentClient } from '../client/agent-client.ts';
import { writeAll } from '../client/descriptor.ts';
import { ClientFault, GivenUp, OutputClosed, OutputFault, Refused } from '../client/faults.ts';
import { Feed } from '../client/feed.ts';
import { type EndState, followSession } from '../client/follow.ts';
import { mayPass, Patience, persist } from '../client/patience.ts';
import { type Order, type Started, startCommand } from '../client/start.ts';
import { type Input, readInput } from '../client/stdin.ts';
import { visibleText } from '../lib/visible.ts';
import type { ExecOptions } from './exec-arguments.ts';
import { EXIT_EXEC, fail } from './exit.ts';
import { type Interrupt, Interrupts } from './interrupts.ts';
import { type LocalTerminal, openTerminal } from './local-terminal.ts';
import { remoteClient } from './remote-client.ts';

/** 128 + SIGPIPE: what a shell tells of a program whose reader has gone. */
const EXIT_OUTPUT_CLOSED = 141;

/** Runs `cmd` on the agent that the options name, and ends the process with its exit code. */
export async function runExec(cmd: string, options: ExecOptions): Promise<never> {
  const refuse = (fault: string): never => fail(EXIT_EXEC, fault);
  const client = remoteClient(options, refuse);
  const interrupts = new Interrupts();
  try {
    process.exit(await execute(client, cmd, options, interrupts));
  } catch (error) {
    if (error instanceof OutputClosed) process.exit(EXIT_OUTPUT_CLOSED);
    if (error instanceof GivenUp) process.exit(interrupts.exitCode ?? EXIT_EXEC);
    if (error instanceof ClientFault) refuse(error.message);
    throw error;
  }
}

async function execute(
  client: AgentClient,
  cmd: string,
  options: ExecOptions,
  interrupts: Interrupts,
): Promise<number> {
  using terminal = options.tty === true ? openTerminal((fault) => fail(EXIT_EXEC, fault)) : undefined;
  const input = terminal === undefined ? await standardInput(options, interrupts) : terminal.input;
  const started = await start(client, orderOf(cmd, options, input, terminal), interrupts);
  if (options.detach === true) {
    await writeAll(1, Buffer.from(`${started.session}\n`));
    return 0;
  }
  // Awaited here: the terminal is given back after it.
  return await new Attendance(client, started, interrupts).untilEnd(input);
}

async function standardInput({ stdin, detach }: ExecOptions, interrupts: Interrupts): Promise<Input> {
  if (!stdin || isatty(0)) return { kind: 'none' };
  const givenUp = new Promise<never>((_, reject) => {
    interrupts.signal.addEventListener('abort', () => reject(new GivenUp('given up')));
  });
  return Promise.race([readInput(Bun.stdin.stream(), detach === true), givenUp]);
}

function orderOf(cmd: string, options: ExecOptions, input: Input, terminal: LocalTerminal | undefined): Order {
  const { cwd, env, timeout, key = crypto.randomUUID() } = options;
  return {
    cmd,
    key,
    ...(cwd !== undefined && { cwd }),
    ...(timeout !== undefined && { timeout }),
    ...(input.kind === 'whole' && { stdin: input.text }),
    ...(input.kind === 'pieces' && { interactive: true }),
    ...(env !== undefined && { env }),
    ...(terminal !== undefined && { ...terminal.order, env: { ...terminal.order.env, ...env } }),
  };
}

/** Starts the command; tells a person why there is a wait, once. */
async function start(client: AgentClient, order: Order, interrupts: Interrupts): Promise<Started> {
  let told = false;
  const patience = new Patience(interrupts.signal, (fault, seconds) => {
    if (!told) note(`${fault.message} Trying again in ${seconds} s, for up to a minute.`);
    told = true;
  });
  interrupts.listen((_, count) => {
    // The first one stops the command as soon as its session is known.
    if (count > 1) leave(interrupts, 'the command may have been started: agent3 sessions ls');
  });
  return startCommand(client, order, patience);
}

/** A command is attended to until its end: its output, its input, and the signals for it. */
class Attendance {
  #breaks = 0;
  #hasErrors = false;
  #inputFault: ClientFault | undefined;

  constructor(
    private readonly client: AgentClient,
    private readonly started: Started,
    private readonly interrupts: Interrupts,
  ) {}

  /** Gives the exit code. */
  async untilEnd(input: Input): Promise<number> {
    const { client, interrupts, started } = this;
    interrupts.listen((signal, count) => this.#interrupted(signal, count));
    if (started.isEarlier) note(`this key was used before: following its session ${started.session}`);
    if (started.waitsFor !== undefined) note(started.waitsFor);
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
      else if (error instanceof ClientFault) note(`the command goes on as session ${started.session}`);
      throw error;
    }
  }

  /** What cannot be passed on stops the command: it would work with a part of its input. */
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
      leave(this.interrupts, `if it still runs: agent3 sessions kill --signal KILL ${this.started.session}`);
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

  #exitCodeOf(end: EndState): number {
    const interrupted = this.interrupts.exitCode;
    if (interrupted !== undefined) return interrupted;
    if (this.#inputFault !== undefined) return EXIT_EXEC;
    const message = endMessage(end, this.#hasErrors);
    if (message !== undefined) note(message);
    return end.exit_code ?? EXIT_EXEC;
  }
}

/**
 * What a person should hear of the end: of a command that is done, which limits it ran into and what it has left running;
 * undefined where there is nothing to say. `hasErrors`: something came on standard error.
 */
function endMessage({ status, duration_ms, message, session }: EndState, hasErrors: boolean): string | undefined {
  switch (status) {
    case 'done':
      return message === undefined ? undefined : forPerson(message, session);
    case 'denied':
      // The reason has come on standard error, where a shell would write it, unless the disk is full.
      return hasErrors ? undefined : forPerson(message ?? 'not run', session);
    case 'timeout': {
      const silence = /It was silent: .*?\.(?= |$)/s.exec(message ?? '')?.[0];
      const what = `stopped at its time limit, after ${Math.round(duration_ms / 100) / 10} s; --timeout gives it more.`;
      return silence === undefined ? what : `${what} ${silence}`;
    }
    case 'killed':
      return 'stopped on request, by kill_session or close_session';
    default:
      return forPerson(message ?? status, session);
  }
}

/** A message of the agent, with the commands of this program in the place of the operations that it names. */
function forPerson(message: string, session: string): string {
  return `${message.replace(/\b(read|kill|close)_session\b/g, 'agent3 sessions $1')} (session ${session})`;
}

/** Ends at once, without the end of the command. */
function leave(interrupts: Interrupts, what: string): never {
  note(`left; ${what}`);
  process.exit(interrupts.exitCode);
}

function note(text: string): void {
  process.stderr.write(`agent3: ${visibleText(text)}\n`);
}
