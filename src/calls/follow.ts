import { Deadline, type OneShotEvent, systemClock } from '../lib/clock.ts';
import { AccessLapsed, type AgentError, OperationNotAllowed, TooManyRequests, Unauthorized } from '../lib/errors.ts';
import { FOLLOW_PIECE_BYTES, FOLLOW_SIGN_SECONDS, MAX_FOLLOWERS } from '../lib/limits.ts';
import { Shares } from '../lib/shares.ts';
import { incompleteTail } from '../lib/utf8.ts';
import { Growth } from '../sessions/growth.ts';
import { Session, STREAMS, type StreamName } from '../sessions/session.ts';
import { messageOf, snapshot } from './answer.ts';
import {
  type Answer,
  type Call,
  type CallContext,
  lookContext,
  type OperationDeps,
  requireOperation,
  revalidate,
  underPolicy,
} from './context.ts';
import { recordHints } from './hints.ts';

/** The position of a follower in each stream, in bytes. */
export type Offsets = Readonly<Record<StreamName, number>>;

/** How often a follower of a silent command is checked: the end of its token ends its stream within a second. */
export const FOLLOW_LOOK_SECONDS = 0.4;

/** Garbage that a piece leaves: its text, its JSON, and the bytes of an event. */
const EVENT_GARBAGE_BYTES = 5 * FOLLOW_PIECE_BYTES;

export type FollowEvent =
  /** A piece of a stream, valid until the next event is asked for, and the position of the follower after it. */
  | { readonly kind: 'output'; readonly stream: StreamName; readonly bytes: Uint8Array; readonly offsets: Offsets }
  /** Nothing was written for a while. */
  | { readonly kind: 'alive' }
  /** The owner has frozen or thawed the server; or it was frozen when the follower came. */
  | { readonly kind: 'frozen'; readonly isFrozen: boolean }
  /** The command has ended, and nothing follows. */
  | { readonly kind: 'end'; readonly state: Answer }
  /** The token may no longer read the session, or its server is away; nothing follows. */
  | { readonly kind: 'refused'; readonly error: AgentError };

export interface FollowRequest {
  readonly offsets: Offsets;
  /** Pieces are cut only between characters. */
  readonly isText: boolean;
  readonly gone: OneShotEvent;
}

const STREAM = {
  name: 'stream',
  needs: 'read_session',
  readOnly: true,
  recorded: 'after',
  whileFrozen: true,
} as const;

/** A session of a server of the fleet. */
export interface SessionAway {
  /** The server, as the record names it: `web1@abcdefgh`. */
  readonly server: string;
  /** Begins to follow it, as `Followers.follow` does. */
  follow(context: CallContext, request: FollowRequest): Promise<AsyncGenerator<FollowEvent, void>>;
}

/** Follows the output of sessions as it is written. */
export class Followers {
  readonly #slots = new Shares(MAX_FOLLOWERS);

  /** `find` returns a session of a server of the fleet; undefined for one of this machine. Throws `SessionNotFound`. */
  constructor(
    private readonly deps: OperationDeps,
    private readonly find: (id: string) => SessionAway | undefined = () => undefined,
  ) {}

  /**
   * Returns the output of the session `id` from `offsets` on, as it is written, until its command has ended, the
   * follower or its token is gone, or the agent stops. Throws `SessionNotFound`, `TooManyRequests` when too many follow
   * already, and what the policy throws.
   */
  async follow(id: string, call: Call, request: FollowRequest): Promise<AsyncGenerator<FollowEvent, void>> {
    const away = this.find(id);
    const { request: requestId = Bun.randomUUIDv7() } = call;
    const through = away ? { ...call, request: requestId, via: { server: away.server, request: requestId } } : call;
    return await underPolicy(this.deps, STREAM, { session: id }, through, async (context) => {
      const session = away ?? this.deps.store.get(id, context.principal);
      this.#takeSlot(context.principal, request.gone);
      // It continues after this call, and through a freeze.
      const lasting = { ...context, shutdown: call.shutdown };
      if (!(session instanceof Session)) return this.#untilRefused(await session.follow(lasting, request));
      const reader = session.record.look === true ? lookContext(lasting) : lasting;
      return this.#untilRefused(this.#events(session, reader, request));
    });
  }

  #takeSlot(principal: string, gone: OneShotEvent): void {
    if (this.#slots.hasRoom(principal)) {
      gone.subscribe(this.#slots.acquire(principal));
      return;
    }
    const own = this.#slots.usedBy(principal);
    const why =
      own > 0
        ? `This token has ${own} streams open, which is its share of the ${MAX_FOLLOWERS} at once`
        : `Other tokens have ${MAX_FOLLOWERS} streams open, which is the most at once`;
    throw new TooManyRequests(5, `${why}. Close one, or use read_session with wait.`);
  }

