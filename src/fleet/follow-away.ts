import { randomUUID } from 'node:crypto';
import type { CallContext } from '../calls/context.ts';
import {
  FOLLOW_LOOK_SECONDS,
  type FollowEvent,
  type FollowRequest,
  mayRead,
  type SessionAway,
} from '../calls/follow.ts';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { type AgentError, OutcomeUnknown, ServerRefusal, ServerUnreachable, SessionNotFound } from '../lib/errors.ts';
import type { Turns } from '../lib/shares.ts';
import { answerOf, refusalOf } from './answers.ts';
import type { FleetDoor, FleetServer, Piece } from './door.ts';
import { parseFleetId } from './ids.ts';
import { readStreamEvents, STREAM_BYTES, type StreamEvent } from './pieces.ts';

/** A server sends a sign of life every 10 s. */
const NEXT_SECONDS = 15;
const END_SECONDS = 5;
/** An event is copied some times on its way. */
const GARBAGE = 12;

/** Returns the session of a server that an id names; undefined for one of the hub. Throws `SessionNotFound`. */
export function sessionAway(door: FleetDoor, turns: Turns, named: string): SessionAway | undefined {
  const { id, tag } = parseFleetId(named);
  if (tag === undefined) return undefined;
  const server = serverWithTag(door, tag);
  return {
    server: `${server.name}@${server.tag}`,
    follow: (context, request) => new StreamAway(door, turns, server, id, context, request).begin(),
  };
}

/** Returns the server whose ids have this tag. Throws `SessionNotFound`. */
export function serverWithTag(door: FleetDoor, tag: string): FleetServer {
  const server = door.servers().find((one) => one.tag === tag);
  if (server !== undefined) return server;
  throw new SessionNotFound(`No server has ids that end in @${tag}. list_servers shows the servers.`);
}

/** The stream of a session on a server, which the hub passes on. */
class StreamAway {
  readonly #id = randomUUID();
  #offsets: FollowRequest['offsets'];
  #isOver = false;

  constructor(
    private readonly door: FleetDoor,
    private readonly turns: Turns,
    private readonly server: FleetServer,
    private readonly session: string,
    private readonly context: CallContext,
    private readonly request: FollowRequest,
  ) {
    this.#offsets = request.offsets;
  }

  /** Begins on the server. Throws what a call there throws. */
  async begin(): Promise<AsyncGenerator<FollowEvent, void>> {
    await this.#ask('begin', NEXT_SECONDS);
    this.request.gone.subscribe(() => {
      // A server that cannot be told ends the stream by itself.
      if (!this.#isOver) this.#ask('end', END_SECONDS).catch(() => {});
    });
    return this.#events();
  }

  async *#events(): AsyncGenerator<FollowEvent, void> {
    try {
      for (;;) {
        const piece = await this.#next();
        if (piece === undefined) return;
        for (const event of this.#eventsIn(piece)) {
          // Many streams of one token delay no other, however fast a server is.
          await this.turns.take(this.context.principal, event.kind === 'output' ? GARBAGE * event.bytes.length : 0);
          mayRead(this.context);
          this.#isOver = event.kind === 'end' || event.kind === 'refused';
          yield event;
          if (this.#isOver) return;
        }
      }
    } catch (error) {
      if (!isOfServer(error)) throw error;
      yield { kind: 'refused', error };
    }
  }

  /** Waits for what the server says next; undefined when the follower is gone or the hub stops. */
  async #next(): Promise<Piece | undefined> {
    const { gone } = this.request;
    mayRead(this.context);
    const settled = new OneShotEvent();
    const asked = this.#ask('next', NEXT_SECONDS)
      .catch((error: unknown) => {
        throw error instanceof OutcomeUnknown ? this.#lost() : error;
      })
      .finally(() => settled.fire());
    // It may come too late for anybody.
    asked.catch(() => {});
    while (!settled.fired) {
      await Deadline.after(FOLLOW_LOOK_SECONDS).waitFor(settled, gone, this.context.shutdown);
      if (gone.fired || this.context.shutdown.fired) return undefined;
      mayRead(this.context);
      // Without its connection to NATS, the hub would wait in vain.
      if (!this.#isConnected) throw this.#lost();
    }
    return await asked;
  }

  #ask(step: 'begin' | 'next' | 'end', seconds: number): Promise<Piece> {
    const { principal, address, profile, request } = this.context;
    const args = { stream: this.#id, session: this.session, offsets: this.#offsets, isText: this.request.isText, step };
    const call = { principal, address, profile, deadline: Deadline.after(seconds), ...(request && { request }) };
    return this.door.piece(this.server, 'stream', args, call);
  }

  get #isConnected(): boolean {
    return this.door.servers().some(({ key, state }) => key === this.server.key && state === 'connected');
  }

  #lost(): ServerUnreachable {
    const { name, key } = this.server;
    const advice = this.door.servers().some((one) => one.key === key)
      ? `The connection to ${name} is lost. What runs there continues: follow it again, from the last event on.`
      : `${name} was removed from the fleet, so its sessions are out of reach. What runs there continues.`;
    return new ServerUnreachable(advice);
  }

  /** All at once, and nothing else of the answer is kept: a slow client holds no more than this. */
  #eventsIn({ body, bytes }: Piece): FollowEvent[] {
    const said = readStreamEvents(body);
    if (said === undefined || bytes.length > 2 * STREAM_BYTES) throw this.#noStream();
    const own = bytes.slice();
    let at = 0;
    return said.events.map((event) => {
      if (event.kind !== 'output') return this.#eventOf(event);
      const { kind, stream, offsets } = event;
      const piece = own.subarray(at, at + event.bytes);
      if (piece.length < event.bytes) throw this.#noStream();
      at += event.bytes;
      this.#offsets = { stdout: offsets.stdout, stderr: offsets.stderr };
      return { kind, stream, bytes: piece, offsets: this.#offsets };
    });
  }

  #noStream(): OutcomeUnknown {
    return new OutcomeUnknown(`What ${this.server.name} sends is no stream.`);
  }

  #eventOf(event: Exclude<StreamEvent, { kind: 'output' }>): FollowEvent {
    const { server, context } = this;
    switch (event.kind) {
      case 'end':
        return {
          kind: 'end',
          state: answerOf(server, { status: 200, headers: {}, body: event.state }, context.maxReplyChars),
        };
      case 'refused':
        return { kind: 'refused', error: refusalOf(server.name, { ...event, headers: {} }, server.tag) };
      case 'over':
        return {
          kind: 'refused',
          error: new ServerUnreachable(`The agent of ${server.name} stops. Follow the session again in some seconds.`),
        };
      case 'frozen':
        return { kind: 'frozen', isFrozen: event.isFrozen };
      case 'alive':
        return { kind: 'alive' };
      default:
        return event satisfies never;
    }
  }
}

/** Whether a server that is away, or its refusal, has ended a stream. */
function isOfServer(error: unknown): error is AgentError {
  return error instanceof ServerUnreachable || error instanceof OutcomeUnknown || error instanceof ServerRefusal;
}
