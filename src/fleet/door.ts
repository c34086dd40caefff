import type { PlanOfCall } from '../access/plan.ts';
import type { Answer, CallContext } from '../calls/context.ts';
import type { ServerState } from './envelope.ts';
import type { PublicKey } from './keys.ts';

/** A server of the inventory, with what is known of it now. */
export interface FleetServer {
  readonly name: string;
  readonly key: PublicKey;
  /** 8 letters of the key, in the ids of its sessions. */
  readonly tag: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'connected' | 'unreachable';
  /** Milliseconds since the epoch. Undefined where it was not seen since the hub was started. */
  readonly lastSeenAt: number | undefined;
  /** The last state that it sent. */
  readonly shown: ServerState | undefined;
}

/** What a call of an operation has for a call on a server. `request` joins the records. */
export type RemoteCall = Pick<
  CallContext,
  'principal' | 'address' | 'deadline' | 'shutdown' | 'cancelled' | 'maxReplyChars' | 'isLean' | 'profile' | 'request'
> & {
  /** The plan of the run that this call belongs to, where one approval is for the whole run. */
  readonly shared?: PlanOfCall | undefined;
};

/** What a part of a stream or of a transfer needs of its call. */
export type PieceCall = Pick<RemoteCall, 'principal' | 'address' | 'deadline' | 'profile' | 'request'>;

/** A part of a stream or of a transfer: what the server says, unchecked, and the bytes with it. */
export interface Piece {
  readonly body: unknown;
  readonly bytes: Uint8Array;
}

/** Runs calls on servers. */
export interface FleetDoor {
  /** The name that clients use for the hub itself. */
  readonly hubName: string;
  /** The hub's key. */
  readonly key: string;
  /** Passes an order of the console on to the server with this key. Returns its result. */
  order(key: string, file: unknown): Promise<{ readonly state: 'done' | 'refused' | 'unknown'; readonly why?: string }>;
  /** All servers, by name. */
  servers(): readonly FleetServer[];
  /**
   * Runs an operation on a server. Returns its answer, `server` first, with ids of the fleet. Throws `ServerUnreachable`
   * where nothing was run, `OutcomeUnknown` where it may have run, `OperationNotAllowed` for a token whose profile means
   * nothing there, and what the server refused it with as a `ServerRefusal`.
   */
  callServer(
    server: FleetServer,
    op: string,
    args: Readonly<Record<string, unknown>>,
    call: RemoteCall,
  ): Promise<Answer>;
  /** Asks a server for a part of a stream or of a transfer, and sends `bytes` with that. Throws as `callServer` does. */
  piece(
    server: FleetServer,
    op: 'stream' | 'transfer',
    args: Readonly<Record<string, unknown>>,
    call: PieceCall,
    bytes?: Uint8Array,
  ): Promise<Piece>;
}
