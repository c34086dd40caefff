import { randomUUID } from 'node:crypto';
import { loadavg } from 'node:os';
import type { Approvals } from '../access/approvals.ts';
import { canUse } from '../access/profile.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { AccessLapsed } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { distribution } from '../operations/server-info.ts';
import { version } from '../version.ts';
import { EnvelopeFault, type FleetReply, type FleetRequest, open, REPLY, REQUEST, STATE, seal } from './envelope.ts';
import { type SigningKey, tagOf, Verifier } from './keys.ts';
import { type Answered, type MemberCallDeps, MemberCalls } from './member-calls.ts';
import { hubKeyOf, type Membership } from './membership.ts';
import { isRefused, keepConnected, type Msg, type NatsConnection } from './nats.ts';
import { answerSubject, rpcSubject, stateSubject } from './nats-config.ts';
import { isForServers } from './operations.ts';
import { RequestWindow } from './window.ts';

export interface MemberDeps extends MemberCallDeps {
  /** The number of the list of the hub's passkeys that is pinned here; undefined: none. */
  readonly hubKeys: () => number | undefined;
  readonly approvals: Pick<Approvals, 'count' | 'subscribe'>;
  readonly logger: Logger;
}

/** A call that takes longer is answered `begun` first. Most answers are quicker. */
const BEGUN_MS = 250;
/** How often an idle server sends its state. */
const STATE_MS = 20_000;
/** Approval requests that begin and end within this time are one message: the hub ignores a server that sends too many. */
const WAITING_MS = 1000;
/** Pause between two log lines about invalid messages. */
const TOLD_MS = 60_000;

/** The server's side: connects to the hub and answers its calls like those of any client. */
export class Member implements Disposable {
  readonly #window: RequestWindow;
  readonly #hub: Verifier;
  readonly #answers: MemberCalls;
  readonly #cancels = new Map<string, OneShotEvent>();
  #connection: NatsConnection | undefined;
  /** Of the connection: an answer of an earlier one goes another way. */
  #count = 0;
  #isOver = false;
  #calls = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #isLeaving = false;
  #saidWaiting = 0;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #state = { isConnected: false, since: Date.now() };
  readonly #end: DisposableStack = new DisposableStack();

  constructor(
    private readonly deps: MemberDeps,
    private readonly membership: Membership,
    private readonly key: SigningKey,
  ) {
    const begun = performance.now();
    this.#window = new RequestWindow(key.publicKey, randomUUID(), () => performance.now() - begun);
    this.#hub = new Verifier(hubKeyOf(membership));
    this.#answers = new MemberCalls(deps, membership, key.publicKey, this.#window.instance);
  }

  /** Calls of the hub that wait for their answers. */
  get pending(): number {
    return this.#calls;
  }

  /** Whether it is connected to the hub, and since when, in milliseconds since the epoch. */
  get state(): { readonly isConnected: boolean; readonly since: number } {
    return this.#state;
  }

  /** Connects, and stays connected until it is disposed of. */
  start(): void {
    const timer = setInterval(() => this.sendState(), STATE_MS);
    timer.unref();
    this.#end.defer(() => clearInterval(timer));
    this.#end.defer(this.deps.freeze.subscribe(() => this.sendState()));
    this.#end.defer(this.deps.approvals.subscribe(() => this.#waitingChanged()));
    this.#end.defer(
      this.deps.shutdown.subscribe(() => {
        this.#isLeaving = true;
        this.sendState();
      }),
    );
    this.#connect().catch((error: unknown) => this.#notConnected(error));
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isLeaving = true;
    this.sendState();
    clearTimeout(this.#soon);
    this.#end.dispose();
    for (const cancelled of this.#cancels.values()) cancelled.fire();
    void this.#connection?.close();
  }

  async #connect(): Promise<void> {
    const { url, certificate, hub } = this.membership;
    const address = { url, certificate, key: this.key, name: `agent3 ${tagOf(this.key.publicKey)}` };
    await keepConnected(address, {
      isOver: () => this.#isOver,
      opened: (connection) => this.#opened(connection),
      connected: () => this.#connected(),
      lost: () => {
        this.#state = { isConnected: false, since: Date.now() };
        this.deps.logger.warn({ hub }, 'the connection to the hub is lost: commands continue');
      },
      failed: (error) => this.#notConnected(error),
    });
  }

  #opened(connection: NatsConnection): void {
    this.#connection = connection;
    if (this.#isOver) return void connection.close();
    connection.subscribe(rpcSubject(this.key.publicKey), {
      callback: (error, message) => {
        if (error !== null) return;
        this.#receive(message).catch((fault: unknown) => this.#tell({ err: fault }, 'a call was not answered'));
      },
    });
  }

  #connected(): void {
    if (this.#isOver) return;
    this.#toldMs = Number.NEGATIVE_INFINITY;
    this.#state = { isConnected: true, since: Date.now() };
    this.deps.logger.info({ hub: this.membership.hub, server: this.membership.name }, 'connected to the hub');
    this.sendState();
  }

