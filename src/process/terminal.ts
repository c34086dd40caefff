import { closeSync, writeSync } from 'node:fs';
import type { OpenInput } from '../diagnosis/waiting.ts';
import { OneShotEvent } from '../lib/clock.ts';
import type { CommandInput } from './input.ts';

/** The size of a terminal, in characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

/** After the end of the command, the terminal is read until nothing comes for this time. */
const DRAIN_QUIET_MS = 20;
/** Limit for the whole wait: a left-behind process may write without end. */
const DRAIN_MOST_MS = 1000;

/** End of transmission, Ctrl-D: a program that reads the terminal by lines sees end of file. */
const END_OF_INPUT = Uint8Array.of(4);

/** Flags of `c_lflag` (termios(3)), the same on every processor: the terminal echoes input, and reads it by lines. */
const [ICANON, ECHO] = [0o2, 0o10];

/**
 * Input waiting for the program in a pseudo-terminal, above which no more is accepted: the terminal itself holds 4 KiB,
 * the rest waits in memory.
 */
const MOST_PENDING_BYTES = 65_536;

/**
 * The agent's side of a pseudo-terminal: appends its output to a file, and types into it. The kernel holds the command
 * back when the agent does not keep up, so memory stays bounded.
 */
export class Terminal implements CommandInput {
  readonly what: OpenInput = { kind: 'terminal', hasUnsent: () => this.#pendingBytes > 0 };
  /** Its other side is closed: no process has it open. */
  readonly hungUp = new OneShotEvent();
  #terminal: Bun.Terminal | undefined;
  #isReleased = false;
  /** Bun writes in a later turn of its event loop, not at once. */
  #pendingBytes = 0;
  #lastOutputMs = 0;
  #size: TerminalSize;
  /** Called when all of the input is in the terminal. */
  #whenTyped: ((isShown: boolean) => void)[] = [];

  /** `output` is a descriptor opened for append, which it closes at its end. `onOutput` is called on each write. */
  constructor(
    size: TerminalSize,
    private readonly output: number,
    private readonly onOutput: (bytes: number) => void = () => {},
  ) {
    this.#size = size;
  }

  get size(): TerminalSize {
    return this.#size;
  }

  /** Changes the size: its programs get SIGWINCH. */
  resize(size: TerminalSize): void {
    if (!this.isOpen) return;
    this.#size = size;
    this.#terminal?.resize(size.cols, size.rows);
  }

  /** Whether the terminal echoes input. If programs read single keys and draw themselves: unknown, and false. */
  get #shows(): boolean {
    const flags = this.isOpen ? (this.#terminal?.localFlags ?? 0) : 0;
    return (flags & ECHO) !== 0 && (flags & ICANON) !== 0;
  }

  /** Returns what `Bun.spawn` makes the terminal from. */
  options(): Bun.TerminalOptions {
    return {
      ...this.size,
      name: TERM,
      data: (_, bytes) => this.#append(bytes),
      drain: () => {
        this.#pendingBytes = 0;
        this.#reportTyped();
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

  /**
   * Types all of the bytes and returns true, or types nothing and returns false. `whenTyped` is called when the
   * terminal has them, with whether it has echoed them: whether it was set to echo before and after. The moment between
   * is too short to ask in.
   */
  type(bytes: Uint8Array, whenTyped: (isShown: boolean) => void): boolean {
    const isShown = this.#shows;
    if (this.write(bytes) < bytes.length) return false;
    this.#whenTyped.push((isStillShown) => whenTyped(isShown && isStillShown));
    return true;
  }

  #reportTyped(): void {
    const isShown = this.#shows;
    for (const listener of this.#whenTyped.splice(0)) listener(isShown);
  }

  /** A terminal has no end of input: it is typed, as a person would type it. */
  close(): void {
    this.write(END_OF_INPUT);
  }

  /** Hangs up: programs that still read it get SIGHUP. Closes the file, even if no command was started. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#terminal?.close();
    this.#terminal = undefined;
    this.#reportTyped();
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

/** The type of terminal that programs see in TERM. */
export const TERM = 'xterm-256color';
