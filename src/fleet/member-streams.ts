import type { Call } from '../calls/context.ts';
import type { FollowEvent, Followers } from '../calls/follow.ts';
import { problemOf } from '../http/exchange.ts';
import { delay, OneShotEvent } from '../lib/clock.ts';
import { Conflict, InvalidArguments } from '../lib/errors.ts';
import type { Piece } from './door.ts';
import { readStreamArgs, STREAM_BYTES, type StreamEvent } from './pieces.ts';

/** A stream whose hub asks for nothing for this long has ended: a hub that has gone takes it up again later. */
const ABANDONED_MS = 60_000;
const MOST_EVENTS = 50;
/** How long an answer waits for a further event: the output of one moment is sent together. */
const FURTHER_MS = 2;

const NOTHING: Piece = { body: { events: [] }, bytes: new Uint8Array(0) };

type Next = Promise<IteratorResult<FollowEvent, void>>;

/** A stream that the hub of this server follows. */
interface OpenStream {
  readonly events: AsyncGenerator<FollowEvent, void>;
  readonly gone: OneShotEvent;
  /** The event that was asked for, and did not come within the last answer. */
  next: Next | undefined;
  isBusy: boolean;
  abandoned: Timer | undefined;
}

/** The streams of sessions that the hub of this server follows. */
export class MemberStreams {
  readonly #open = new Map<string, OpenStream>();

  constructor(private readonly followers: Followers) {}

  /**
   * Answers what the hub asks about a stream. `begun` is called before a stream begins, and may throw; `over` when it has
   * ended. Throws `InvalidArguments`, `Conflict`, and what `Followers.follow` throws.
   */
  async answer(given: unknown, call: Call, { begun, over }: { begun(): void; over(): void }): Promise<Piece> {
    const args = readStreamArgs(given);
    if (args === undefined) throw new InvalidArguments('This is no step of a stream.');
    const id = idOf(call.principal, args.stream);
    let stream = this.#open.get(id);
    if (stream === undefined) {
      begun();
      stream = await this.#begin(id, args, call, over);
    }
    if (args.step === 'begin') return NOTHING;
    if (stream.isBusy) throw new Conflict('The next event of this stream is asked for already.');
    stream.isBusy = true;
    clearTimeout(stream.abandoned);
    try {
      // They share the connection with all calls: of many streams each sends less at once.
      return await collect(stream, STREAM_BYTES / this.#open.size);
    } catch (error) {
      stream.gone.fire();
      throw error;
    } finally {
      stream.isBusy = false;
      this.#leaveLater(stream);
    }
  }

  /** Ends a stream of a token, which may have ended as well. */
  end(principal: string, given: unknown): Piece {
    this.#open.get(idOf(principal, readStreamArgs(given)?.stream))?.gone.fire();
    return NOTHING;
  }

  async #begin(
    id: string,
    { session, offsets, isText }: NonNullable<ReturnType<typeof readStreamArgs>>,
    call: Call,
    over: () => void,
  ): Promise<OpenStream> {
    const gone = new OneShotEvent();
    const events = await this.followers.follow(session, call, { offsets, isText, gone }).catch((error: unknown) => {
      gone.fire();
      throw error;
    });
    const stream: OpenStream = { events, gone, next: undefined, isBusy: false, abandoned: undefined };
    this.#open.set(id, stream);
    gone.subscribe(() => {
      this.#open.delete(id);
      clearTimeout(stream.abandoned);
      void events.return();
      over();
    });
    this.#leaveLater(stream);
    return stream;
  }

  #leaveLater(stream: OpenStream): void {
    if (stream.gone.fired) return;
    clearTimeout(stream.abandoned);
    stream.abandoned = setTimeout(() => stream.gone.fire(), ABANDONED_MS);
    stream.abandoned.unref();
  }
}

/** Each token of the hub has streams of its own. */
const idOf = (principal: string, stream: string | undefined): string => `${principal} ${stream}`;

/** Returns the next event, and those that come with it until there are this many bytes. */
async function collect(stream: OpenStream, enoughBytes: number): Promise<Piece> {
  const events: StreamEvent[] = [];
  const pieces: Uint8Array[] = [];
  let size = 0;
  while (size < enoughBytes && events.length < MOST_EVENTS) {
    stream.next ??= nextOf(stream);
    const next = events.length === 0 ? await stream.next : await Promise.race([stream.next, delay(FURTHER_MS)]);
    if (next === undefined) break;
    stream.next = undefined;
    if (next.done === true) {
      stream.gone.fire();
      events.push({ kind: 'over' });
      break;
    }
    events.push(eventOf(next.value));
    if (next.value.kind === 'output') {
      // The bytes of an event are reused.
      pieces.push(Buffer.from(next.value.bytes));
      size += next.value.bytes.length;
    } else {
      if (next.value.kind === 'end' || next.value.kind === 'refused') stream.gone.fire();
      break;
    }
  }
  return { body: { events }, bytes: Buffer.concat(pieces) };
}

/** Its fault is thrown where it is awaited, which may be in a later answer. */
function nextOf({ events }: OpenStream): Next {
  const next = events.next();
  next.catch(() => {});
  return next;
}

function eventOf(event: FollowEvent): StreamEvent {
  switch (event.kind) {
    case 'output':
      return { kind: 'output', stream: event.stream, bytes: event.bytes.length, offsets: event.offsets };
    case 'refused': {
      const { status, body } = problemOf(event.error);
      return { kind: 'refused', status, body };
    }
    case 'end':
      return { kind: 'end', state: { ...event.state } };
    default:
      return event;
  }
}
