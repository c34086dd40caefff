import type { SendNotification } from '../../access/webhook.ts';
import { Buckets } from '../../http/limiters.ts';
import { type Clock, delay } from '../../lib/clock.ts';
import { describeErrno } from '../../lib/errors.ts';
import { inTime, publicAddresses, type Sender } from '../../lib/internet.ts';
import type { Logger } from '../../lib/logger.ts';
import { messageOf, type PushKind, type PushMessage, switchOf } from './message.ts';
import { readSubscriptions, type Subscribed, type SubscriptionsPlace } from './subscriptions.ts';

export interface PushesDeps extends SubscriptionsPlace {
  /** `AGENT3_PUSH_KEY`. */
  readonly secret: string;
  /** Whom a push service may ask: a URL or `mailto:`. */
  readonly contact: string;
  readonly network: Sender;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What became of a push to one browser. */
export type PushOutcome =
  | { readonly state: 'sent' | 'gone' }
  | { readonly state: 'failed'; readonly why: string; readonly isTransient: boolean };

/** A push service that has not answered by then has failed. */
const ANSWER_MS = 5000;
/** One that cannot take a push just now is tried again after these. */
const PAUSES_MS = [2000, 15_000];
/** Events of one kind within this time are one push, that of the newest, after a first one at once. */
const TOGETHER_MS = 3000;
/** Pushes of one kind to one browser in a minute; more are dropped. */
const PER_MINUTE = 10;
/** Pushes under way at once; more are dropped. */
const MAX_UNDER_WAY = 64;
/** Addresses of one service that are tried. */
const MOST_ADDRESSES = 4;
/** What the service keeps for a device that is off: a request for approval waits for 10 minutes. */
const TTL_SECONDS: Readonly<Partial<Record<PushKind, number>>> = { waits: 600, test: 60 };
const USUAL_TTL_SECONDS = 86_400;
const URGENT: readonly PushKind[] = ['waits', 'reuse', 'test'];

/** Sends to browsers what happens, by the push services of their makers. Nothing that a command does waits for it. */
export class Pushes {
  /** Kinds that were sent just now; with what has come since. */
  readonly #resting = new Map<PushKind, PushMessage | undefined>();
  readonly #paces: Buckets;
  /** Subscriptions that their service does not know any more, by id and time. */
  readonly #gone = new Set<string>();
  #underWay = 0;
  #faults = '';

  constructor(private readonly deps: PushesDeps) {
    this.#paces = new Buckets(PER_MINUTE, deps.clock);
  }

  /** Sends what an event of the webhook says to those who want it. */
  readonly tell: SendNotification = (type, data) => {
    const message = messageOf(type, data);
    if (message !== undefined) this.#send(message);
  };

  /** What a browser needs to know of this agent to subscribe. */
  async publicKey(): Promise<string> {
    const { pushKeyOf } = await import('./seal.ts');
    return pushKeyOf(this.deps.secret).publicKey;
  }

