import type { ApprovalRequest } from '../../access/approval-request.ts';
import { requestText } from '../../access/request-text.ts';
import { hex, sha256 } from '../order.ts';
import type { Person, Piece, State, Stream, Watched } from '../shown.ts';
import type { ShownFleet, WatchedFleet } from '../shown-servers.ts';
import { ApiError, isSignedIn, keepBearer, post } from './api.ts';
import { stopNotifying } from './notify.ts';
import { type ReadPlan, readParts, readPlan } from './read-plan.ts';
import { rememberServers, waitingItems } from './servers.ts';

/** What the views show. */
export interface Screen {
  readonly person: Person | undefined;
  readonly state: State | undefined;
  /** The servers, where this is the console of a hub. */
  readonly fleet: ShownFleet | undefined;
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
const POLL_TIMEOUT_MS = POLL_MS + 10_000;
/** How long a sign-out waits for a terminal to be handed back, which needs who is signed in. */
const SIGN_OUT_MS = 4000;
/** Between two polls, so that a session that never stops writing leaves time for the page. */
const BREATH_MS = 30;
const HIDDEN_MS = 15_000;
/** The same of the servers, of which many change at once. */
const FLEET_BREATH_MS = 200;
/** All of a hundred servers that work is 200 KB. */
const BREATH_OF_SERVER_MS = 15;
const FLEET_RETRY_MS = 2000;
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [500, 10_000];

/** What the page knows, and the one long poll that keeps it new. */
export class Desk {
  screen: Screen = { person: undefined, state: undefined, fleet: undefined, connection: 'new', ended: false };
  /** How far the clock of the server is ahead of this one. */
  #aheadMs = 0;
  #version = 0;
  #isWatching = false;
  #poll = new AbortController();
  #fleetPoll = new AbortController();
  readonly #sleeping = new Set<() => void>();
  readonly #followed = new Map<string, Followed>();
  readonly #listeners = new Set<() => void>();
  readonly #leaving = new Set<() => Promise<void>>();
  readonly #requests = new Map<string, Promise<ReadRequest>>();
  #isWatchingFleet = false;
  readonly #plans = new Map<string, Promise<ReadPlan>>();

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

  /** Calls `listener` when somebody is about to sign out, and waits for it. Returns a function that ends this. */
  beforeSignOut(listener: () => Promise<void>): () => void {
    this.#leaving.add(listener);
    return () => this.#leaving.delete(listener);
  }

  /** Forgets who was signed in; on the console as well. */
  async signOut(): Promise<void> {
    const left = Promise.allSettled([...this.#leaving].map((listener) => listener()));
    await Promise.race([left, new Promise((go) => setTimeout(go, SIGN_OUT_MS))]);
    await stopNotifying().catch(() => {});
    await post('sign-out').catch(() => {});
    this.#forget(false);
  }

  #forget(ended: boolean): void {
    keepBearer(undefined);
    rememberServers([]);
    this.#followed.clear();
    this.#requests.clear();
    this.#plans.clear();
    this.#version = 0;
    this.#show({ person: undefined, state: undefined, fleet: undefined, connection: 'new', ended });
    this.#poll.abort();
    this.#fleetPoll.abort();
    this.#wake();
  }

  /** Follows the output of a session from its last 64 KiB on. Returns a function that ends this. */
  follow(session: string, follower: Follower): () => void {
    const followed = { follower, at: { stdout: -1, stderr: -1 } };
    this.#followed.set(session, followed);
    this.#poll.abort();
    this.#wake();
    return () => {
      if (this.#followed.get(session) === followed) this.#followed.delete(session);
    };
  }

  /** The approval request of a session, with the digest of what is shown. Asked for once. `server`: the key of another server. */
  request(session: string, server?: string): Promise<ReadRequest> {
    const id = server === undefined ? session : `${server}/${session}`;
    const known = this.#requests.get(id);
    if (known !== undefined) return known;
    const reading = readRequest(session, server);
    this.#requests.set(id, reading);
    reading.catch(() => this.#requests.delete(id));
    return reading;
  }

  /** A plan that waits, with the digest of what is shown. Asked for once. */
  plan(run: string): Promise<ReadPlan> {
    const known = this.#plans.get(run);
    if (known !== undefined) return known;
    const reading = readPlan(run);
    this.#plans.set(run, reading);
    reading.catch(() => this.#plans.delete(run));
    return reading;
  }

  async #watch(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (isSignedIn()) {
      this.#poll = new AbortController();
      const timeout = AbortSignal.timeout(POLL_TIMEOUT_MS);
      try {
        const [person, watched] = await Promise.all([
          this.screen.person ?? post<Person>('me', {}, timeout),
          post<Watched>('watch', this.#question(), AbortSignal.any([this.#poll.signal, timeout])),
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
    for (const run of this.#plans.keys()) if (!state.plans.some((one) => one.run === run)) this.#plans.delete(run);
    this.#show({ state, connection: 'ok' });
    this.#forgetRequests();
    if (state.hub !== undefined) void this.#watchFleet();
    else rememberServers([]);
  }

  #forgetRequests(): void {
    const waiting = new Set(waitingItems(this.screen).map(({ id }) => id));
    for (const id of this.#requests.keys()) if (!waiting.has(id)) this.#requests.delete(id);
  }

  /** The other long poll: of the servers, while this is the console of a hub. */
  async #watchFleet(): Promise<void> {
    if (this.#isWatchingFleet) return;
    this.#isWatchingFleet = true;
    for (let version = 0; isSignedIn() && this.screen.state?.hub !== undefined; ) {
      this.#fleetPoll = new AbortController();
      const signal = AbortSignal.any([this.#fleetPoll.signal, AbortSignal.timeout(POLL_TIMEOUT_MS)]);
      try {
        const question = { version, wait_ms: document.hidden ? 0 : POLL_MS };
        const watched = await post<WatchedFleet>('servers', question, signal);
        if (!isSignedIn()) break;
        version = watched.version;
        if (watched.fleet !== undefined) {
          rememberServers(watched.fleet.servers);
          this.#show({ fleet: watched.fleet });
        }
        this.#forgetRequests();
        const servers = this.screen.fleet?.servers.length ?? 0;
        await this.#pause(document.hidden ? HIDDEN_MS : FLEET_BREATH_MS + servers * BREATH_OF_SERVER_MS);
      } catch {
        // The first poll says what is wrong.
        version = 0;
        await this.#pause(FLEET_RETRY_MS);
      }
    }
    this.#isWatchingFleet = false;
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
      const wake = (): void => {
        clearTimeout(timer);
        this.#sleeping.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleeping.add(wake);
    });
  }

  #wake(): void {
    for (const wake of this.#sleeping) wake();
  }
}

/** An approval request as it came, and the SHA-256 that an order names. */
export interface ReadRequest {
  readonly request: ApprovalRequest;
  readonly digest: string;
}

async function readRequest(session: string, server: string | undefined): Promise<ReadRequest> {
  const text = await readParts((from) =>
    server === undefined
      ? post('request', { session, from })
      : post('server-reading', { server, op: 'request', args: { session, from } }),
  );
  const request: ApprovalRequest = JSON.parse(text);
  return { request, digest: hex(await sha256(requestText(request))) };
}
