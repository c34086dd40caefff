import type { Access } from '../access/access.ts';
import type { Profile } from '../access/profile.ts';
import type { Answer } from '../calls/context.ts';
import { framesOf } from '../files/carrier.ts';
import { requireFree } from '../files/download.ts';
import type { LinkedDownload, LinkedUpload, LinkVisit } from '../files/linked.ts';
import type { Transfers } from '../files/transfers.ts';
import { endedOnItsWay, requireNext } from '../files/upload.ts';
import { Deadline, type OneShotEvent } from '../lib/clock.ts';
import { OutcomeUnknown, TooManyRequests } from '../lib/errors.ts';
import type { Shares, Turns } from '../lib/shares.ts';
import { answerOf } from './answers.ts';
import type { FleetDoor, FleetServer, Piece } from './door.ts';
import type { Line } from './line.ts';
import { PIECE_BYTES, readReceived } from './pieces.ts';

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
export interface Entry {
  readonly server: FleetServer;
  readonly principal: string;
  readonly profile: Profile;
  readonly line: Line;
  readonly over: OneShotEvent;
  readonly leaveRoom: () => void;
  /** The number of requests under way. */
  requests: number;
  /** On the monotonic clock. */
  lastMs: number;
}

/** One request to a link, and its way to the server. */
export class Way {
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

/** The file of a server that a link reads. */
export class DownloadAway implements LinkedDownload {
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
      const from = at;
      const bytes = await this.way.entry.line.carry(Math.min(to - from, PIECE_BYTES), async (length) => {
        const piece = await this.way.step('read', { from, to: from + length });
        return piece.bytes.subarray(0, piece.bytes.length > length ? 0 : length);
      });
      if (this.way.entry.over.fired || bytes.length === 0) return;
      at += bytes.length;
      yield bytes;
    }
  }

  async took(from: number, to: number): Promise<void> {
    await this.way.step('took', { from, to });
    if (from === 0 && to === this.bytes) this.way.state.used();
  }
}

/** The file of a server that a link writes. */
export class UploadAway implements LinkedUpload {
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
      for (let at = 0; at < bytes.length && !this.over.fired; ) at += await this.#writeSome(bytes.subarray(at));
      if (this.over.fired) break;
    }
    if (this.over.fired) throw endedOnItsWay();
    return await then();
  }

  async commit(): Promise<Answer> {
    const done = this.way.answer((await this.way.step('commit', {}, undefined, COMMIT_SECONDS)).body);
    if (done['status'] !== 'waiting') this.way.state.used();
    return done;
  }

  #writeSome(bytes: Uint8Array): Promise<number> {
    return this.way.entry.line.carry(bytes.length, async (length) => {
      await this.#write(this.#received, bytes.subarray(0, length));
      return length;
    });
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    const { received } = readReceived((await this.way.step('write', { offset }, bytes)).body) ?? {};
    if (received !== offset + bytes.length) throw this.way.unknown();
    this.#received = received;
  }
}