  /** Returns the same events until the token has ended or its profile no longer allows reading. */
  async *#untilRefused(events: AsyncIterable<FollowEvent>): AsyncGenerator<FollowEvent, void> {
    try {
      yield* events;
    } catch (error) {
      if (!(error instanceof AccessLapsed || error instanceof OperationNotAllowed)) throw error;
      yield { kind: 'refused', error: new Unauthorized(error.hint ?? error.error) };
    }
  }

  async *#events(
    session: Session,
    context: CallContext,
    { offsets: from, isText, gone }: FollowRequest,
  ): AsyncGenerator<FollowEvent, void> {
    const { principal, shutdown } = context;
    const offsets = { ...from };
    const sizes = { stdout: 0, stderr: 0 };
    const tails = { stdout: new Tail(), stderr: new Tail() };
    // The bytes of an event are reused when the next event is asked for.
    const room = new Uint8Array(FOLLOW_PIECE_BYTES);
    using stdout = new Growth(session.path('stdout'));
    using stderr = new Growth(session.path('stderr'));
    let toldFrozen = false;
    while (!gone.fired && !shutdown.fired) {
      const { isFrozen, begun } = this.deps.freeze;
      if (isFrozen !== toldFrozen) {
        toldFrozen = isFrozen;
        yield { kind: 'frozen', isFrozen };
      }
      const grown = [stdout.next(), stderr.next()];
      // Before looking at the files: so everything that is written until the end is found.
      const end = this.deps.commands.endOf(session);
      let isSilent = true;
      let waitSeconds = FOLLOW_SIGN_SECONDS;
      for (const stream of STREAMS) {
        const size = session.sizeOf(stream);
        // The stream was emptied: what is there now is new.
        if (size < sizes[stream]) offsets[stream] = 0;
        sizes[stream] = size;
        if (size <= offsets[stream]) continue;
        // Many streams of one token delay no other.
        await this.deps.turns.take(principal, EVENT_GARBAGE_BYTES);
        const { masker } = mayRead(context);
        const piece = nextPiece(session, stream, offsets[stream], isText && end !== undefined, room);
        const held = masker === undefined || end === undefined ? 0 : tails[stream].heldOf(piece, offsets[stream]);
        if (held > 0) waitSeconds = TAIL_SECONDS;
        const bytes = piece.subarray(0, piece.length - held);
        if (bytes.length === 0) continue;
        isSilent = false;
        const shown = (await masker?.maskBytes(bytes, session.stream(stream), offsets[stream])) ?? bytes;
        offsets[stream] += bytes.length;
        mayRead(context);
        yield { kind: 'output', stream, bytes: shown, offsets: { ...offsets } };
      }
      if (!isSilent) continue;
      if (end === undefined) {
        yield { kind: 'end', state: this.#stateOf(session, mayRead(context)) };
        return;
      }
      const happened = await this.#happens(context, waitSeconds, end, gone, ...grown, ...(isFrozen ? [] : [begun]));
      if (!happened && waitSeconds === FOLLOW_SIGN_SECONDS) yield { kind: 'alive' };
    }
  }

  /** Waits for one of `events`; false if none happened in `seconds`. Throws when the token has ended meanwhile. */
  async #happens(context: CallContext, seconds: number, ...events: readonly OneShotEvent[]): Promise<boolean> {
    const sign = Deadline.after(seconds);
    while (!sign.passed) {
      if (await sign.orAfter(FOLLOW_LOOK_SECONDS).waitFor(...events, context.shutdown)) return true;
      mayRead(context);
    }
    return false;
  }

  #stateOf(session: Session, { limits, masker }: CallContext): Answer {
    const { fields } = snapshot(session, this.deps.clock);
    const told = { durationMs: fields.duration_ms, next: undefined };
    const hints = messageOf(...recordHints(session.record, { limits }, told), masker?.hint());
    const { waited_for } = session.record;
    return {
      ...fields,
      ...(waited_for !== undefined && { waited_for }),
      ...hints,
    };
  }
}

/** Returns the current context. Throws `AccessLapsed` and `OperationNotAllowed` when the token may no longer read. */
export function mayRead(context: CallContext): CallContext {
  const now = revalidate(context);
  requireOperation(now.profile, STREAM.needs);
  return now;
}

/** Returns the next bytes of a stream. In a running text, an incomplete character waits for the rest. */
function nextPiece(session: Session, name: StreamName, offset: number, isText: boolean, room: Uint8Array): Uint8Array {
  const bytes = session.stream(name).read(offset, FOLLOW_PIECE_BYTES, room);
  return isText ? bytes.subarray(0, bytes.length - incompleteTail(bytes)) : bytes;
}

/** How long the last word of a stream is held back when nothing follows it. */
export const TAIL_SECONDS = 1;
/** A longer word is not held back: a token is recognized long before. */
export const LONGEST_TAIL_BYTES = 256;

/** A last word that may be continued, and may be part of a secret: not a progress bar or the end of a question. */
const UNFINISHED = /[\w+/=.~:%-]*[A-Za-z0-9][\w+/=.~:%-]*$/;

/** Returns how many bytes at the end of `bytes` belong to a word that may become a secret. */
function unfinishedBytes(bytes: Uint8Array): number {
  const last = Buffer.from(bytes.subarray(-LONGEST_TAIL_BYTES - 1)).toString('latin1');
  const length = /[!-~]*$/.exec(last)?.[0].length ?? 0;
  return length <= LONGEST_TAIL_BYTES && UNFINISHED.test(last) ? length : 0;
}

/**
 * Holds back the last word of a stream that is masked: a secret that is written piece by piece is recognized only as a
 * whole. The word is held back until something ends it, or for `TAIL_SECONDS` after the last piece.
 */
export class Tail {
  #end = 0;
  #sinceMs = 0;

  /** Returns how many bytes at the end of a piece, which begins at `offset`, must not be shown yet. */
  heldOf(piece: Uint8Array, offset: number): number {
    const now = systemClock.elapsed();
    if (offset + piece.length !== this.#end) [this.#end, this.#sinceMs] = [offset + piece.length, now];
    return now - this.#sinceMs < TAIL_SECONDS * 1000 ? unfinishedBytes(piece) : 0;
  }
}
