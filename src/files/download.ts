import { basename } from 'node:path';
import { Conflict } from '../lib/errors.ts';
import type { Source } from './carrier.ts';
import { Transfer, type TransferDeps } from './transfer.ts';

/** Requests of one link at once: a program that downloads in parts opens several. */
const MAX_REQUESTS = 8;
/** Parts that are remembered as passed: a client that asks for more of them has the link for its ten minutes. */
const MAX_PARTS = 1000;

/** In order, without overlaps. */
type Parts = readonly (readonly [from: number, to: number])[];

/** A file that is read by its link. */
export class Download extends Transfer {
  readonly kind = 'download';
  /** The same for all requests of this link, whose file was opened once. */
  readonly tag = crypto.randomUUID();
  readonly #hasher = new Bun.CryptoHasher('sha256');
  #hashed = 0;
  /** What clients have received. */
  #passed: Parts = [];
  /** What was read for a client, received or not. */
  #sent: Parts = [];

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

  /** Whether a person has to approve it before anything of it passes. */
  isHeld = false;

  /** Throws `Conflict` before its approval, and if too many requests are under way. */
  requireOpen(): void {
    requireFree(this.isHeld, this.requests);
  }

  /**
   * Returns the SHA-256 of the whole file in hexadecimal digits; undefined if it takes until `isLate`. Throws
   * `MachineRefused`.
   */
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
   * Returns the bytes from `from` to before `to`. Ends early if the transfer is over or the file has become shorter.
   * Throws `MachineRefused`.
   */
  async *pieces(from: number, to: number): AsyncGenerator<Uint8Array, void> {
    using _open = this.hold();
    for (let at = from; at < to; ) {
      if (this.over.fired) return;
      const piece = await this.source.read(at, to - at);
      if (piece.length === 0) return;
      this.#hash(at, piece);
      this.#send(at, at + piece.length);
      at += piece.length;
      // As it was read, and as it is sent.
      await this.turn(2 * piece.length);
      yield piece;
    }
  }

  /** Whether these bytes were read for a client. */
  wasSent(from: number, to: number): boolean {
    return from === to || this.#sent.some(([first, last]) => first <= from && from < to && to <= last);
  }

  /** Notes that a client has received these bytes. When all have been received, the link is used up. */
  took(from: number, to: number, address: string): void {
    this.#passed = joined([...this.#passed, [from, to]]).slice(0, MAX_PARTS);
    const [first] = this.#passed;
    if (first === undefined || first[0] > 0 || first[1] < this.bytes || this.over.fired) return;
    const { principal, profile, path, trail, finish, via } = this.deps;
    const sha256 = this.#hashed === this.bytes ? this.#hasher.digest('hex') : undefined;
    const result = { bytes: this.bytes, sha256 };
    trail.file('download', { principal, address, via }, { profile: profile.name, path, passed: true, ...result });
    finish(result);
  }

  #send(from: number, to: number): void {
    const before = bytesIn(this.#sent);
    this.#sent = joined([...this.#sent, [from, to]]).slice(0, MAX_PARTS);
    if (bytesIn(this.#sent) > before) this.touch();
  }

  #hash(at: number, piece: Uint8Array): void {
    const end = at + piece.length;
    if (at > this.#hashed || end <= this.#hashed) return;
    this.#hasher.update(piece.subarray(this.#hashed - at));
    this.#hashed = end;
  }
}

/** Throws `Conflict` for a download that is not approved, or has too many requests under way. */
export function requireFree(isHeld: boolean, requests: number): void {
  if (isHeld) throw new Conflict('A person has not approved this download yet. Follow it with read_session.');
  if (requests < MAX_REQUESTS) return;
  throw new Conflict(`${MAX_REQUESTS} requests for this link are under way. Wait for one of them.`);
}

function bytesIn(parts: Parts): number {
  return parts.reduce((sum, [from, to]) => sum + to - from, 0);
}

function joined(parts: Parts): (readonly [number, number])[] {
  const all: [number, number][] = [];
  for (const [from, to] of [...parts].sort(([one], [other]) => one - other)) {
    const last = all.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}
