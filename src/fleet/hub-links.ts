import type { Access } from '../access/access.ts';
import type { Profile } from '../access/profile.ts';
import type { Answer, CallContext } from '../calls/context.ts';
import { framesOf } from '../files/carrier.ts';
import { requireFree } from '../files/download.ts';
import type { Linked, LinkedDownload, LinkedUpload, Links, LinkVisit } from '../files/linked.ts';
import { idOf, LINK_SECONDS, noSuchLink, type Transfers } from '../files/transfers.ts';
import { endedOnItsWay, requireNext } from '../files/upload.ts';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { OutcomeUnknown, TooManyRequests } from '../lib/errors.ts';
import { Shares, type Turns } from '../lib/shares.ts';
import { answerOf } from './answers.ts';
import type { FleetDoor, FleetServer, Piece } from './door.ts';
import { fleetId, parseFleetId } from './ids.ts';
import { PIECE_BYTES, readLink, readReceived } from './pieces.ts';

/** How often tokens and servers of links are checked. */
const LOOK_MS = 1000;
/** Links of all servers; each server has its own limit. */
const MAX_LINKS = 1000;
/** Used links whose results are shown. */
const MAX_USED = 1000;
/** Requests to links at once: each holds one piece in memory. */
const MAX_REQUESTS = 64;
/** A piece is copied some times on its way. */
const GARBAGE = 12;
const STEP_SECONDS = 30;
/** A disk may take long to sync a large file, but no connection is silent for longer. */
const COMMIT_SECONDS = 60;

export interface HubLinksDeps {
  readonly access: Pick<Access, 'profileFor'>;
  /** Of the hub itself. */
  readonly transfers: Pick<Transfers, 'baseUrl' | 'open'>;
  readonly turns: Turns;
  readonly shutdown: OneShotEvent;
  readonly maxReplyChars: number;
}

/** A link to a file of a server. */
interface Entry {
  readonly server: FleetServer;
  readonly principal: string;
  readonly profile: Profile;
  readonly over: OneShotEvent;
  readonly leaveRoom: () => void;
  /** The number of requests under way. */
  requests: number;
  /** On the monotonic clock. */
  lastMs: number;
}

/**
 * The links of this hub: its own, and those to files of servers, whose bytes it passes on piece by piece. The server
 * decides what a link may do. The hub knows a link by the hash of its secret, with the token that it was made for.
 */
export class HubLinks implements Links {
  readonly #links = new Map<string, Entry>();
  readonly #used = new Set<string>();
  readonly #shares = new Shares(MAX_LINKS);
  readonly #requests = new Shares(MAX_REQUESTS);