  /** The ids of subscriptions that are of no use any more. */
  gone(): string[] {
    return this.#read()
      .filter((one) => this.#gone.has(keyOf(one)))
      .map(({ id }) => id);
  }

  /** Sends a push to one browser now, and says what became of it; undefined where it is not subscribed. */
  async test(id: string): Promise<PushOutcome | undefined> {
    const one = this.#read().find((subscribed) => subscribed.id === id);
    if (one === undefined) return undefined;
    if (this.#paces.consume(`${id} test`, 1) > 0)
      return { state: 'failed', why: 'too many pushes within a minute', isTransient: true };
    return await this.#deliver(one, { kind: 'test', id: '' });
  }

  #send(message: PushMessage): void {
    const { kind } = message;
    if (this.#resting.has(kind)) {
      this.#resting.set(kind, message);
      return;
    }
    this.#resting.set(kind, undefined);
    setTimeout(() => {
      const newest = this.#resting.get(kind);
      this.#resting.delete(kind);
      if (newest !== undefined) this.#send(newest);
    }, TOGETHER_MS).unref();
    const wanted = switchOf(kind);
    for (const one of this.#read()) {
      const isWanted = wanted === undefined || one.events.includes(wanted);
      if (isWanted && !this.#gone.has(keyOf(one))) void this.#sendTo(one, message);
    }
  }

  async #sendTo(one: Subscribed, message: PushMessage): Promise<void> {
    const { logger } = this.deps;
    const host = one.service.hostname;
    if (this.#underWay >= MAX_UNDER_WAY || this.#paces.consume(`${one.id} ${message.kind}`, 1) > 0) {
      logger.warn({ service: host, kind: message.kind }, 'too many pushes: this one was dropped');
      return;
    }
    this.#underWay++;
    try {
      for (const pause of [...PAUSES_MS, undefined]) {
        const outcome = await this.#deliver(one, message);
        if (outcome.state !== 'failed') return;
        if (pause === undefined || !outcome.isTransient) {
          logger.warn({ service: host, kind: message.kind, why: outcome.why }, 'a push was not taken');
          return;
        }
        await delay(pause);
      }
    } finally {
      this.#underWay--;
    }
  }

  async #deliver(one: Subscribed, message: PushMessage): Promise<PushOutcome> {
    const { network, clock, secret, contact } = this.deps;
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const { authorization, pushKeyOf, seal } = await import('./seal.ts');
      const body = seal(message, one);
      const headers = {
        authorization: authorization(pushKeyOf(secret), one.service, contact, clock.now()),
        'content-type': 'application/octet-stream',
        'content-encoding': 'aes128gcm',
        ttl: String(TTL_SECONDS[message.kind] ?? USUAL_TTL_SECONDS),
        urgency: URGENT.includes(message.kind) ? 'high' : 'normal',
        // A newer one of the same kind takes the place of one that is not delivered yet.
        topic: message.kind,
      };
      const addresses = await inTime(publicAddresses(network, one.service.hostname), signal);
      if (addresses.length === 0) return failed('it has no public address here', false);
      const response = await inTime(
        firstOf(addresses.slice(0, MOST_ADDRESSES), (address) =>
          network.post(one.service, address, signal, { headers, body }),
        ),
        signal,
      );
      // Only the status of its answer is of use.
      void response.body?.cancel().catch(() => {});
      return this.#judge(one, response.status);
    } catch (error) {
      if (signal.aborted) return failed(`it did not answer in ${ANSWER_MS / 1000} s`, true);
      return failed(describeErrno(error), true);
    }
  }

  #judge(one: Subscribed, status: number): PushOutcome {
    if (status >= 200 && status < 300) return { state: 'sent' };
    if (status !== 404 && status !== 410) return failed(`it answered ${status}`, status === 429 || status >= 500);
    this.#gone.add(keyOf(one));
    return { state: 'gone' };
  }

  /** What cannot be read is told once. */
  #read(): readonly Subscribed[] {
    const { clock, logger } = this.deps;
    try {
      const { subscriptions, faults } = readSubscriptions(this.deps, clock.now());
      const told = faults.slice(0, 5).join('\n');
      if (told !== '' && told !== this.#faults) logger.warn({ faults: faults.slice(0, 5) }, 'these get no pushes');
      this.#faults = told;
      return subscriptions;
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#faults) logger.warn({ fault }, 'nobody gets pushes');
      this.#faults = fault;
      return [];
    }
  }
}

function keyOf({ id, made_at }: Subscribed): string {
  return `${id} ${made_at}`;
}

function failed(why: string, isTransient: boolean): PushOutcome {
  return { state: 'failed', why, isTransient };
}

/** Returns the result of the first address that can be reached. Throws the error of the last one. */
async function firstOf<T>(addresses: readonly string[], ask: (address: string) => Promise<T>): Promise<T> {
  const [address = '', ...more] = addresses;
  try {
    return await ask(address);
  } catch (error) {
    if (more.length === 0) throw error;
    return await firstOf(more, ask);
  }
}
