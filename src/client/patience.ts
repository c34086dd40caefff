import { setTimeout } from 'node:timers/promises';
import { GuessingRefused } from '../lib/errors.ts';
import { ClientFault, ConnectionBroken, GivenUp, NoConnection, NotAgent3, Refused } from './faults.ts';

/** An agent that is restarted is back long before; a network that is away for longer needs a person. */
const PATIENCE_SECONDS = 60;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;

/** Waits between attempts, longer each time, a minute in all since something was heard. */
export class Patience {
  #untilMs = performance.now() + PATIENCE_SECONDS * 1000;
  #pauseMs = FIRST_PAUSE_MS;

  /** `signal` ends a wait; `tell` hears why there is one, and for how many seconds. */
  constructor(
    private readonly signal?: AbortSignal,
    private readonly tell: (fault: ClientFault, seconds: number) => void = () => {},
  ) {}

  /** Something was heard: the minute begins anew. */
  renew(): void {
    this.#untilMs = performance.now() + PATIENCE_SECONDS * 1000;
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  /** Resolves when the next attempt is due; throws `fault` when there is to be none, `GivenUp` when a person says so. */
  async pause(fault: ClientFault): Promise<void> {
    const asked = fault instanceof Refused ? (fault.retryAfterSeconds ?? 0) * 1000 : 0;
    const pauseMs = Math.max(this.#pauseMs, asked);
    if (performance.now() + pauseMs > this.#untilMs) throw fault;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
    this.tell(fault, Math.ceil(pauseMs / 1000));
    await setTimeout(pauseMs, undefined, this.signal && { signal: this.signal }).catch(() => {
      throw new GivenUp('given up');
    });
  }
}

/** Whether the agent has certainly not acted on a call that failed so, and may do so soon. */
export function wasNotDone(fault: ClientFault): boolean {
  if (fault instanceof NoConnection) return true;
  if (!(fault instanceof Refused)) return false;
  // An agent that restarts says when to come back; one that lacks what the call needs does not. Who waits with a wrong
  // token waits in vain.
  if (fault.status === 503) return fault.retryAfterSeconds !== undefined;
  return fault.status === 429 && fault.code !== GuessingRefused.code;
}

/** Whether a repeat of a call that harms nothing when it is done twice may go better. */
export function mayPass(fault: ClientFault): boolean {
  if (fault instanceof NotAgent3) return fault.status >= 502 && fault.status <= 504;
  return fault instanceof ConnectionBroken || wasNotDone(fault);
}

/** Like `mayPass`, but who was never there is not waited for: the URL may be wrong. */
export function mayPassOnceReached(): (fault: ClientFault) => boolean {
  let hasReached = false;
  return (fault) => {
    if (fault instanceof NoConnection || fault instanceof NotAgent3) return hasReached && mayPass(fault);
    hasReached = true;
    return mayPass(fault);
  };
}

/** What `attempt` gives, which is made again while `worthwhile` says so. Throws the last `ClientFault`. */
export async function persist<T>(
  attempt: () => Promise<T>,
  worthwhile: (fault: ClientFault) => boolean,
  patience: Patience = new Patience(),
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ClientFault) || !worthwhile(error)) throw error;
      await patience.pause(error);
    }
  }
}
