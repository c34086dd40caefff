import { TooManyRequests } from '../core/errors.ts';

/** A full gate is likely to have room again soon: most commands take well under a second. */
const RETRY_AFTER_SECONDS = 2;

/** Lets at most `limit` commands run at once. */
export class Gate {
  #running = 0;

  constructor(readonly limit: number) {}

  get running(): number {
    return this.#running;
  }

  /** Takes a place; gives the function that frees it, once. Throws `TooManyRequests` when all are taken. */
  enter(): () => void {
    if (this.#running >= this.limit) {
      throw new TooManyRequests(
        RETRY_AFTER_SECONDS,
        `${this.limit} commands are running already. Repeat the call in ${RETRY_AFTER_SECONDS} seconds, or stop a session you no longer need with close_session.`,
      );
    }
    return this.enterAnyway();
  }

  /** Takes a place also when all are taken: for commands that run already when the agent starts. */
  enterAnyway(): () => void {
    this.#running++;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#running--;
    };
  }
}
