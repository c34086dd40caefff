import { type HubAccess, hubPrincipal, type Reach } from '../access/hub-access.ts';
import type { CallDeps } from '../calls/context.ts';
import type { Followers } from '../calls/follow.ts';
import { type Exchange, hubExchange, invokeFor, noteSession, problemOf } from '../http/exchange.ts';
import type { CallLimiter, RateLimiter } from '../http/limiters.ts';
import { type AnswerDeps, log } from '../http/respond.ts';
import { OneShotEvent } from '../lib/clock.ts';
import {
  InvalidArguments,
  InvalidOperation,
  OperationNotAllowed,
  ShuttingDown,
  TooManyRequests,
} from '../lib/errors.ts';
import type { Operation } from '../operations/operation.ts';
import { bytesIn, type FleetReply, type FleetRequest } from './envelope.ts';
import { type PublicKey, tagOf } from './keys.ts';
import { type MemberLinkDeps, transferStep } from './member-links.ts';
import { MemberStreams } from './member-streams.ts';
import type { Membership } from './membership.ts';
import { isForServers } from './operations.ts';
import { stepOf } from './pieces.ts';
import { PlanDesk } from './plan-desk.ts';

/** What calls of the hub work with: the same operations, limits and log as those over HTTP. */
export interface MemberCallDeps extends AnswerDeps, MemberLinkDeps, Pick<CallDeps, 'access' | 'limits'> {
  readonly followers: Followers;
  readonly operations: readonly Operation[];
  readonly rateLimiter: RateLimiter;
  readonly calls: CallLimiter;
  readonly shutdown: OneShotEvent;
  readonly hubAccess: HubAccess;
  /** What this server shows to the console of its hub. Rejects with `AgentError`. */
  readonly showToHub: (args: unknown, interrupted: OneShotEvent) => Promise<unknown>;
  /** Obeys an order of the console of the hub, which came in this message. Rejects with `AgentError` for an invalid order. */
  readonly obeyHub: (args: unknown, membership: Membership, message: Uint8Array) => Promise<unknown>;
}

/** The operation of an order of the hub's console, and its principal: no token can have such a name. */
const ORDER = 'order';
const CONSOLE = 'hub/(console)';

export interface Answered extends Pick<FleetReply, 'status' | 'headers' | 'body'> {
  readonly bytes?: Uint8Array;
}

/** Characters of an answer that NATS takes in any letters. */
const MAX_CHARS = 600_000;
/** Questions of the hub's console that wait at once. */
const MOST_LOOKS = 16;
/** Steps of streams and transfers that wait at once. */
const MOST_PIECES = 500;
/** Bytes of their messages at once: more than all clients of a hub send. */
const MOST_PIECE_BYTES = 50_331_648;

/** Answers the hub. Each call gets what a client over HTTP would get. */
export class MemberCalls {
  #looks = 0;
  #pieces = 0;
  #pieceBytes = 0;
  readonly #plans: PlanDesk;
  readonly #streams: MemberStreams;

  constructor(
    private readonly deps: MemberCallDeps,
    private readonly membership: Membership,
    private readonly key: PublicKey,
    instance: string,
  ) {
    this.#plans = new PlanDesk(membership, instance);
    this.#streams = new MemberStreams(deps.followers);
  }

  /** The answer to the request in a message, until `cancelled` happens. */
  async answer(request: FleetRequest, message: Uint8Array, cancelled: OneShotEvent): Promise<Answered> {
    const { shutdown } = this.deps;
    using subscriptions = new DisposableStack();
    const interrupted = new OneShotEvent();
    for (const event of [shutdown, cancelled]) subscriptions.defer(event.subscribe(() => interrupted.fire()));
    switch (request.op) {
      case 'console':
        return await this.#shown(request, interrupted);
      case 'stream':
      case 'transfer':
        return await this.#piece(request, message);
      case 'ended':
        this.deps.hubAccess.end(request.principal);
        return { status: 200, headers: {}, body: {} };
      default:
        return await this.#answered(request, message, cancelled, interrupted);
    }
  }