  #notConnected(error: unknown): void {
    const why = isRefused(error)
      ? 'the hub does not know this server any more, and cannot call it. To stop trying: sudo agent3 leave'
      : 'the hub cannot be reached; the server tries again';
    const { hub, name } = this.membership;
    this.#tell({ hub, server: name, fault: error instanceof Error ? error.message : String(error) }, why);
  }

  /** Writes a log line, at most one a minute. */
  #tell(fields: Readonly<Record<string, unknown>>, text: string): void {
    const now = performance.now();
    if (now - this.#toldMs < TOLD_MS) return;
    this.#toldMs = now;
    this.deps.logger.warn(fields, text);
  }

  async #receive(message: Msg): Promise<void> {
    const request = this.#read(message.data);
    if (request === undefined) return;
    const answer = (kind: FleetReply['kind'], answered: Answered = NOTHING): void => {
      this.#reply({ id: request.id, kind, ...answered });
    };
    switch (this.#window.admit(request)) {
      case 'foreign':
        return this.#tell({ server: request.server }, 'a request for another server came from the hub');
      case 'repeated':
        return this.#tell({ id: request.id }, 'a request came a second time, and was not run again');
      case 'stale':
        if (request.op === 'state') this.sendState();
        return answer('stale');
      case 'new':
        if (request.op === 'cancel') return this.#cancels.get(cancelledBy(request))?.fire();
        return this.#run(request, message.data, answer);
    }
  }

  #read(data: Uint8Array): FleetRequest | undefined {
    try {
      return open(REQUEST, data, this.#hub);
    } catch (error) {
      if (!(error instanceof EnvelopeFault)) throw error;
      this.#tell({ fault: error.message }, 'a message that is not from the hub was ignored');
      return undefined;
    }
  }

  async #run(
    request: FleetRequest,
    message: Uint8Array,
    answer: (kind: FleetReply['kind'], answered?: Answered) => void,
  ) {
    this.#calls++;
    const begun = setTimeout(answer, BEGUN_MS, 'begun');
    const cancelled = new OneShotEvent();
    this.#cancels.set(request.id, cancelled);
    try {
      answer('answer', await this.#answers.answer(request, message, cancelled));
    } finally {
      clearTimeout(begun);
      this.#cancels.delete(request.id);
      this.#calls--;
    }
  }

  #reply({ bytes, ...reply }: Pick<FleetReply, 'id' | 'kind'> & Answered): void {
    const { publicKey: server } = this.key;
    const { instance, clock } = this.#window;
    this.#send(() => {
      // On a subject of its own: NATS forgets which requests may be answered when it reads its configuration again.
      this.#publish(
        answerSubject(server),
        seal(REPLY, { server, instance, clock: clock(), ...reply }, this.key, bytes),
      );
    });
  }

  /** Sends the hub the number of waiting requests: at once, then at most once in `WAITING_MS`. */
  #waitingChanged(): void {
    if (this.#soon !== undefined) return;
    const say = (): void => {
      if (this.deps.approvals.count !== this.#saidWaiting && !this.#isOver) this.sendState();
    };
    say();
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      say();
    }, WAITING_MS);
    this.#soon.unref();
  }

  /** Sends the state of this server to the hub. */
  sendState(): void {
    const { publicKey: server } = this.key;
    const keys = this.deps.hubKeys();
    const { instance, clock } = this.#window;
    const state = {
      ...{ server, instance, clock: clock(), count: ++this.#count, version, os: distribution().slice(0, 200) },
      load: loadavg().map((value) => Math.round(value * 100) / 100),
      frozen: this.deps.freeze.isFrozen,
      ...this.#allowed(),
      leaving: this.#isLeaving,
      ...(keys !== undefined && { keys }),
      waiting: this.deps.approvals.count,
    };
    this.#saidWaiting = state.waiting;
    this.#send(() => this.#publish(stateSubject(server), seal(STATE, state, this.key)));
  }

  /** Returns the most that the hub may do on this server. */
  #allowed(): { readonly profile: string; readonly operations: string[] } {
    const { profile: name } = this.membership;
    try {
      const profile = this.deps.access.promisedProfile(this.deps.hubAccess.admit('hub', 'profile'));
      const names = this.deps.operations.map((operation) => operation.name);
      return { profile: name, operations: names.filter((one) => isForServers(one) && canUse(profile, one)) };
    } catch (error) {
      if (!(error instanceof AccessLapsed)) throw error;
      return { profile: name, operations: [] };
    }
  }

  /** NATS may be hostile and refuse a message. A refused message has no other effect here. */
  #send(send: () => void): void {
    try {
      send();
    } catch (error) {
      this.#tell({ err: error }, 'a message to the hub could not be sent');
    }
  }

  #publish(subject: string, data: Uint8Array): void {
    if (this.#connection?.isClosed() === false) this.#connection.publish(subject, data);
  }
}

const NOTHING: Answered = { status: 0, headers: {}, body: null };

function cancelledBy({ args }: FleetRequest): string {
  return typeof args === 'object' && args !== null && 'id' in args && typeof args.id === 'string' ? args.id : '';
}
