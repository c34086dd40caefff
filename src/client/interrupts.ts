import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal that asks this program to end. */
export type Interrupt = (typeof SIGNALS)[number];

/** Hears the signals that ask this program to end, for as long as it lives. */
export class Interrupts {
  readonly #heard: Interrupt[] = [];
  readonly #controller = new AbortController();
  #listener: ((signal: Interrupt, count: number) => void) | undefined;

  constructor() {
    for (const signal of SIGNALS) process.on(signal, () => this.#hear(signal));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code that the first one asks for, as a shell tells it; undefined when none was heard. */
  get exitCode(): number | undefined {
    const [first] = this.#heard;
    return first === undefined ? undefined : 128 + constants.signals[first];
  }

  /** From now on `listener` hears each one and how many there were, also those that were heard before. */
  listen(listener: (signal: Interrupt, count: number) => void): void {
    this.#listener = listener;
    this.#heard.forEach((signal, index) => {
      listener(signal, index + 1);
    });
  }

  #hear(signal: Interrupt): void {
    this.#heard.push(signal);
    this.#controller.abort();
    this.#listener?.(signal, this.#heard.length);
  }
}