  constructor(
    private readonly deps: HubLinksDeps,
    private readonly door: FleetDoor,
  ) {
    const timer = setInterval(() => this.#look(), LOOK_MS);
    timer.unref();
    deps.shutdown.subscribe(() => {
      clearInterval(timer);
      for (const id of this.#links.keys()) this.#end(id);
    });
  }

  /** Throws `TooManyRequests` for a token that has no room for another link. */
  requireRoom(principal: string): void {
    if (this.#shares.hasRoom(principal)) return;
    throw new TooManyRequests(30, 'The links of this token to files of servers are too many. Use those that are open.');
  }

  /** Returns the answer of a server with its link as one of the hub. Throws `OutcomeUnknown` for what is no link. */
  adopt(server: FleetServer, { url, ...answer }: Answer, { principal, profile }: CallContext): Answer {
    // A file of a chat needs no link.
    if (url === undefined) return answer;
    const [, secret] = /\/transfer\/([\w-]{43})$/.exec(String(url)) ?? [];
    if (secret === undefined) throw new OutcomeUnknown(`What ${server.name} has answered is no link.`);
    const over = new OneShotEvent();
    const leaveRoom = this.#shares.acquire(principal);
    over.subscribe(leaveRoom);
    const id = idOf(secret);
    this.#end(id);
    this.#links.set(id, { server, principal, profile, over, leaveRoom, requests: 0, lastMs: performance.now() });
    const { server: name, ...more } = answer;
    return { server: name, url: `${this.deps.transfers.baseUrl}/transfer/${fleetId(secret, server.tag)}`, ...more };
  }

  async open(named: string, visit: LinkVisit): Promise<Linked> {
    const { id: secret, tag } = parseFleetId(named);
    if (tag === undefined) return this.deps.transfers.open(secret);
    const id = idOf(secret);
    const entry = this.#links.get(id);
    if (entry?.server.tag !== tag || !this.#isOpen(entry)) throw noSuchLink();
    const state = { isOpen: () => this.#isOpen(entry), used: () => this.#noteUsed(id, entry) };
    const way = new Way(entry, secret, state, this.#requests, this.deps, this.door, visit);
    const link = readLink((await way.step('open')).body);
    switch (link?.kind) {
      case 'download':
        return new DownloadAway(way, link);
      case 'upload':
        return new UploadAway(way, link);
      case 'used':
        way.state.used();
        return { kind: 'used', bytes: link.bytes, sha256: link.sha256 };
      default:
        throw way.unknown();
    }
  }

  #look(): void {
    const forgottenMs = performance.now() - LINK_SECONDS * 1000;
    for (const [id, entry] of this.#links) {
      const isForgotten = entry.requests === 0 && entry.lastMs < forgottenMs;
      if (isForgotten || !this.#isOpen(entry)) this.#end(id);
    }
  }

  /** Whether its token has the same profile as before, and its server is in the fleet. */
  #isOpen({ server, principal, profile, over }: Entry): boolean {
    if (over.fired || !this.door.servers().some(({ key }) => key === server.key)) return false;
    try {
      const { name, source } = this.deps.access.profileFor(principal);
      return name === profile.name && source === profile.source;
    } catch {
      return false;
    }
  }

  #noteUsed(id: string, { over, leaveRoom }: Entry): void {
    if (over.fired) return;
    leaveRoom();
    this.#used.add(id);
    for (const oldest of this.#used) if (this.#used.size > MAX_USED) this.#end(oldest);
  }

  #end(id: string): void {
    this.#links.get(id)?.over.fire();
    this.#links.delete(id);
    this.#used.delete(id);
  }
}

/** One request to a link, and its way to the server. */
class Way {
  constructor(
    readonly entry: Entry,
    private readonly secret: string,
    readonly state: { readonly isOpen: () => boolean; readonly used: () => void },
    private readonly requests: Shares,
    private readonly deps: HubLinksDeps,
    private readonly door: FleetDoor,
    private readonly visit: LinkVisit,
  ) {}

  /** Throws `TooManyRequests` while too many requests to links are under way. */
  requireRoom(): void {
    if (this.requests.hasRoom(this.entry.principal)) return;
    throw new TooManyRequests(5, 'Too many requests to links of servers are under way. Try again in 5 seconds.');
  }

  /** Counts the request, until the returned hold is disposed of. */
  hold(): Disposable {
    const release = this.requests.acquire(this.entry.principal);
    this.entry.requests++;
    return {
      [Symbol.dispose]: () => {
        this.entry.requests--;
        release();
      },
    };
  }

  /** Does a step of the transfer on the server. Throws what a call there throws. */
  async step(step: string, args: object = {}, bytes?: Uint8Array, seconds = STEP_SECONDS): Promise<Piece> {
    const { server, principal, profile } = this.entry;
    const { address, id: request } = this.visit;
    if (!this.state.isOpen()) throw endedOnItsWay();
    const call = { principal, address, profile, request, deadline: Deadline.after(seconds) };
    const given = { step, secret: this.secret, ...args };
    const piece = await this.door.piece(server, 'transfer', given, call, bytes).catch((error: unknown) => {
      throw error instanceof OutcomeUnknown ? this.#lost() : error;
    });
    this.entry.lastMs = performance.now();
    await this.deps.turns.take(principal, GARBAGE * (piece.bytes.length + (bytes?.length ?? 0)));
    return piece;
  }

  /** Returns the answer of the server to a client. Throws `OutcomeUnknown`. */
  answer(body: unknown): Answer {
    return answerOf(this.entry.server, { status: 200, headers: {}, body }, this.deps.maxReplyChars);
  }

  #lost(): OutcomeUnknown {
    const { name } = this.entry.server;
    return new OutcomeUnknown(
      `The connection to ${name} is lost. HEAD of the link shows how much of the file is there: continue with the rest.`,
    );
  }

  unknown(): OutcomeUnknown {
    return new OutcomeUnknown(`What ${this.entry.server.name} has answered about this link has an unknown format.`);
  }
}

class DownloadAway implements LinkedDownload {
  readonly kind = 'download';
  readonly bytes: number;
  readonly name: string;
  readonly tag: string;
  readonly #isHeld: boolean;

  constructor(
    private readonly way: Way,
    { bytes, name, tag, isHeld }: Pick<LinkedDownload, 'bytes' | 'name' | 'tag'> & { readonly isHeld: boolean },
  ) {
    [this.bytes, this.name, this.tag, this.#isHeld] = [bytes, name, tag, isHeld];
  }

  requireOpen(): void {
    requireFree(this.#isHeld, this.way.entry.requests);
    this.way.requireRoom();
  }

  async *pieces(from: number, to: number): AsyncGenerator<Uint8Array, void> {
    using _held = this.way.hold();
    for (let at = from; at < to; ) {
      if (this.way.entry.over.fired) return;
      const end = Math.min(to, at + PIECE_BYTES);
      const { bytes } = await this.way.step('read', { from: at, to: end });
      if (this.way.entry.over.fired || bytes.length === 0 || at + bytes.length > end) return;
      at += bytes.length;
      yield bytes;
    }
  }

  async took(from: number, to: number): Promise<void> {
    await this.way.step('took', { from, to });
    if (from === 0 && to === this.bytes) this.way.state.used();
  }
}

class UploadAway implements LinkedUpload {
  readonly kind = 'upload';
  readonly most: number;
  #received: number;

  constructor(
    private readonly way: Way,
    { most, received }: Pick<LinkedUpload, 'most' | 'received'>,
  ) {
    [this.most, this.#received] = [most, received];
  }

  get received(): number {
    return this.#received;
  }

  get over(): OneShotEvent {
    return this.way.entry.over;
  }

  async receive<T>(offset: number, body: AsyncIterable<Uint8Array>, then: () => Promise<T>): Promise<T> {
    requireNext(this.way.entry.requests > 0, offset, this.#received);
    this.way.requireRoom();
    using _held = this.way.hold();
    // An empty body that begins at 0 begins again as well.
    if (offset === 0) await this.#write(0, new Uint8Array(0));
    for await (const bytes of framesOf(body, PIECE_BYTES)) {
      if (this.over.fired) break;
      await this.#write(this.#received, bytes);
    }
    if (this.over.fired) throw endedOnItsWay();
    return await then();
  }

  async commit(): Promise<Answer> {
    const done = this.way.answer((await this.way.step('commit', {}, undefined, COMMIT_SECONDS)).body);
    if (done['status'] !== 'waiting') this.way.state.used();
    return done;
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    const { received } = readReceived((await this.way.step('write', { offset }, bytes)).body) ?? {};
    if (received !== offset + bytes.length) throw this.way.unknown();
    this.#received = received;
  }
}
