import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { ConsoleSignIn } from '../audit/trail.ts';
import { GuessingLimiter } from '../http/auth.ts';
import { Buckets } from '../http/limiters.ts';
import { networkOf } from '../lib/addresses.ts';
import { systemClock, waitFor } from '../lib/clock.ts';
import { GuessingRefused, Unauthorized } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';
import { AgentAway, WireRefusal } from './channel.ts';
import { isForRoot, isSigned, type Order, type OrderResult } from './order.ts';
import { assertionSchema, orderSchema } from './order-schema.ts';
import type { People, SignedIn } from './people.ts';
import type { PostBox } from './post-box.ts';
import { PUSH_CALLS, type PushApi, type PushCall } from './push/push-api.ts';
import { READINGS } from './readings.ts';
import { ApiRefusal, badRequest, tooMany } from './refusal.ts';
import { SignIns, signInSchema } from './sign-ins.ts';
import type { WireClient } from './wire-client.ts';

/** A call of the page. */
export interface ApiCall {
  readonly name: string;
  readonly body: unknown;
  readonly bearer: string | undefined;
  readonly address: string;
  readonly signal: AbortSignal;
}

export interface ApiDeps {
  readonly people: People;
  readonly postBox: PostBox;
  readonly wire: WireClient;
  readonly pushes: PushApi;
  /** The host of the console's origin. */
  readonly rpId: string;
}

/** Calls of one network in a minute without a bearer: a page that waits for root's terminal asks every second or two. */
const OPEN_CALLS_PER_MINUTE = 120;
/** Calls of one person in a minute: output that is followed is answered up to 20 times a second, in each tab. */
const CALLS_PER_MINUTE = 6000;
/** Orders of one person in a minute: an agent that is busy refusing orders hears no other. */
const ORDERS_PER_MINUTE = 120;
/** Freezes of one person in a minute: one tap freezes every server of a fleet, and root hears of them, not the agent. */
const FREEZES_PER_MINUTE = 1200;
/** Calls of all people that wait at once: the agent takes 64. */
const MAX_CALLS = 60;
/** An order is answered within this time. */
const ORDER_WAIT_MS = 10_000;
const LOOK_MS = 50;
const MOST_ADDRESS_CHARS = 64;

const LINK_ID = Type.String({ pattern: '^[\\w-]{8,64}$' });
const NAME = Type.String({ minLength: 1, maxLength: 100 });
const MAC = Type.String({ pattern: '^[\\w-]{43}$' });
const linkSchema = Type.Object(
  {
    link: LINK_ID,
    name: Type.Optional(NAME),
    registration: Type.Optional(Type.Object({})),
    bearer_sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    mac: Type.Optional(MAC),
  },
  { additionalProperties: false },
);
const orderCallSchema = Type.Object({ order: orderSchema, assertion: Type.Optional(assertionSchema) });

/** What the console does for the page. */
export class Api {
  readonly #guessing = new GuessingLimiter(systemClock, () => {});
  readonly #open = new Buckets(OPEN_CALLS_PER_MINUTE, systemClock);
  readonly #paces = new Buckets(CALLS_PER_MINUTE, systemClock);
  readonly #orders = new Buckets(ORDERS_PER_MINUTE, systemClock);
  readonly #freezes = new Buckets(FREEZES_PER_MINUTE, systemClock);
  readonly #calls = new Shares(MAX_CALLS);
  readonly #signIns: SignIns;

  constructor(private readonly deps: ApiDeps) {
    this.#signIns = new SignIns(deps.people);
  }

  /** Answers a call. Rejects with `ApiRefusal`. */
  async answer(call: ApiCall): Promise<object> {
    switch (call.name) {
      case 'hello':
      case 'link':
      case 'sign-in':
        return await this.#answerAnybody(call);
      default:
        return await this.#answerPerson(call);
    }
  }

