import type { Access } from '../access/access.ts';
import { isOfHub } from '../access/hub-access.ts';
import type { Profile } from '../access/profile.ts';
import type { Trail } from '../audit/trail.ts';
import type { OperationDeps } from '../calls/context.ts';
import type { Clock, OneShotEvent } from '../lib/clock.ts';
import { MachineRefused, RouteNotFound, TooManyRequests } from '../lib/errors.ts';
import { Shares, type Turns } from '../lib/shares.ts';
import type { Origin } from '../sessions/via.ts';
import type { Sink, Source } from './carrier.ts';
import { Download } from './download.ts';
import type { UsedLink } from './linked.ts';
import type { TransferDeps, TransferResult } from './transfer.ts';
import { Upload } from './upload.ts';

type Transfer = Download | Upload;

/** A link begins no new request after this … */
export const LINK_SECONDS = 600;
/** … unless new bytes have passed within this time: a broken connection may be continued. */
const RESUME_SECONDS = 60;
/** No link is open for longer, whatever is under way: 4 GiB take a day at 50 KB a second. */
const MAX_LINK_SECONDS = 86_400;
/** How often tokens and times of open links are checked. */
const LOOK_MS = 1000;
/** Open links of all tokens: in a sandbox each holds three processes. */
const MAX_LINKS = 64;
/** Results that are remembered until their links would have ended. */
const MAX_RESULTS = 1000;

const MIB = 1_048_576;

/** What transfers need. */
export interface TransfersDeps {
  readonly access: Access;
  readonly clock: Clock;
  readonly trail: Trail;
  readonly turns: Turns;
  readonly shutdown: OneShotEvent;
  readonly maxTransferBytes: number;
}

/** What the operations that make links need. */
export interface LinkOperationDeps extends OperationDeps {
  readonly transfers: Transfers;
}

/** The client that asks for a link, and the path. */
export interface LinkRequest extends Pick<Origin, 'via'> {
  readonly principal: string;
  readonly profile: Profile;
  readonly path: string;
}

/** A transfer, and the link to it. */
export interface LinkTo<T extends Transfer> {
  readonly url: string;
  readonly transfer: T;
}

interface Result extends TransferResult {
  readonly principal: string;
  readonly untilMs: number;
}

interface Entry {
  readonly transfer: Transfer;
  readonly request: LinkRequest;
  readonly endsMs: number;
}

/** The open links, each for one path: known by the hash of its secret, and gone with its token or the agent. */
export class Transfers {
  readonly #links = new Map<string, Entry>();
  readonly #results = new Map<string, Result>();
  readonly #shares = new Shares(MAX_LINKS);
  /** The URL of the agent for clients, without a slash at its end; undefined: none. */
  baseUrl: string | undefined;

