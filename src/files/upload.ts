import { APPROVAL_SECONDS } from '../access/approvals.ts';
import type { Answer } from '../calls/context.ts';
import { Conflict } from '../lib/errors.ts';
import { changedOnItsWay, FRAME_BYTES, framesOf, type Sink } from './carrier.ts';
import { Transfer, type TransferDeps, tooLarge } from './transfer.ts';

/** A received file. */
interface Received {
  readonly bytes: number;
  readonly sha256: string;
}

type OnRecord = Readonly<Record<string, unknown>>;

/** Asks a person about a received file; `perform` puts it in its place after the approval. */
export type AskAboutUpload = (received: Received, perform: (onRecord: OnRecord) => Promise<Answer>) => Answer;

/** A file that is written by its link. */
export class Upload extends Transfer {
  readonly kind = 'upload';
  #hasher = new Bun.CryptoHasher('sha256');
  #received = 0;
  /** The most that was ever received, in bytes: beginning again does not extend the link. */
  #furthest = 0;
  #isAsked = false;
  /** Asks a person who has to approve the file; undefined: nobody has to. */
  ask: AskAboutUpload | undefined;

  constructor(
    deps: TransferDeps,
    readonly sink: Sink,
    /** Limit of the whole file, in bytes. */
    readonly most: number,
  ) {
    super(deps, sink);
  }

  /** Bytes that are on the disk: after an interruption, a client continues from there. */
  get received(): number {
    return this.#received;
  }

  /**
   * Receives a body that begins at `offset` of the file, then calls `then`; no other body is accepted meanwhile. 0
   * begins again. Throws `Conflict` if another body is on its way, or these bytes are not the next ones;
   * `RequestTooLarge`; `MachineRefused`; and what `body` throws: what had come is kept.
   */
  async receive<T>(offset: number, body: AsyncIterable<Uint8Array>, then: () => Promise<T>): Promise<T> {
    if (this.#isAsked)
      throw new Conflict('The file has arrived, and waits for a person to approve it. Follow it with read_session.');
    requireNext(this.requests > 0, offset, this.#received);
    using _open = this.hold();
    if (offset === 0 && this.#received > 0) await this.#restart();
    for await (const bytes of framesOf(body, FRAME_BYTES)) {
      if (this.over.fired) break;
      await this.turn(bytes.length);
      await this.#write(bytes);
    }
    if (this.over.fired) throw endedOnItsWay();
    return await then();
  }

  /**
   * Puts the file in its place, or asks a person for approval: then the answer has the session that waits. Throws
   * `MachineRefused`; the link is used up in any case.
   */
  async commit(address: string): Promise<Answer> {
    const result = { bytes: this.#received, sha256: this.#hasher.digest('hex') };
    if (this.ask === undefined) return await this.#place(address, result, {});
    this.#isAsked = true;
    const held = this.hold();
    const forget = setTimeout(() => this.deps.finish(undefined), APPROVAL_SECONDS * 1000);
    this.over.subscribe(() => {
      clearTimeout(forget);
      held[Symbol.dispose]();
    });
    try {
      const waiting = this.ask(result, async (onRecord) => {
        await this.#requireUnchanged(result);
        if (this.over.fired) throw new Conflict('the link of this upload has ended, so nothing was written');
        return await this.#place(address, result, onRecord);
      });
      return { ...result, ...waiting };
    } catch (error) {
      this.deps.finish(undefined);
      throw error;
    }
  }

  /** Throws `Conflict` if the file is no longer the one that a person has approved; then the link has ended. */
  async #requireUnchanged({ sha256 }: Received): Promise<void> {
    using _open = this.hold();
    if (this.over.fired || (await this.sink.sha256()) === sha256) return;
    this.deps.finish(undefined);
    throw changedOnItsWay();
  }

  /** Once that is on record. */
  async #place(address: string, result: Received, onRecord: OnRecord): Promise<Answer> {
    using _open = this.hold();
    const { principal, profile, path, trail, finish, via } = this.deps;
    try {
      const passed = { profile: profile.name, path, passed: true, ...result, ...onRecord };
      trail.file('upload', { principal, address, via }, passed);
      await this.sink.commit();
      finish(result);
      return { path, ...result };
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
      // Half a file must not fill the rest of the disk.
      await this.#restart();
      throw error;
    }
    this.#hasher.update(bytes);
    this.#received += bytes.length;
    if (this.#received <= this.#furthest) return;
    this.#furthest = this.#received;
    this.touch();
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

/** Throws `Conflict` for a body while another is on its way, and for one that does not begin at the next byte, or at 0. */
export function requireNext(isBusy: boolean, offset: number, received: number): void {
  if (isBusy) throw new Conflict('Another PUT to this link is under way. Wait for it, or ask for a new link.');
  if (offset === 0 || offset === received) return;
  throw new Conflict(
    `${received} bytes have arrived, but these begin at ${offset}. Send Content-Range: bytes ${received}-… or all of it.`,
  );
}

/** The refusal of a body whose link has ended meanwhile. */
export function endedOnItsWay(): Conflict {
  return new Conflict('The link ended during the upload. Ask for a new one.');
}
