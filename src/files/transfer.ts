import { basename } from 'node:path';
import type { Profile } from '../access/profile.ts';
import type { Trail } from '../audit/trail.ts';
import { type Clock, SignalOnce } from '../lib/clock.ts';
import { Conflict, RequestTooLarge } from '../lib/errors.ts';
import type { Turns } from '../lib/shares.ts';
import { FRAME_BYTES, type Sink, type Source } from './carrier.ts';

/** What became of a transfer. */
export interface TransferResult {
  readonly bytes: number;
  /** In hexadecimal digits; undefined where the bytes passed in another order than the file has them. */
  readonly sha256: string | undefined;
}

/** What a transfer is made of. */
export interface TransferDeps {
  readonly principal: string;
  readonly profile: Profile;
  readonly path: string;
  readonly clock: Clock;
  readonly trail: Trail;
  /** Pieces of all tokens pass in turn, and what they leave in memory is collected. */
  readonly turns: Turns;
  /** Called once, when all bytes have passed, or nothing more can: undefined then. */
  readonly finish: (result: TransferResult | undefined) => void;
  /** Called once, when its file is closed. */
  readonly closed: () => void;
}

/** One file on its way, open until it has passed, its link ends, or nobody may have it any more. */
abstract class Moving {
  /** Fires when nothing more may pass. */
  readonly over = new SignalOnce();
  /** When bytes last passed, on the clock that never goes back. */
  lastMs = Number.NEGATIVE_INFINITY;
  #requests = 0;
  #isClosed = false;

  constructor(
    protected readonly deps: TransferDeps,
    private readonly file: { close(): void },
  ) {}

  get path(): string {
    return this.deps.path;
  }

  /** Requests that move bytes of it now. */
  get requests(): number {
    return this.#requests;
  }

  /** Lets nothing more pass; the file is closed as soon as no request uses it. */
  end(): void {
    this.over.fire();
    this.#closeWhenIdle();
  }

  /** Keeps the file open until what it gives is disposed of. */
  protected hold(): Disposable {
    this.#requests++;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#requests--;
        this.#closeWhenIdle();
      },
    };
  }

  /** Resolves when it is the turn of its token to have so many bytes passed. */
  protected turn(bytes: number): Promise<void> {
    return this.deps.turns.take(this.deps.principal, bytes);
  }

  protected touch(): void {
    this.lastMs = this.deps.clock.elapsed();
  }

  #closeWhenIdle(): void {
    if (this.#isClosed || this.#requests > 0 || !this.over.fired) return;
    this.#isClosed = true;
    this.file.close();
    this.deps.closed();
  }
}

/** Requests of one link at once: a program that downloads in parts opens several. */
const MAX_REQUESTS = 8;
/** Parts that are remembered as passed: whoever asks for more of them has the link for its ten minutes. */
const MAX_PARTS = 1000;

/** A file that is read by its link. */
export class Download extends Moving {
  readonly kind = 'download';
  /** The same for all requests of this link, whose file was opened once. */
  readonly tag = crypto.randomUUID();
  readonly #hasher = new Bun.CryptoHasher('sha256');
  #hashed = 0;
  /** What has passed, in order, without overlaps. */
  #passed: readonly (readonly [from: number, to: number])[] = [];

  constructor(
    deps: TransferDeps,
    readonly source: Source,
  ) {
    super(deps, source);
  }

  get bytes(): number {
    return this.source.bytes;
  }

  get name(): string {
    return basename(this.deps.path);
  }

  /** Throws `Conflict` when as many requests as may are under way. */
  requireRoom(): void {
    if (this.requests < MAX_REQUESTS) return;
    throw new Conflict(`${MAX_REQUESTS} requests for this link are under way. Wait for one of them.`);
  }

  /** SHA-256 of the whole file in hexadecimal digits; undefined where it takes until `isLate`. Throws `MachineRefused`. */
  async sha256(isLate: () => boolean): Promise<string | undefined> {
    using _open = this.hold();
    const hasher = new Bun.CryptoHasher('sha256');
    for (let at = 0; at < this.bytes; ) {
      const piece = await this.source.read(at, this.bytes - at);
      if (piece.length === 0 || isLate()) return undefined;
      hasher.update(piece);
      await this.turn(piece.length);
      at += piece.length;
    }
    return hasher.digest('hex');
  }

  /**
   * The bytes from `from` to before `to`. Ends early where the transfer is over or the file has become shorter. Throws
   * `MachineRefused`.
   */
  async *pieces(from: number, to: number): AsyncGenerator<Uint8Array, void> {
    using _open = this.hold();
    for (let at = from; at < to; ) {
      if (this.over.fired) return;
      const piece = await this.source.read(at, to - at);
      if (piece.length === 0) return;
      this.#hash(at, piece);
      at += piece.length;
      this.touch();
      await this.turn(piece.length);
      yield piece;
    }
  }

