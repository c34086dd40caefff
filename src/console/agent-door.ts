import { type Static, Type } from '@sinclair/typebox';
import type { Approvals } from '../access/approvals.ts';
import type { Trail } from '../audit/trail.ts';
import { Buckets } from '../http/limiters.ts';
import { Deadline, SignalOnce, systemClock } from '../lib/clock.ts';
import { visibleLine } from '../lib/visible.ts';
import type { SessionStore } from '../sessions/store.ts';
import { readAsked as read } from './asked.ts';
import { WireRefusal } from './channel.ts';
import { hasGrown, readFollowed } from './follow.ts';
import type { Inbox } from './inbox.ts';
import { describeSender } from './order-rules.ts';
import type { Past } from './past.ts';
import type { Pushes } from './push/pushes.ts';
import type { Clients, Server, Watched } from './shown.ts';
import { signedFrameSchema, type TakeOvers } from './take-over.ts';
import type { View } from './view.ts';
import type { Answer } from './wire-server.ts';

export interface DoorDeps {
  readonly view: View;
  readonly inbox: Inbox;
  readonly takeOvers: TakeOvers;
  readonly store: SessionStore;
  readonly approvals: Approvals;
  readonly past: Past;
  readonly clients: () => Promise<Clients>;
  readonly trail: Pick<Trail, 'console'>;
  readonly server: () => Server;
  /** Undefined: the agent has no key for it. */
  readonly pushes: Pushes | undefined;
}

/** The longest that an answer waits. */
const MAX_WAIT_MS = 25_000;
/** Streams that one question follows. */
const MAX_FOLLOWED = 64;
/** How often it is looked whether a stream has grown that somebody follows. */
const GROWTH_MS = 50;
/** Changes that come within this time are one answer. */
const TOGETHER_MS = 20;
/** A request that is read in parts is put into text once. */
const KEPT_MS = 10_000;
/** Characters of a request in one answer: at most three bytes each. */
const PART_CHARS = 262_144;

/** Lines of the record about sign-ins, in a minute. */
const SIGN_INS_PER_MINUTE = 60;

const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const OFFSET = Type.Integer({ minimum: -1 });
const WAIT = Type.Integer({ minimum: 0, maximum: MAX_WAIT_MS });

/** What the console asks, by the operations. */
const ASKED = {
  state: Type.Object({}),
  watch: Type.Object({
    version: Type.Integer(),
    follow: Type.Array(Type.Object({ session: UUID, stdout: OFFSET, stderr: OFFSET }), { maxItems: MAX_FOLLOWED }),
    wait_ms: WAIT,
  }),
  request: Type.Object({ session: UUID, from: Type.Integer({ minimum: 0 }) }),
  clients: Type.Object({}),
  type: signedFrameSchema,
  order: Type.Object({ id: UUID, wait_ms: WAIT }),
  'test-push': Type.Object({ id: UUID }),
  'sign-in': Type.Object({
    what: Type.Union([Type.Literal('signed in'), Type.Literal('signed out'), Type.Literal('a wrong passkey')]),
    by: Type.Optional(Type.String({ maxLength: 100 })),
    address: Type.String({ maxLength: 64 }),
  }),
};

type Asked = { readonly [Name in keyof typeof ASKED]: Static<(typeof ASKED)[Name]> };

/** What the agent shows to the console. */
export class AgentDoor {
  /** The text of the request that was read last: it is asked for in parts. */
  #read: { readonly session: string; readonly text: string } | undefined;

  readonly #signIns = new Buckets(SIGN_INS_PER_MINUTE, systemClock);

  constructor(private readonly deps: DoorDeps) {}

  readonly answer: Answer = async ({ op, args, signal }) => {
    const { view, inbox, clients } = this.deps;
    switch (op) {
      case 'state':
        return () => view.state();
      case 'watch':
        return this.#watch(read(ASKED.watch, args), signal);
      case 'request': {
        const asked = read(ASKED.request, args);
        // Not before it can be sent: of many questions that nobody reads the answers of, no text is held.
        return () => this.#request(asked);
      }
      case 'type': {
        const typed = await this.deps.takeOvers.type(read(ASKED.type, args));
        return () => typed;
      }
      case 'clients': {
        const found = await clients();
        return () => found;
      }
      case 'server':
        return this.deps.server;
      case 'order': {
        const { id, wait_ms } = read(ASKED.order, args);
        const result = await inbox.result(id, wait_ms);
        return () => result;
      }
      case 'sign-in': {
        const { what, by, address } = read(ASKED['sign-in'], args);
        // Of so many of them, a console that was taken over could fill the record.
        if (this.#signIns.consume('', 1) > 0) throw new WireRefusal('TooManyRequests', 'Too many sign-ins.');
        const who = by === undefined ? undefined : describeSender({ by });
        this.deps.trail.console(what, { by: who, address: visibleLine(address) });
        return () => ({});
      }
      case 'push': {
        const { pushes } = this.deps;
        const state = { public_key: (await pushes?.publicKey()) ?? null, gone: pushes?.gone() ?? [] };
        return () => state;
      }
      case 'test-push': {
        const outcome = await this.deps.pushes?.test(read(ASKED['test-push'], args).id);
        if (outcome === undefined) throw new WireRefusal('BadRequest', 'Notifications are off on this device.');
        return () => outcome;
      }
      default: {
        const past = await this.deps.past.answer(op, args);
        if (past !== undefined) return past;
        throw new WireRefusal('BadRequest', 'There is no such operation.');
      }
    }
  };

  /** Waits until something is new; the answer has what is new when it is made. */
  async #watch({ version, follow, wait_ms }: Asked['watch'], signal: AbortSignal): Promise<() => Watched> {
    const { view, store } = this.deps;
    const deadline = Deadline.after(wait_ms / 1000);
    const aborted = new SignalOnce();
    signal.addEventListener('abort', () => aborted.fire(), { once: true });
    using _watched = view.watch();
    for (let isFirst = true; ; isFirst = false) {
      const { changed } = view;
      if (signal.aborted) throw new WireRefusal('BadRequest', 'It was taken back.');
      const hasNews = view.version !== version || hasGrown(store, follow);
      if (hasNews && !isFirst) await deadline.orAfter(TOGETHER_MS / 1000).waitFor(aborted);
      if (hasNews || deadline.passed) break;
      await (follow.length === 0 ? deadline : deadline.orAfter(GROWTH_MS / 1000)).waitFor(changed, aborted);
    }
    return () => {
      const state = view.state();
      const isNew = view.version !== version;
      return { version: view.version, ...(isNew && { state }), ...readFollowed(store, follow) };
    };
  }

  /** Throws `WireRefusal`. */
  #request({ session, from }: Asked['request']): { readonly text: string; readonly next: number | null } {
    const waiting = this.deps.approvals.waiting().find(({ request }) => request.session === session);
    if (waiting === undefined) throw new WireRefusal('BadRequest', 'Nothing waits for approval under this id.');
    const { text } =
      this.#read?.session === session ? this.#read : this.#keep(session, JSON.stringify(waiting.request));
    const next = from + PART_CHARS;
    return { text: text.slice(from, next), next: next < text.length ? next : null };
  }

  #keep(session: string, text: string) {
    const kept = { session, text };
    this.#read = kept;
    setTimeout(() => {
      if (this.#read === kept) this.#read = undefined;
    }, KEPT_MS).unref();
    return kept;
  }
}
