import type { Answer } from '../calls/call.ts';
import { demandOperation, limitsOf } from '../commands/confinement.ts';
import { Deadline } from '../lib/clock.ts';
import { AgentError, TooManyRequests } from '../lib/errors.ts';
import { FOLLOW_PIECE_BYTES, FOLLOW_SIGN_SECONDS, MAX_FOLLOWERS } from '../lib/limits.ts';
import { Shares } from '../lib/shares.ts';
import type { SignalOnce } from '../lib/signal-once.ts';
import { incompleteTail } from '../lib/utf8.ts';
import { Growth } from '../sessions/growth.ts';
import { type Session, STREAMS, type StreamName } from '../sessions/session.ts';
import { messageOf, snapshot } from './answer.ts';
import { type HintLimits, recordHints } from './hints.ts';
import { type Masker, maskerFor } from './masking.ts';
import type { OperationParts } from './parts.ts';
import { TAIL_SECONDS, Tail } from './tail.ts';

/** Where a follower is in each stream, in bytes. */
export type Offsets = Readonly<Record<StreamName, number>>;

/** How often a follower of a silent command is looked at: the end of its token ends its stream within a second. */
const FOLLOW_LOOK_SECONDS = 0.4;

/** What a follower is told. */
export type FollowEvent =
  /** A piece of a stream, and where the follower is behind it. */
  | { readonly kind: 'output'; readonly stream: StreamName; readonly bytes: Uint8Array; readonly offsets: Offsets }
  /** Nothing was written for a while. */
  | { readonly kind: 'alive' }
  /** The command has ended, and nothing follows. */
  | { readonly kind: 'end'; readonly state: Answer }
  /** The token may read the session no more, and nothing follows. */
  | { readonly kind: 'refused'; readonly reason: string };

/** How a session is to be followed. */
export interface FollowRequest {
  readonly offsets: Offsets;
  /** Pieces are cut only between characters. */
  readonly isText: boolean;
  /** Fires when the follower has gone. */
  readonly gone: SignalOnce;
  readonly shutdown: SignalOnce;
  /** Where it came from. */
  readonly address: string;
}

/** What the profile of a follower makes of what it is told. */
interface View {
  readonly masker: Masker | undefined;
  readonly limits: HintLimits;
}

/** Follows the output of sessions as it is written. */
export class Followers {
  readonly #slots = new Shares(MAX_FOLLOWERS);

  constructor(private readonly parts: OperationParts) {}

  /**
   * The output of the session `id` from `offsets` on, as it is written, until its command has ended, the follower or
   * its token has gone or the agent stops. Throws `SessionNotFound`, `TooManyRequests` when too many follow already, and
   * `MachineRefused` when that cannot be recorded.
   */
  follow(id: string, principal: string, request: FollowRequest): AsyncGenerator<FollowEvent, void> {
    const { trail } = this.parts;
    const caller = { principal, address: request.address };
    try {
      const session = this.#open(id, principal);
      const view = { masker: maskerFor(this.parts, principal), limits: limitsOf(this.parts, principal) };
      trail.operation('stream', { session: id }, caller);
      request.gone.subscribe(this.#slots.acquire(principal));
      return this.#whileAllowed(principal, this.#events(session, principal, view, request));
    } catch (error) {
      trail.refused('stream', { session: id }, caller, error);
      throw error;
    }
  }

  #open(id: string, principal: string): Session {
    demandOperation(this.parts.access.profileFor(principal), 'read_session');
    const session = this.parts.store.get(id, principal);
    if (!this.#slots.hasRoom(principal)) {
      const own = this.#slots.usedBy(principal);
      const why =
        own > 0
          ? `This token has ${own} streams open, which is its share of the ${MAX_FOLLOWERS} at once`
          : `Other tokens have ${MAX_FOLLOWERS} streams open, which is all at once`;
      throw new TooManyRequests(5, `${why}. Close one, or use read_session with wait.`);
    }
    return session;
  }

  /** The same events, as long as the token has not ended and its profile allows to read: looked at before each of them. */
  async *#whileAllowed(principal: string, events: AsyncIterable<FollowEvent>): AsyncGenerator<FollowEvent, void> {
    for await (const event of events) {
      const reason = this.#refusal(principal);
      if (reason !== undefined) {
        yield { kind: 'refused', reason };
        return;
      }
      yield event;
    }
  }

  #refusal(principal: string): string | undefined {
    try {
      demandOperation(this.parts.access.profileFor(principal), 'read_session');
      return undefined;
    } catch (error) {
      if (error instanceof AgentError) return error.hint ?? error.error;
      throw error;
    }
  }

  async *#events(
    session: Session,
    principal: string,
    { masker, limits }: View,
    { offsets: from, isText, gone, shutdown }: FollowRequest,
  ): AsyncGenerator<FollowEvent, void> {
    const offsets = { ...from };
    const tails = { stdout: new Tail(), stderr: new Tail() };
    using stdout = new Growth(session.path('stdout'));
    using stderr = new Growth(session.path('stderr'));
    while (!gone.fired && !shutdown.fired) {
      const grown = [stdout.next(), stderr.next()];
      // Before the look at the files: what is written until the end is then found.
      const end = this.parts.commands.endOf(session);
      let isSilent = true;
      let waitSeconds = FOLLOW_SIGN_SECONDS;
      for (const stream of STREAMS) {
        if (session.sizeOf(stream) <= offsets[stream]) continue;
        // So many streams of one token hold up nobody else.
        await this.parts.turns.take(principal);
        const piece = nextPiece(session, stream, offsets[stream], isText && end !== undefined);
        const held = masker === undefined || end === undefined ? 0 : tails[stream].heldOf(piece, offsets[stream]);
        if (held > 0) waitSeconds = TAIL_SECONDS;
        const bytes = piece.subarray(0, piece.length - held);
        if (bytes.length === 0) continue;
        isSilent = false;
        const shown = (await masker?.maskBytes(bytes, session.stream(stream), offsets[stream])) ?? bytes;
        offsets[stream] += bytes.length;
        yield { kind: 'output', stream, bytes: shown, offsets: { ...offsets } };
      }
      if (!isSilent) continue;
      if (end === undefined) {
        yield { kind: 'end', state: this.#stateOf(session, limits, masker) };
        return;
      }
      const happened = await this.#happens(principal, waitSeconds, end, gone, shutdown, ...grown);
      if (!happened && waitSeconds === FOLLOW_SIGN_SECONDS) yield { kind: 'alive' };
    }
  }

  /** Waits for one of `events`; false when none came in `seconds`, or when the token has ended meanwhile. */
  async #happens(principal: string, seconds: number, ...events: readonly SignalOnce[]): Promise<boolean> {
    const sign = Deadline.after(seconds);
    while (!sign.passed && this.#refusal(principal) === undefined)
      if (await sign.orAfter(FOLLOW_LOOK_SECONDS).waitFor(...events)) return true;
    return false;
  }

  #stateOf(session: Session, limits: HintLimits, masker: Masker | undefined): Answer {
    const { record } = session;
    const hints = messageOf(...recordHints(record, limits), masker?.hint());
    return { ...snapshot(session, this.parts.clock).fields, ...hints };
  }
}

/** The next bytes of a stream; of a text that goes on, a character that is not whole yet stays for later. */
function nextPiece(session: Session, name: StreamName, offset: number, isText: boolean): Uint8Array {
  const bytes = session.stream(name).read(offset, FOLLOW_PIECE_BYTES);
  return isText ? bytes.subarray(0, bytes.length - incompleteTail(bytes)) : bytes;
}
