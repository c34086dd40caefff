import type { Deadline } from '../lib/clock.ts';
import type { SignalOnce } from '../lib/signal-once.ts';

/** One call of an operation, as a door hands it over. */
export interface Call {
  /** The name of the token it came with: sessions belong to it. */
  readonly principal: string;
  /** Where it came from. */
  readonly address: string;
  /** The answer leaves before this. */
  readonly deadline: Deadline;
  /** Fires when the agent stops, or the client takes the call back: who waits answers with what there is. */
  readonly shutdown: SignalOnce;
  /** Fires when the client takes the call back, just before `shutdown`: a command that the call waits for is stopped. */
  readonly cancelled?: SignalOnce;
  /** Told once when the call begins to wait for a command; `outputBytes` gives what that has written so far. */
  readonly watch?: (outputBytes: () => number) => void;
  /** Every answer has fewer characters of JSON than this, where the door has room for fewer than the settings allow. */
  readonly maxReplyChars?: number;
}

/** An answer's fields; the door writes them as JSON. */
export type Answer = Readonly<Record<string, unknown>>;
