import { type Static, Type } from '@sinclair/typebox';
import type { Approvals } from '../access/approvals.ts';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import type { SessionStore } from '../sessions/store.ts';
import { readAsked as read } from './asked.ts';
import { WireRefusal } from './channel.ts';
import { hasGrown, readFollowed } from './follow.ts';
import { outputPart } from './past-sessions.ts';
import type { Watched } from './shown.ts';
import type { View } from './view.ts';

export interface ReadingDeps {
  readonly view: View;
  readonly store: SessionStore;
  readonly approvals: Approvals;
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

const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const OFFSET = Type.Integer({ minimum: -1 });
const COUNT = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const ASKED = {
  watch: Type.Object({
    version: Type.Integer(),
    follow: Type.Array(Type.Object({ session: UUID, stdout: OFFSET, stderr: OFFSET }), { maxItems: MAX_FOLLOWED }),
    wait_ms: Type.Integer({ minimum: 0, maximum: MAX_WAIT_MS }),
  }),
  request: Type.Object({ session: UUID, from: COUNT }),
  output: Type.Object({
    session: UUID,
    stream: Type.Union([Type.Literal('stdout'), Type.Literal('stderr')]),
    from: COUNT,
    bytes: Type.Integer({ minimum: 1, maximum: 262_144 }),
  }),
};

type Asked = { readonly [Name in keyof typeof ASKED]: Static<(typeof ASKED)[Name]> };

/** What an agent shows of itself as it is now: to its own console, and to that of its hub. Nothing here changes anything. */
export class ReadingDoor {
  /** The text of the request that was read last: it is asked for in parts. */
  #read: { readonly session: string; readonly text: string } | undefined;

  constructor(private readonly deps: ReadingDeps) {}

  /** The answer to an operation, made when it can be sent; undefined: it is another one. Rejects with `WireRefusal`. */
  async answer(op: string, args: unknown, signal: AbortSignal): Promise<(() => unknown) | undefined> {
    const { view, store } = this.deps;
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
      case 'output': {
        const { session, stream, from, bytes } = read(ASKED.output, args);
        return () => outputPart(store, session, stream, from, bytes);
      }
      default:
        return undefined;
    }
  }

  /** Waits until something is new; the answer has what is new when it is made. */
  async #watch({ version, follow, wait_ms }: Asked['watch'], signal: AbortSignal): Promise<() => Watched> {
    const { view, store } = this.deps;
    const deadline = Deadline.after(wait_ms / 1000);
    const aborted = new OneShotEvent();
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
