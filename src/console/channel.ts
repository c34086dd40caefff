import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Which end of a connection this is. */
export type End = 'agent' | 'console';

/** The other end broke the protocol, or does not have the key: the connection is of no use any more. */
export class ChannelFault extends Error {}

/** A request that the agent does not answer, by its code. */
export class WireRefusal extends Error {
  constructor(
    readonly code: 'BadRequest' | 'TooManyRequests' | 'InternalError',
    message: string,
  ) {
    super(message);
  }
}

/** The agent cannot be reached, or what has its socket does not have the key. */
export class AgentAway extends Error {}

/** Longest JSON of a frame. */
export const MAX_FRAME_BYTES = 1_048_576;

const NONCE_BYTES = 32;
const MAC_BYTES = 32;
const LENGTH_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + MAC_BYTES;

/** While this much waits to be read by the other end, no further message is made. */
const FULL_BYTES = 262_144;

/** What a channel needs of a socket. `write` writes what fits. Returns the number of bytes; negative when closed. */
export interface Outlet {
  write(bytes: Uint8Array): number;
}

interface Keys {
  /** Keys of the frames in each direction. */
  readonly out: Buffer;
  readonly in: Buffer;
  /** What the other end has to prove itself with. */
  readonly proof: Buffer;
}

/**
 * One end of an authenticated connection. Hello: each end sends a nonce, then a proof over both nonces. After that come
 * frames: length (u32, big endian), HMAC-SHA-256 and JSON. The key of the HMAC is one of this connection and direction,
 * and the number of the frame is in it, so none can be added, changed, left out, repeated or put in another order.
 */
export class Channel {
  readonly #nonce = randomBytes(NONCE_BYTES);
  readonly #inbox = new Inbox();
  readonly #outbox: Outbox;
  #keys: Keys | undefined;
  #isProved = false;
  #received = 0n;
  #sent = 0n;
  /** Messages that wait until there is room. */
  readonly #makers: (() => string)[] = [];

  constructor(
    private readonly end: End,
    private readonly key: string,
    outlet: Outlet,
  ) {
    this.#outbox = new Outbox(outlet);
  }

  /** Whether the other end has proved that it has the key. */
  get isProved(): boolean {
    return this.#isProved;
  }

  /** Whether the other end has yet to read what was written. */
  get isBehind(): boolean {
    return this.#outbox.bytes > 0;
  }

  /** Messages that wait until the other end has read what came before them. */
  get unsent(): number {
    return this.#makers.length;
  }

  /** Says hello. */
  open(): void {
    this.#outbox.write(this.#nonce);
  }

  /** Takes received bytes and returns the messages that are complete. Throws `ChannelFault`. */
  receive(bytes: Uint8Array): unknown[] {
    this.#inbox.add(bytes);
    if (!this.#isProved && !this.#readHello()) return [];
    const messages: unknown[] = [];
    for (let message = this.#readFrame(); message !== undefined; message = this.#readFrame()) messages.push(message);
    return messages;
  }

  /** Sends the JSON that `make` returns, once the other end is proved and has read most of what was sent before. */
  send(make: () => string): void {
    this.#makers.push(make);
    this.#sendMade();
  }

  /** The socket has room again. */
  drain(): void {
    this.#outbox.flush();
    this.#sendMade();
  }

  #readHello(): boolean {
    if (this.#keys === undefined) {
      const theirs = this.#inbox.take(NONCE_BYTES);
      if (theirs === undefined) return false;
      const { keys, proof } = this.#derive(theirs);
      this.#keys = keys;
      this.#outbox.write(proof);
    }
    const proof = this.#inbox.take(MAC_BYTES);
    if (proof === undefined) return false;
    if (!timingSafeEqual(proof, this.#keys.proof)) throw new ChannelFault('the other end does not have the key');
    this.#isProved = true;
    this.#sendMade();
    return true;
  }

  #readFrame(): unknown {
    const { in: key } = this.#keys as Keys;
    const length = this.#inbox.peek(LENGTH_BYTES)?.readUInt32BE();
    if (length === undefined) return undefined;
    if (length > MAX_FRAME_BYTES) throw new ChannelFault(`a frame of ${length} bytes is too long`);
    const frame = this.#inbox.take(HEAD_BYTES + length);
    if (frame === undefined) return undefined;
    const json = frame.subarray(HEAD_BYTES);
    if (!timingSafeEqual(frame.subarray(LENGTH_BYTES, HEAD_BYTES), macOf(key, this.#received++, json)))
      throw new ChannelFault('a frame is not what the other end has sent');
    return JSON.parse(json.toString('utf8')) ?? null;
  }

  #sendMade(): void {
    while (this.#isProved && this.#outbox.bytes < FULL_BYTES) {
      const make = this.#makers.shift();
      if (make === undefined) return;
      this.#outbox.write(this.#frameOf(make()));
    }
  }

  #frameOf(text: string): Buffer {
    const { out: key } = this.#keys as Keys;
    const json = Buffer.from(text);
    if (json.length > MAX_FRAME_BYTES) throw new ChannelFault(`a message of ${json.length} bytes is too long`);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(json.length);
    return Buffer.concat([length, macOf(key, this.#sent++, json), json]);
  }

  #derive(theirs: Buffer): { readonly keys: Keys; readonly proof: Buffer } {
    const nonces = this.end === 'console' ? [this.#nonce, theirs] : [theirs, this.#nonce];
    const derive = (what: string): Buffer =>
      createHmac('sha256', this.key).update(`agent3 console, ${what}\0`).update(Buffer.concat(nonces)).digest();
    const other = this.end === 'console' ? 'agent' : 'console';
    return {
      keys: {
        out: derive(`frames of the ${this.end}`),
        in: derive(`frames of the ${other}`),
        proof: derive(`hello of the ${other}`),
      },
      proof: derive(`hello of the ${this.end}`),
    };
  }
}

function macOf(key: Buffer, number: bigint, json: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64BE(number);
  head.writeUInt32BE(json.length, 8);
  return createHmac('sha256', key).update(head).update(json).digest();
}

/** Bytes that have come and were not read yet: a frame at most, and what came with its end. */
class Inbox {
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  add(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** The next `count` bytes, which stay; undefined where they have not come. */
  peek(count: number): Buffer | undefined {
    if (this.#bytes < count) return undefined;
    // Put together only when a read needs it, or a frame in small pieces would be copied with each of them.
    if ((this.#chunks[0]?.length ?? 0) < count) this.#chunks = [Buffer.concat(this.#chunks)];
    const [first = new Uint8Array(0)] = this.#chunks;
    return Buffer.from(first.buffer, first.byteOffset, count);
  }

  take(count: number): Buffer | undefined {
    const bytes = this.peek(count);
    const [first] = this.#chunks;
    if (bytes === undefined || first === undefined) return bytes;
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    this.#bytes -= count;
    return bytes;
  }
}

/** Bytes that a socket had no room for. */
class Outbox {
  readonly #chunks: Uint8Array[] = [];
  bytes = 0;

  constructor(private readonly outlet: Outlet) {}

  write(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
    // What waits already goes first, when there is room.
    if (this.#chunks.length === 1) this.flush();
  }

  flush(): void {
    for (let [first] = this.#chunks; first !== undefined; [first] = this.#chunks) {
      const count = this.outlet.write(first);
      if (count < 0) return;
      this.bytes -= count;
      if (count < first.length) {
        this.#chunks[0] = first.subarray(count);
        return;
      }
      this.#chunks.shift();
    }
  }
}