  async #answerAnybody({ name, body, address }: ApiCall): Promise<object> {
    const seconds = this.#open.consume(networkOf(address), 1);
    if (seconds > 0) throw tooMany(seconds, 'Too many calls came from this address.');
    switch (name) {
      case 'hello':
        return { rp_id: this.deps.rpId, now: Date.now(), challenge: this.#signIns.newChallenge() };
      case 'link':
        return this.#link(read(linkSchema, body), address);
      default:
        return await this.#signIn(read(signInSchema, body), address);
    }
  }

  async #answerPerson(call: ApiCall): Promise<object> {
    const { people, wire } = this.deps;
    const person = this.#person(call);
    const bearer = call.bearer ?? '';
    if (!this.#calls.hasRoom(bearer)) throw tooMany(1, 'Too many calls wait for their answers.');
    const release = this.#calls.acquire(bearer);
    try {
      switch (call.name) {
        case 'me':
          return person;
        case 'sign-out':
          people.signOut(bearer);
          this.#record('signed out', call.address, person.name);
          return {};
        case 'order': {
          const asked = read(orderCallSchema, call.body);
          requireTime(asked.order.kind === 'freeze' ? this.#freezes : this.#orders, bearer);
          return await this.#order(person, asked);
        }
        case 'notifications':
        case 'subscribe':
        case 'unsubscribe':
        case 'test-notification':
          requireTime(this.#orders, bearer);
          return await this.#notify(call.name, call.body, bearer);
        default: {
          const cost = READINGS.get(call.name);
          if (cost === undefined) throw new ApiRefusal(404, 'NotFound', 'There is no such call.');
          requireTime(this.#paces, bearer, cost);
          if (call.name === 'change' && !person.passkey)
            throw new ApiRefusal(403, 'PasskeyNeeded', 'To see what is in a file, sign in with a passkey.');
          const answer = await wire.request(call.name, call.body, call.signal);
          // Its passkey may have been removed meanwhile.
          this.#person(call);
          return answer as object;
        }
      }
    } catch (error) {
      throw refusalOf(error);
    } finally {
      release();
    }
  }

  async #notify(name: PushCall, body: unknown, bearer: string): Promise<object> {
    const { pushes } = this.deps;
    switch (name) {
      case 'notifications':
        return await pushes.notifications(read(PUSH_CALLS[name], body));
      case 'subscribe':
        return pushes.subscribe(read(PUSH_CALLS[name], body), bearer);
      case 'unsubscribe':
        return pushes.unsubscribe(read(PUSH_CALLS[name], body));
      case 'test-notification':
        return await pushes.test(read(PUSH_CALLS[name], body));
    }
  }

  #person({ bearer, address }: ApiCall): SignedIn {
    const refusal = new ApiRefusal(401, 'SignInNeeded', 'Sign in with a passkey.');
    if (bearer === undefined) throw refusal;
    return this.#guess(address, () => this.deps.people.find(bearer), refusal);
  }

  /** What `look` finds; what is not found counts as a guess of its address. */
  #guess<T>(address: string, look: () => T | undefined, refusal: ApiRefusal): T {
    try {
      return this.#guessing.attempt(address, () => {
        const found = look();
        if (found === undefined) throw new Unauthorized();
        return found;
      });
    } catch (error) {
      if (error instanceof GuessingRefused)
        throw tooMany(Number(error.headers['retry-after']), 'Too many wrong tries came from this address.');
      throw error instanceof Unauthorized ? refusal : error;
    }
  }

  #link(answer: Static<typeof linkSchema>, address: string) {
    const { postBox } = this.deps;
    const { link, name, mac, registration, bearer_sha256 } = answer;
    const isLook = [name, mac, registration, bearer_sha256].every((one) => one === undefined);
    const isWhole = name !== undefined && mac !== undefined;
    if (!isLook && (!isWhole || (registration === undefined) === (bearer_sha256 === undefined)))
      throw badRequest('A link is answered with name, mac, and a registration or bearer_sha256.');
    const over = badRequest('over');
    try {
      const found = this.#guess(address, () => postBox.linkAnswer(link), over);
      const { state, why } = found;
      if (state === 'open' && !isLook) postBox.leaveLink(link, answer);
      if (state === 'open' && isLook) return { state, ...(found.name !== undefined && { name: found.name }) };
      // Somebody else has used it.
      if (state !== 'open' && mac !== found.mac) return { state: 'over' };
      return { state, ...(why !== undefined && { why }) };
    } catch (error) {
      if (error === over) return { state: 'over' };
      throw error;
    }
  }

  async #signIn(sent: Static<typeof signInSchema>, address: string) {
    const refusal = new ApiRefusal(
      401,
      'SignInNeeded',
      'This passkey is not linked to this server, or was too slow. To link it again, on the server: sudo agent3 console link',
    );
    const passkey = await this.#signIns.prove(sent);
    try {
      const found = this.#guess(address, () => passkey, refusal);
      this.#record('signed in', address, found.name);
      return this.deps.people.signIn(found);
    } catch (error) {
      // An answer that was not checked, after too many wrong ones, makes no line.
      if (error === refusal) this.#record('a wrong passkey', address);
      throw error;
    }
  }

  /** Has the agent put on record who signs in. An agent that is away does not prevent a sign-in. */
  #record(what: ConsoleSignIn['what'], address: string, by?: string): void {
    const told = { what, address: address.slice(0, MOST_ADDRESS_CHARS), ...(by !== undefined && { by }) };
    this.deps.wire.request('sign-in', told).catch(() => {});
  }

  /** Leaves an order for who obeys it, and waits for what becomes of it. */
  async #order(person: SignedIn, { order, assertion }: Static<typeof orderCallSchema>): Promise<OrderResult> {
    const { postBox } = this.deps;
    const known = order as Order;
    // A client that was revoked does not come back: a session without a passkey only does what can be undone.
    const isWide = isSigned(known) || known.kind === 'revoke';
    if ((isWide && !person.passkey) || (isSigned(known) && assertion === undefined))
      throw new ApiRefusal(403, 'PasskeyNeeded', 'To order this, sign in with a passkey.');
    postBox.leaveOrder({ order: known, by: person.name, ...(assertion !== undefined && { assertion }) });
    const result = isForRoot(known) ? await this.#rootResult(known) : await this.#agentResult(known);
    if (result.state !== 'unknown') postBox.removeOrder(known);
    return result;
  }

  async #rootResult(order: Order): Promise<OrderResult> {
    const found = await waitFor(() => this.deps.postBox.rootResult(order), ORDER_WAIT_MS / 1000, LOOK_MS);
    return found ?? { id: order.id, state: 'unknown' };
  }

  async #agentResult(order: Order): Promise<OrderResult> {
    try {
      return (await this.deps.wire.request('order', { id: order.id, wait_ms: ORDER_WAIT_MS })) as OrderResult;
    } catch (error) {
      // An order that was answered as failed must not be done later.
      if (error instanceof AgentAway) this.deps.postBox.removeOrder(order);
      throw error;
    }
  }
}

/** What was sent. Throws `ApiRefusal`. */
function read<T extends TSchema>(schema: T, body: unknown): Static<T> {
  if (Value.Check(schema, body)) return body;
  const { path = '', message = '' } = Value.Errors(schema, body).First() ?? {};
  throw badRequest(`${path} ${message}`.trim());
}

/** Throws `ApiRefusal` for a person who calls too often. */
function requireTime(buckets: Buckets, bearer: string, calls = 1): void {
  const seconds = buckets.consume(bearer, calls);
  if (seconds > 0) throw tooMany(seconds, 'Too many calls came from this person.');
}

function refusalOf(error: unknown): unknown {
  if (error instanceof AgentAway) return new ApiRefusal(503, 'AgentAway', 'The agent does not answer.', 1);
  if (!(error instanceof WireRefusal)) return error;
  if (error.code === 'TooManyRequests') return tooMany(1, error.message);
  return error.code === 'BadRequest' ? badRequest(error.message) : new ApiRefusal(503, 'AgentAway', error.message, 1);
}