  async #answered(request: FleetRequest, message: Uint8Array, cancelled: OneShotEvent, interrupted: OneShotEvent) {
    const { deps } = this;
    const { principal: token, request: id, address, op, reply_ms } = request;
    const principal = op === ORDER ? CONSOLE : deps.hubAccess.admit(token, request.reach satisfies Reach);
    const seconds = Math.min(reply_ms / 1000, deps.limits.replySeconds);
    const exchange = hubExchange(id, principal, address, op, seconds);
    try {
      const body = await this.#call(request, exchange, message, cancelled, interrupted);
      log(deps, exchange, { status: 200, bytes: undefined, error: undefined });
      return { status: 200, headers: {}, body };
    } catch (error) {
      log(deps, exchange, { status: problemOf(error).status, bytes: undefined, error });
      return refusalFor(error);
    }
  }

  /** Runs a call with all checks. Throws what a call over HTTP throws. */
  async #call(
    request: FleetRequest,
    exchange: Exchange,
    message: Uint8Array,
    cancelled: OneShotEvent,
    interrupted: OneShotEvent,
  ): Promise<unknown> {
    const { rateLimiter, calls, shutdown, limits, operations } = this.deps;
    const { op, args, name, lean, max_chars } = request;
    const { principal, id } = exchange;
    if (shutdown.fired) throw new ShuttingDown();
    this.#requireName(name);
    rateLimiter.consume(principal);
    using slot = calls.acquire(principal);
    slot.grow(message.length);
    rateLimiter.consumeText(principal, message.length);
    if (op === ORDER) return await this.deps.obeyHub(args, this.membership, message);
    const operation = operations.find((one) => one.name === op);
    if (operation === undefined || !isForServers(op))
      throw new InvalidOperation(`This server has no operation ${op} for its hub.`);
    return await invokeFor(exchange, operation, args, {
      shutdown: interrupted,
      cancelled,
      isLean: lean,
      maxReplyChars: Math.min(max_chars, limits.maxReplyChars, MAX_CHARS),
      via: { server: `${name}@${tagOf(this.key)}`, request: id },
      plan: () => this.#plans.take(request),
    });
  }

  /** A step of a stream or a transfer. The log has a stream when it is over, and each request to a link. */
  async #piece(request: FleetRequest, message: Uint8Array): Promise<Answered> {
    const { deps } = this;
    const { op, args, name, principal: token, reach, address, request: id, reply_ms } = request;
    // A stream ends also with its token, which is not admitted again.
    const isEnd = op === 'stream' && stepOf(args) === 'end';
    const principal = isEnd ? hubPrincipal(token) : deps.hubAccess.admit(token, reach);
    const exchange = hubExchange(id, principal, address, op, reply_ms / 1000);
    exchange.op = op;
    const logged = (status: number, error?: unknown): void => log(deps, exchange, { status, bytes: undefined, error });
    this.#pieces++;
    this.#pieceBytes += message.length;
    try {
      this.#requireName(name);
      if (isEnd) return { status: 200, headers: {}, ...this.#streams.end(principal, args) };
      if (deps.shutdown.fired) throw new ShuttingDown();
      if (this.#pieces > MOST_PIECES || this.#pieceBytes > MOST_PIECE_BYTES)
        throw new TooManyRequests(1, 'The hub asks for too many pieces at once.');
      const { deadline } = exchange;
      const via = { server: `${name}@${tagOf(this.key)}`, request: id };
      const call = { principal, address, deadline, shutdown: deps.shutdown, request: id, via };
      if (op === 'transfer') {
        const done = await transferStep(deps, args, bytesIn(message), call);
        if (stepOf(args) === 'open') logged(200);
        return { status: 200, headers: {}, ...done };
      }
      noteSession(exchange, args);
      const begun = (): void => deps.rateLimiter.consume(principal);
      return {
        status: 200,
        headers: {},
        ...(await this.#streams.answer(args, call, { begun, over: () => logged(200) })),
      };
    } catch (error) {
      logged(problemOf(error).status, error);
      return refusalFor(error);
    } finally {
      this.#pieces--;
      this.#pieceBytes -= message.length;
    }
  }

  /** What the console of the hub asks: it changes nothing here, so it is neither in the log nor on record. */
  async #shown({ args, name }: FleetRequest, interrupted: OneShotEvent): Promise<Answered> {
    this.#looks++;
    try {
      this.#requireName(name);
      if (this.#looks > MOST_LOOKS) throw new TooManyRequests(1, 'The console of the hub asks too much at once.');
      const body = await this.deps.showToHub(args, interrupted);
      if (JSON.stringify(body).length > MAX_CHARS) throw new InvalidArguments('The answer is too long.');
      return { status: 200, headers: {}, body };
    } catch (error) {
      return refusalFor(error);
    } finally {
      this.#looks--;
    }
  }

  /** Throws where the hub calls this server by a name that it does not have. */
  #requireName(name: string): void {
    if (name === this.membership.name) return;
    throw new OperationNotAllowed(
      `Nothing was done: this server joined its hub as ${this.membership.name}, and the call is for ${name}.`,
    );
  }
}

function refusalFor(error: unknown): Answered {
  const { status, headers, body } = problemOf(error);
  return { status, headers: { ...headers }, body };
}
