import type { Profile } from '../access/profile.ts';
import type { Trail } from '../audit/trail.ts';
import { type Clock, OneShotEvent } from '../lib/clock.ts';
import { RequestTooLarge } from '../lib/errors.ts';
import type { Turns } from '../lib/shares.ts';
import type { Origin } from '../sessions/via.ts';

/** The result of a transfer. */
export interface TransferResult {
  readonly bytes: number;
  /** In hexadecimal digits; undefined if the bytes passed in another order than in the file. */
  readonly sha256: string | undefined;
}

/** What a transfer needs. */
export interface TransferDeps extends Pick<Origin, 'via'> {
  readonly principal: string;
  readonly profile: Profile;
  readonly path: string;
  readonly clock: Clock;
  readonly trail: Trail;
  /** Pieces of all tokens pass in turn, and their garbage is collected. */
  readonly turns: Turns;
  /** Called once when all bytes have passed; with undefined if nothing more can pass. */
  readonly finish: (result: TransferResult | undefined) => void;
  /** Called once, when its file is closed. */
  readonly closed: () => void;
}

/** One file in transfer, open until it has passed, its link ends, or its token may no longer have it. */
export abstract class Transfer {
  /** Fires when nothing more may pass. */
  readonly over = new OneShotEvent();
  /** When new bytes last passed, on the monotonic clock. */
  lastMs = Number.NEGATIVE_INFINITY;
  #requests = 0;
  #isClosed = false;

  constructor(
    protected readonly deps: TransferDeps,
    private readonly file: { close(): void },
  ) {}

  get path(): string {
    return this.deps.path;
  }

  /** The number of requests that move bytes of it now. */
  get requests(): number {
    return this.#requests;
  }

  /** Lets nothing more pass; the file is closed as soon as no request uses it. */
  end(): void {
    this.over.fire();
    this.#closeWhenIdle();
  }

  /** Keeps the file open until the returned hold is disposed of. */
  protected hold(): Disposable {
    this.#requests++;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#requests--;
        this.#closeWhenIdle();
      },
    };
  }

  /** Resolves when it is the turn of its token to have so many bytes passed. */
  protected turn(bytes: number): Promise<void> {
    return this.deps.turns.take(this.deps.principal, bytes);
  }

  protected touch(): void {
    this.lastMs = this.deps.clock.elapsed();
  }

  #closeWhenIdle(): void {
    if (this.#isClosed || this.#requests > 0 || !this.over.fired) return;
    this.#isClosed = true;
    this.file.close();
    this.deps.closed();
  }
}

/** The refusal of a file that is too large. */
export function tooLarge(most: number): RequestTooLarge {
  return new RequestTooLarge(
    `A file may have ${most} bytes here, and nothing was written. The owner of the server can raise AGENT3_MAX_TRANSFER_BYTES.`,
  );
}
