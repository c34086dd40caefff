import type { ApprovalRequest } from '../../access/approval-request.ts';
import { requestText } from '../../access/request-text.ts';
import { hex, sha256 } from '../order.ts';
import type { Person, Piece, State, Stream, Watched } from '../shown.ts';
import { ApiError, isSignedIn, keepBearer, post } from './api.ts';
import { stopNotifying } from './notify.ts';

/** What the views show. */
export interface Screen {
  readonly person: Person | undefined;
  readonly state: State | undefined;
  readonly connection: 'new' | 'ok' | 'lost' | 'away';
  /** Why nobody is signed in any more. */
  readonly ended: boolean;
}

/** One that shows the output of a session. */
export interface Follower {
  /** Bytes of a stream from an offset on; `skipped` bytes before them are not shown. */
  write(stream: Stream, bytes: Uint8Array, skipped: number): void;
}

interface Followed {
  readonly follower: Follower;
  readonly at: Record<Stream, number>;
}

const POLL_MS = 20_000;
/** The console answers a poll at its time at the latest; the rest is the way. */
const POLL_PATIENCE_MS = POLL_MS + 10_000;
/** Between two polls, so that a session that never stops writing leaves time for the page. */
const BREATH_MS = 30;
const HIDDEN_MS = 15_000;
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [500, 10_000];

/** What the page knows, and the one long poll that keeps it new. */
export class Desk {
  screen: Screen = { person: undefined, state: undefined, connection: 'new', ended: false };
  /** How far the clock of the server is ahead of this one. */
  #aheadMs = 0;
  #version = 0;
  #isWatching = false;
  #poll = new AbortController();
  #wake: () => void = () => {};
  readonly #followed = new Map<string, Followed>();
  readonly #listeners = new Set<() => void>();
  readonly #leaving = new Set<() => void>();
  readonly #requests = new Map<string, Promise<ReadRequest>>();

  constructor() {
    const wake = (): void => this.#wake();
    addEventListener('online', wake);
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) wake();
    });
  }

  /** The time of the server. */
  now(): number {
    return Date.now() + this.#aheadMs;
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #show(change: Partial<Screen>): void {
    this.screen = { ...this.screen, ...change };
    for (const listener of this.#listeners) listener();
  }

  /** Begins to watch, where somebody is signed in. */
  start(): void {
    if (this.#isWatching || !isSignedIn()) return;
    this.#isWatching = true;
    this.#show({ ended: false });
    void this.#watch().finally(() => {
      this.#isWatching = false;
    });
  }

  /** Calls `listener` when somebody is about to sign out; gives what ends that. */
  beforeSignOut(listener: () => void): () => void {
    this.#leaving.add(listener);
    return () => this.#leaving.delete(listener);
  }

  /** Forgets who was signed in; on the console as well. */
  async signOut(): Promise<void> {
    for (const listener of this.#leaving) listener();
    await stopNotifying().catch(() => {});
    await post('sign-out').catch(() => {});
    this.#forget(false);
  }

  #forget(ended: boolean): void {
    keepBearer(undefined);
    this.#followed.clear();
    this.#requests.clear();
    this.#version = 0;
    this.#show({ person: undefined, state: undefined, connection: 'new', ended });
    this.#poll.abort();
    this.#wake();
  }

  /** Follows the output of a session from its last 64 KiB on; gives what ends that. */
  follow(session: string, follower: Follower): () => void {
    const followed = { follower, at: { stdout: -1, stderr: -1 } };
    this.#followed.set(session, followed);
    this.#poll.abort();
    this.#wake();
    return () => {
      if (this.#followed.get(session) === followed) this.#followed.delete(session);
    };
  }

  /** The approval request of a session, with the digest of what is shown. Asked for once. */
  request(session: string): Promise<ReadRequest> {
    const known = this.#requests.get(session);
    if (known !== undefined) return known;
    const reading = readRequest(session);
    this.#requests.set(session, reading);
    reading.catch(() => this.#requests.delete(session));
    return reading;
  }

  async #watch(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (isSignedIn()) {
      this.#poll = new AbortController();
      const patience = AbortSignal.timeout(POLL_PATIENCE_MS);
      try {
        const [person, watched] = await Promise.all([
          this.screen.person ?? post<Person>('me', {}, patience),
          post<Watched>('watch', this.#question(), AbortSignal.any([this.#poll.signal, patience])),
        ]);
        if (!isSignedIn()) break;
        if (this.screen.person === undefined) this.#show({ person });
        this.#take(watched);
        retryMs = FIRST_RETRY_MS;
        await this.#pause(document.hidden ? HIDDEN_MS : BREATH_MS);
      } catch (error) {
        if (this.#poll.signal.aborted) continue;
        if (error instanceof ApiError && error.code === 'SignInNeeded') return this.#forget(true);
        // The versions of an agent that was started again are others.
        this.#version = 0;
        const isAway = error instanceof ApiError && error.code === 'AgentAway';
        this.#show({ connection: isAway ? 'away' : 'lost' });
        await this.#pause(error instanceof ApiError ? Math.max(retryMs, error.retryAfterMs) : retryMs);
        retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
      }
    }
  }

  #question() {
    const follow = document.hidden ? [] : [...this.#followed].map(([session, { at }]) => ({ session, ...at }));
    return { version: this.#version, follow, wait_ms: document.hidden ? 0 : POLL_MS };
  }

  #take({ version, state, pieces }: Watched): void {
    this.#version = version;
    for (const piece of pieces) this.#deliver(piece);
    if (state === undefined) {
      if (this.screen.connection !== 'ok') this.#show({ connection: 'ok' });
      return;
    }
    this.#aheadMs = state.now - Date.now();
    for (const session of this.#requests.keys())
      if (!state.waiting.some((one) => one.session === session)) this.#requests.delete(session);
    this.#show({ state, connection: 'ok' });
  }

  #deliver({ session, stream, from, base64 }: Piece): void {
    const followed = this.#followed.get(session);
    if (followed === undefined) return;
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const expected = Math.max(0, followed.at[stream]);
    followed.at[stream] = from + bytes.length;
    followed.follower.write(stream, bytes, Math.max(0, from - expected));
  }

  /** Waits; less when the page is seen again, is online again, or has a new follower. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** An approval request as it came, and the SHA-256 that an order names. */
export interface ReadRequest {
  readonly request: ApprovalRequest;
  readonly digest: string;
}

async function readRequest(session: string): Promise<ReadRequest> {
  let text = '';
  for (let from: number | null = 0; from !== null; ) {
    const part: { text: string; next: number | null } = await post('request', { session, from });
    text += part.text;
    from = part.next;
  }
  const request: ApprovalRequest = JSON.parse(text);
  return { request, digest: hex(await sha256(requestText(request))) };
}
