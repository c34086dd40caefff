import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal that asks this program to end. */
export type Interrupt = (typeof SIGNALS)[number];

/** Returns the signal for a command when this program gets one: the same, and from the second on, one that ends more. */
export function signalFor(signal: Interrupt, count: number): 'INT' | 'TERM' | 'HUP' {
  if (count > 1 || signal === 'SIGTERM') return 'TERM';
  return signal === 'SIGHUP' ? 'HUP' : 'INT';
}

/** Receives the signals that ask this program to end. */
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

  /** The exit code of the first signal, as a shell reports it; undefined without a signal. */
  get exitCode(): number | undefined {
    const [first] = this.#heard;
    return first === undefined ? undefined : 128 + constants.signals[first];
  }

  /** Calls `listener` with each signal and its number, also for signals that were received before. */
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
