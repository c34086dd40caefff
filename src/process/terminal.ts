import { closeSync, writeSync } from 'node:fs';
import type { OpenInput } from '../diagnosis/waiting.ts';
import { SignalOnce } from '../lib/clock.ts';
import type { CommandInput } from './input.ts';

/** The size of a terminal, in characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

/** After the end of the command, its last output is in the terminal for as long as something comes within this time. */
const DRAIN_QUIET_MS = 20;
/** A process left behind may write without end. */
const DRAIN_MOST_MS = 1000;

/** End of transmission, Ctrl-D: a program that reads the terminal line by line sees end of file. */
const END_OF_INPUT = Uint8Array.of(4);

/**
 * What the program in a pseudo-terminal is to be typed before more is taken: the terminal itself holds 4 KiB, the rest
 * waits in memory.
 */
const MOST_PENDING_BYTES = 65_536;

/**
 * The agent's side of a pseudo-terminal: appends what comes out of it to a file, and types into it. The kernel holds
 * the command back when the agent does not keep up, so memory stays bounded.
 */
export class Terminal implements CommandInput {
  readonly what: OpenInput = { kind: 'terminal', hasUnsent: () => this.#pendingBytes > 0 };
  /** Its other side is closed: no process has it open any more. */
  readonly hungUp = new SignalOnce();
  #terminal: Bun.Terminal | undefined;
  #isReleased = false;
  /** Bun writes when its event loop comes round, not at once. */
  #pendingBytes = 0;
  #lastOutputMs = 0;

  /** `output` is a descriptor opened for append, which it closes at its end; `onOutput` hears of each write to it. */
  constructor(
    readonly size: TerminalSize,
    private readonly output: number,
    private readonly onOutput: (bytes: number) => void = () => {},
  ) {}

  /** What `Bun.spawn` makes the terminal of. */
  options(): Bun.TerminalOptions {
    return {
      ...this.size,
      name: TERM,
      data: (_, bytes) => this.#append(bytes),
      drain: () => {
        this.#pendingBytes = 0;
      },
      exit: () => this.hungUp.fire(),
    };
  }

  /** Takes the terminal of a command that was started with `options`. */
  attach(terminal: Bun.Terminal | undefined): void {
    this.#terminal = terminal;
  }

  get isOpen(): boolean {
    return this.#terminal !== undefined && !this.#terminal.closed;
  }

  write(bytes: Uint8Array): number {
    if (!this.isOpen || this.#pendingBytes + bytes.length > MOST_PENDING_BYTES) return 0;
    this.#pendingBytes += bytes.length;
    this.#terminal?.write(bytes);
    return bytes.length;
  }

  /** A terminal has no end of input: it is typed, as a person would. */
  close(): void {
    this.write(END_OF_INPUT);
  }

  /** Hangs up: what still reads it gets SIGHUP. Closes the file, also where no command was started. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#terminal?.close();
    this.#terminal = undefined;
    closeSync(this.output);
  }

  /** Resolves when the output of a command that has ended is in the file. */
  async drained(): Promise<void> {
    const end = performance.now() + DRAIN_MOST_MS;
    while (!this.hungUp.fired && performance.now() < end) {
      const seen = this.#lastOutputMs;
      await Bun.sleep(DRAIN_QUIET_MS);
      if (this.#lastOutputMs === seen) return;
    }
  }

  #append(bytes: Uint8Array): void {
    this.#lastOutputMs = performance.now();
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(this.output, bytes, written);
    } catch {
      // The disk is full: the output is lost, as it is for a command that writes the file itself; answers say so.
      return;
    }
    this.onOutput(bytes.length);
  }
}

/** The terminal that programs are told they have. */
export const TERM = 'xterm-256color';
