import { setTimeout } from 'node:timers/promises';
import { GuessingRefused } from '../lib/errors.ts';
import { ClientFault, ConnectionBroken, GivenUp, NoConnection, NotAgent3, Refused } from './faults.ts';

/** A restart of the agent takes far less. A network that fails for longer needs a person. */
const LIMIT_SECONDS = 60;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;

/** Waits between attempts: each wait is longer than the one before, and all together take at most a minute. */
export class Backoff {
  #untilMs = performance.now() + LIMIT_SECONDS * 1000;
  #pauseMs = FIRST_PAUSE_MS;

  /** `signal` ends a wait. `onWait` is called before each wait, with its reason and length in seconds. */
  constructor(
    private readonly signal?: AbortSignal,
    private readonly onWait: (fault: ClientFault, seconds: number) => void = () => {},
  ) {}

  /** Starts the minute again, after an answer. */
  reset(): void {
    this.#untilMs = performance.now() + LIMIT_SECONDS * 1000;
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  /** Waits until the next attempt is due. Throws `fault` when the minute is over, `GivenUp` when a person interrupts. */
  async wait(fault: ClientFault): Promise<void> {
    const asked = fault instanceof Refused ? (fault.retryAfterSeconds ?? 0) * 1000 : 0;
    const pauseMs = Math.max(this.#pauseMs, asked);
    if (performance.now() + pauseMs > this.#untilMs) throw fault;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
    this.onWait(fault, Math.ceil(pauseMs / 1000));
    await setTimeout(pauseMs, undefined, this.signal && { signal: this.signal }).catch(() => {
      throw new GivenUp('given up');
    });
  }
}

/** Whether the agent has certainly not acted on a failed call, and may accept it soon. */
export function isSafeToRetry(fault: ClientFault): boolean {
  if (fault instanceof NoConnection) return true;
  if (!(fault instanceof Refused)) return false;
  // A 503 with Retry-After is a restart; without it, the agent lacks what the call needs. A wrong token stays wrong.
  if (fault.status === 503) return fault.retryAfterSeconds !== undefined;
  return fault.status === 429 && fault.code !== GuessingRefused.code;
}

/** Whether the error may be over soon. Repeat only calls that may be done twice. */
export function isTransient(fault: ClientFault): boolean {
  if (fault instanceof NotAgent3) return fault.status >= 502 && fault.status <= 504;
  return fault instanceof ConnectionBroken || isSafeToRetry(fault);
}

/** Like `isTransient`, but not before the agent has answered once: the URL may be wrong. */
export function isTransientOnceReached(): (fault: ClientFault) => boolean {
  let hasReached = false;
  return (fault) => {
    if (fault instanceof NoConnection || fault instanceof NotAgent3) return hasReached && isTransient(fault);
    hasReached = true;
    return isTransient(fault);
  };
}

/** Returns the result of `attempt`, which is repeated while `isWorthwhile` is true. Throws the last `ClientFault`. */
export async function retry<T>(
  attempt: () => Promise<T>,
  isWorthwhile: (fault: ClientFault) => boolean,
  backoff: Backoff = new Backoff(),
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ClientFault) || !isWorthwhile(error)) throw error;
      await backoff.wait(error);
    }
  }
}
