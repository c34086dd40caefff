import type { Answer, CallContext } from '../calls/context.ts';
import type { Linked, Links, LinkVisit } from '../files/linked.ts';
import { idOf, LINK_SECONDS, noSuchLink } from '../files/transfers.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { OutcomeUnknown, TooManyRequests } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';
import type { FleetDoor, FleetServer } from './door.ts';
import { fleetId, parseFleetId } from './ids.ts';
import { Line } from './line.ts';
import { DownloadAway, type Entry, type HubLinksDeps, UploadAway, Way } from './link-away.ts';
import { readLink } from './pieces.ts';

/** How often tokens and servers of links are checked. */
const LOOK_MS = 1000;
/** Links of all servers; each server has its own limit. */
const MAX_LINKS = 1000;
/** Used links whose results are shown. */
const MAX_USED = 1000;
/** Requests to links at once: each holds one piece in memory. */
const MAX_REQUESTS = 64;

/**
 * The links of this hub: its own, and those to files of servers, whose bytes it passes on piece by piece. The server
 * decides what a link may do. The hub knows a link by the hash of its secret, with the token that it was made for.
 */
export class HubLinks implements Links {
  readonly #links = new Map<string, Entry>();
  readonly #used = new Set<string>();
  readonly #lines = new Map<string, Line>();
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
    this.#links.set(id, {
      server,
      principal,
      profile,
      over,
      leaveRoom,
      line: this.#lineOf(server.key),
      requests: 0,
      lastMs: performance.now(),
    });
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

  #lineOf(key: string): Line {
    const line = this.#lines.get(key) ?? new Line();
    this.#lines.set(key, line);
    return line;
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