  constructor(readonly deps: TransfersDeps) {
    const timer = setInterval(() => this.#look(), LOOK_MS);
    timer.unref();
    deps.shutdown.subscribe(() => {
      clearInterval(timer);
      for (const id of this.#links.keys()) this.#end(id);
    });
  }

  /** Makes a link to read what `open` opens. Throws what that throws, `MachineRefused`, `TooManyRequests`. */
  download(request: LinkRequest, open: () => Source | Promise<Source>): Promise<LinkTo<Download>> {
    return this.#make(request, async (deps) => new Download(deps, await open()));
  }

  /** Makes a link to write what `open` opens. Throws what that throws, `MachineRefused`, `TooManyRequests`. */
  upload(request: LinkRequest, open: () => Sink | Promise<Sink>): Promise<LinkTo<Upload>> {
    const { file_mib = Number.POSITIVE_INFINITY } = request.profile.limits;
    const most = Math.min(this.deps.maxTransferBytes, file_mib * MIB);
    return this.#make(request, async (deps) => new Upload(deps, await open(), most));
  }

  /**
   * Returns the transfer with this secret, or its result when all bytes have passed. `owner` is the token of a hub whose
   * link it is; without it, no link of a hub is found. Throws `RouteNotFound`.
   */
  open(secret: string, owner?: string): Download | Upload | UsedLink {
    const result = this.resultOf(secret, owner);
    if (result === undefined) return this.find(secret, owner);
    return { kind: 'used', bytes: result.bytes, sha256: result.sha256 };
  }

  /** Returns the open transfer with this secret, as `open` does. Throws `RouteNotFound`. */
  find(secret: string, owner?: string): Transfer {
    const entry = this.#links.get(idOf(secret));
    if (entry !== undefined && isOwner(entry.request, owner) && !this.#isOver(entry)) return entry.transfer;
    throw noSuchLink();
  }

  /** Returns the result of the transfer with this secret; undefined while it is open, and if it was forgotten. */
  resultOf(secret: string, owner?: string): TransferResult | undefined {
    const result = this.#results.get(idOf(secret));
    return result !== undefined && isOwner(result, owner) ? result : undefined;
  }

  async #make<T extends Transfer>(request: LinkRequest, open: (deps: TransferDeps) => Promise<T>): Promise<LinkTo<T>> {
    const { baseUrl, deps } = this;
    const { principal } = request;
    if (baseUrl === undefined)
      throw new MachineRefused('No link can be made: this agent listens at no address. Use shell instead.', undefined);
    if (!this.#shares.hasRoom(principal))
      throw new TooManyRequests(
        30,
        `${this.#shares.usedBy(principal)} links of this token are open, which is its share. Use those, or wait until their ten minutes have passed.`,
      );
    const closed = this.#shares.acquire(principal);
    try {
      const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url');
      const id = idOf(secret);
      const endsMs = deps.clock.elapsed() + LINK_SECONDS * 1000;
      const finish = (result: TransferResult | undefined): void => {
        if (result !== undefined) this.#remember(id, { ...result, principal, untilMs: endsMs });
        this.#end(id);
      };
      const transfer = await open({
        ...request,
        clock: deps.clock,
        trail: deps.trail,
        turns: deps.turns,
        finish,
        closed,
      });
      this.#links.set(id, { transfer, request, endsMs });
      if (deps.shutdown.fired) this.#end(id);
      return { url: `${baseUrl}/transfer/${secret}`, transfer };
    } catch (error) {
      closed();
      throw error;
    }
  }

  #remember(id: string, result: Result): void {
    for (const [oldest] of this.#results) if (this.#results.size >= MAX_RESULTS) this.#results.delete(oldest);
    this.#results.set(id, result);
  }

  #look(): void {
    const now = this.deps.clock.elapsed();
    for (const [id, entry] of this.#links) if (this.#isOver(entry)) this.#end(id);
    for (const [id, { untilMs }] of this.#results) if (untilMs < now) this.#results.delete(id);
  }

  #isOver({ transfer, request: { principal, profile }, endsMs }: Entry): boolean {
    if (transfer.over.fired) return true;
    const now = this.deps.clock.elapsed();
    if (now > endsMs + (MAX_LINK_SECONDS - LINK_SECONDS) * 1000) return true;
    if (transfer.requests === 0 && now > endsMs && now - transfer.lastMs > RESUME_SECONDS * 1000) return true;
    try {
      const current = this.deps.access.profileFor(principal);
      return current.name !== profile.name || current.source !== profile.source;
    } catch {
      return true;
    }
  }

  #end(id: string): void {
    this.#links.get(id)?.transfer.end();
    this.#links.delete(id);
  }
}

/** The refusal of a link that is not known, or has ended. */
export function noSuchLink(): RouteNotFound {
  return new RouteNotFound(
    'There is no such link: it was used, its ten minutes have passed, or the agent was restarted. Ask for a new one with upload or download.',
  );
}

/** A link of a hub is opened through that hub alone, with the token that it was made for. */
function isOwner({ principal }: { readonly principal: string }, owner: string | undefined): boolean {
  return owner === undefined ? !isOfHub(principal) : principal === owner;
}

/**
 * Links are found by the hash of their secret: the memory holds no secret, and the time of the search reveals nothing.
 */
export function idOf(secret: string): string {
  return Bun.SHA256.hash(secret, 'hex');
}