  /** A client has taken these bytes. When all have been taken, the link is used up. */
  took(from: number, to: number, address: string): void {
    this.#passed = joined([...this.#passed, [from, to]]).slice(0, MAX_PARTS);
    const [first] = this.#passed;
    if (first === undefined || first[0] > 0 || first[1] < this.bytes || this.over.fired) return;
    const { principal, profile, path, trail, finish } = this.deps;
    const sha256 = this.#hashed === this.bytes ? this.#hasher.digest('hex') : undefined;
    const result = { bytes: this.bytes, sha256 };
    trail.file('download', { principal, address }, { profile: profile.name, path, passed: true, ...result });
    finish(result);
  }

  #hash(at: number, piece: Uint8Array): void {
    const end = at + piece.length;
    if (at > this.#hashed || end <= this.#hashed) return;
    this.#hasher.update(piece.subarray(this.#hashed - at));
    this.#hashed = end;
  }
}

function joined(parts: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const all: [number, number][] = [];
  for (const [from, to] of [...parts].sort(([one], [other]) => one - other)) {
    const last = all.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}

/** A file that is written by its link. */
export class Upload extends Moving {
  readonly kind = 'upload';
  #hasher = new Bun.CryptoHasher('sha256');
  #received = 0;

  constructor(
    deps: TransferDeps,
    private readonly sink: Sink,
    /** Of the whole file, in bytes. */
    readonly most: number,
  ) {
    super(deps, sink);
  }

  /** Bytes that are on the disk: a client that was interrupted sends what comes behind them. */
  get received(): number {
    return this.#received;
  }

  /**
   * Takes a body that begins at `offset` of the file. 0 begins again. Throws `Conflict` when another body is on its way,
   * or these bytes are not the next ones; `RequestTooLarge`; `MachineRefused`; and what `body` throws: what had come is kept.
   */
  async receive(offset: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.requests > 0)
      throw new Conflict('Another PUT to this link is under way. Wait for it, or ask for a new link.');
    if (offset !== 0 && offset !== this.#received)
      throw new Conflict(
        `${this.#received} bytes are here, and these begin at ${offset}. Send Content-Range: bytes ${this.#received}-… or all of it.`,
      );
    using _open = this.hold();
    if (offset === 0 && this.#received > 0) await this.#restart();
    const frame = Buffer.allocUnsafeSlow(FRAME_BYTES);
    let filled = 0;
    const flush = async (): Promise<void> => {
      const bytes = frame.subarray(0, filled);
      filled = 0;
      if (bytes.length === 0) return;
      await this.turn(bytes.length);
      await this.#write(bytes);
    };
    try {
      for await (const chunk of body) {
        this.touch();
        for (let at = 0; at < chunk.length; ) {
          const piece = chunk.subarray(at, at + FRAME_BYTES - filled);
          frame.set(piece, filled);
          filled += piece.length;
          at += piece.length;
          if (filled === FRAME_BYTES) await flush();
        }
      }
    } finally {
      if (!this.over.fired) await flush();
    }
  }

  /** Puts the file in its place, once that is on record. Throws `MachineRefused`; the link is used up in any case. */
  async commit(address: string): Promise<TransferResult & { readonly sha256: string }> {
    using _open = this.hold();
    const { principal, profile, path, trail, finish } = this.deps;
    const result = { bytes: this.#received, sha256: this.#hasher.digest('hex') };
    try {
      trail.file('upload', { principal, address }, { profile: profile.name, path, passed: true, ...result });
      await this.sink.commit();
      finish(result);
      return result;
    } catch (error) {
      finish(undefined);
      throw error;
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#received + bytes.length > this.most) {
      await this.#restart();
      throw tooLarge(this.most);
    }
    try {
      await this.sink.write(bytes);
    } catch (error) {
      // What is left of a full disk is not filled by half a file.
      await this.#restart();
      throw error;
    }
    this.#hasher.update(bytes);
    this.#received += bytes.length;
  }

  async #restart(): Promise<void> {
    this.#received = 0;
    this.#hasher = new Bun.CryptoHasher('sha256');
    try {
      await this.sink.restart();
    } catch (error) {
      this.deps.finish(undefined);
      throw error;
    }
  }
}

/** The refusal of a file that is too large. */
export function tooLarge(most: number): RequestTooLarge {
  return new RequestTooLarge(
    `A file may have ${most} bytes here, and nothing was written. The owner of the server can raise AGENT3_MAX_TRANSFER_BYTES.`,
  );
}

/** Either of them. */
export type Transfer = Download | Upload;
