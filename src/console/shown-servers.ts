import type { PasskeyList } from './order.ts';
import type { EndedCommand, RunningCommand, ShownAllowance, State, WaitingRequest } from './shown.ts';

/** What of a command of a server is shown among those of all servers. */
export type ServersCommand = Pick<
  RunningCommand,
  'session' | 'token' | 'cmd' | 'started_at' | 'stdout_bytes' | 'stderr_bytes' | 'status'
>;

/** A server of the fleet, for the console of its hub. Times are those of the hub's clock, but for `since` of a freeze. */
export interface ShownServer {
  readonly name: string;
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'connected' | 'unreachable';
  /** Of one that is unreachable; null: not since the hub was started. */
  readonly last_seen_at: number | null;
  readonly version: string | null;
  readonly is_frozen: boolean;
  /** Null: it is not frozen, or has not said more of it. */
  readonly frozen: State['frozen'];
  /** So far its clock is ahead of the hub's. */
  readonly ahead_ms: number;
  readonly waiting: readonly WaitingRequest[];
  /** How many wait and run besides those that are shown. */
  readonly more_waiting: number;
  readonly running: readonly ServersCommand[];
  readonly more_running: number;
  /** The last few. */
  readonly ended: readonly EndedCommand[];
  readonly allowances: readonly ShownAllowance[];
  /** Why nothing is known of what waits and runs there; null: it is known. An empty text: it was not asked yet. */
  readonly fault: string | null;
}

/** A change of the console's passkeys that the servers do not know. */
export interface ChangeOfKeys {
  /** The key of the hub, and the number of the list that they know. */
  readonly hub: string;
  readonly count: number;
  readonly known: PasskeyList;
  readonly now: PasskeyList;
}

export interface ShownFleet {
  readonly servers: readonly ShownServer[];
  /** Servers that had no room. */
  readonly more: number;
  /** Null: they know what they should. */
  readonly keys: ChangeOfKeys | null;
}

export interface WatchedFleet {
  readonly version: number;
  readonly fleet?: ShownFleet;
}
