import { type ByteSource, decodeUtf8, jsonChars, unitLength } from '../lib/utf8.ts';
import type { SecretSpan } from '../secrets/secret-assignments.ts';
import { type KnownSecrets, keyMarkers, secretSpans } from '../secrets/secrets.ts';

/** How much before and after a part of a stream is read, to recognize secrets at its edges. */
const CONTEXT_BYTES = 4096;
/** The same for whole lines: a secret does not continue in another line, but its name may be there. */
const LINE_CONTEXT_BYTES = 512;

/** How much of a text is searched in one turn, together with its surroundings: a few milliseconds. */
const WINDOW_CHARS = 16_384;
/** Garbage that a window leaves if there is a secret in each line. */
export const WINDOW_GARBAGE_BYTES = 400_000;
/** A shorter text waits for no turn: it takes less than a millisecond. */
const SHORT_CHARS = 2048;

/** Used if the usual mark has no room; cut to the length of the secret, so that nothing grows. */
const SHORT_MARK = '***';

const NO_BYTES = new Uint8Array(0);

/** Lines of a stream, as they are shown, and where they begin and end in it. */
interface Lines {
  readonly texts: readonly string[];
  readonly start: number;
  readonly end: number;
  readonly arePart: boolean;
}

/** Masks secrets in one answer, and notes whether there were any. */
export class Masker {
  #count = 0;
  /** Characters of JSON that marks may still add. */
  #spare = Number.POSITIVE_INFINITY;
  /** Reused for reading: with many streams, a new buffer for each piece would be most of the garbage. */
  #room = NO_BYTES;

  /** `turn` is awaited before each piece of work on a long text. */
  constructor(
    private readonly known: KnownSecrets,
    private readonly turn: () => Promise<void> = async () => {},
  ) {}

  /** Allows marks to make the masked text longer by so many characters of JSON, in all. */
  allow(spareChars: number): void {
    this.#spare = spareChars;
  }

  /** Returns `text` without its secrets; `before` and `after` are its surroundings. */
  async mask(text: string, before = '', after = ''): Promise<string> {
    return this.#replace(text, await this.#spans(text, before, after));
  }

  /** Returns the text of a part of a stream, from byte `start` to `end`, without its secrets. `show` converts it. */
  async maskPart(
    text: string,
    stream: ByteSource,
    start: number,
    end: number,
    show: (text: string) => string,
  ): Promise<string> {
    const { before, after } = surroundings(stream, start, end, CONTEXT_BYTES, show);
    return this.mask(text, before, after);
  }

  /** Returns lines without their secrets, including secrets of several lines. */
  async maskLines(
    { texts, start, end, arePart }: Lines,
    stream: ByteSource,
    show: (text: string) => string,
  ): Promise<string[]> {
    const context = arePart ? CONTEXT_BYTES : LINE_CONTEXT_BYTES;
    const { before, after } = surroundings(stream, start, end, context, show);
    const spans = await this.#spans(texts.join('\n'), before, after);
    let at = 0;
    return texts.map((text) => {
      const inLine = clip(spans, at, at + text.length);
      at += text.length + 1;
      return this.#replace(text, inLine);
    });
  }

  /** Returns the bytes of a stream from `start` on without their secrets; the same bytes without any. */
  async maskBytes(bytes: Uint8Array, stream: ByteSource, start: number): Promise<Uint8Array> {
    const from = Math.max(0, start - CONTEXT_BYTES);
    const lead = isInKey(stream, from) ? KEY_BEGIN : '';
    const length = start - from + bytes.length + CONTEXT_BYTES;
    const room = this.#room.length < length ? new Uint8Array(length) : this.#room;
    // No other call may write to it meanwhile.
    this.#room = NO_BYTES;
    const around = stream.read(from, length, room);
    const found = clip(await this.#find(lead + decodeUtf8(around)), lead.length, Number.POSITIVE_INFINITY);
    const spans = clip(byteSpans(around, found), start - from, start - from + bytes.length);
    this.#room = room;
    if (spans.length === 0) return bytes;
    this.#count += spans.length;
    const pieces: Uint8Array[] = [];
    let at = 0;
    // Three bytes are four characters of Base64.
    let spare = Math.floor(this.#spare / 4) * 3;
    for (const { start: first, end, kind } of spans) {
      const mark = Buffer.from(markFor(kind, end - first, spare - 2 * BRACKET_BYTES));
      spare -= mark.length - (end - first);
      pieces.push(bytes.subarray(at, first), mark);
      at = end;
    }
    const masked = Buffer.concat([...pieces, bytes.subarray(at)]);
    this.#spare -= base64Chars(masked) - base64Chars(bytes);
    return masked;
  }

  /** Returns the hint that something was masked, if it was. */
  hint(): string | undefined {
    return this.#count === 0 ? undefined : MASK_HINT;
  }

  async #spans(text: string, before: string, after: string): Promise<SecretSpan[]> {
    const spans = await this.#find(before + text + after);
    return clip(spans, before.length, before.length + text.length);
  }

  /** Returns the secrets in a text. A long text is searched window by window, each with its surroundings. */
  async #find(text: string): Promise<SecretSpan[]> {
    if (text.length > SHORT_CHARS) await this.turn();
    if (text.length <= WINDOW_CHARS + 2 * CONTEXT_BYTES) return secretSpans(text, this.known);
    const isKeyAt = keyMarks(text);
    const found: SecretSpan[] = [];
    for (let at = 0; at < text.length; at += WINDOW_CHARS) {
      if (at > 0) await this.turn();
      const from = Math.max(0, at - CONTEXT_BYTES);
      const lead = isKeyAt(from) ? KEY_BEGIN : '';
      const window = lead + text.slice(from, at + WINDOW_CHARS + CONTEXT_BYTES);
      for (const { start, end, kind } of secretSpans(window, this.known)) {
        const span = { start: Math.max(from, from + start - lead.length), end: from + end - lead.length, kind };
        // A secret that begins after the window is found by the next window, with more around it.
        if (span.start < at + WINDOW_CHARS && span.end > at) found.push(span);
      }
    }
    return joined(found);
  }

  #replace(text: string, spans: readonly SecretSpan[]): string {
    this.#count += spans.length;
    let [result, at] = ['', 0];
    for (const { start, end, kind } of spans) {
      const last = isInPair(text, end) ? end + 1 : end;
      const cost = jsonChars(text.slice(start, last));
      const mark = markFor(kind, cost, this.#spare);
      this.#spare -= mark.length - cost;
      result += text.slice(at, start) + mark;
      at = last;
    }
    return result + text.slice(at);
  }
}

function joined(spans: readonly SecretSpan[]): SecretSpan[] {
  const result: SecretSpan[] = [];
  for (const span of spans) {
    const last = result.at(-1);
    if (last === undefined || span.start > last.end || (span.start === last.end && span.kind !== last.kind))
      result.push(span);
    else if (span.end > last.end) result[result.length - 1] = { ...last, end: span.end };
  }
  return result;
}

/** The hint in an answer in which something was masked. */
export const MASK_HINT = 'What looks like a secret is masked in this answer, as ‹password› or the like, or as ***.';

/** Each bracket of a mark has two more bytes in UTF-8 than characters. */
const BRACKET_BYTES = 2;

/** Returns the mark for a kind of secret that takes `cost`, if it adds at most `spare`; else a short one. */
function markFor(kind: string, cost: number, spare: number): string {
  const mark = `‹${kind}›`;
  return mark.length - cost <= spare ? mark : SHORT_MARK.slice(0, cost);
}

function base64Chars({ length }: Uint8Array): number {
  return Math.ceil(length / 3) * 4;
}

function isInPair(text: string, at: number): boolean {
  return /^[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(at - 1, at + 1));
}

/** Returns the part of `spans` between `from` and `to`, counted from `from` on. */
function clip(spans: readonly SecretSpan[], from: number, to: number): SecretSpan[] {
  return spans
    .map(({ start, end, kind }) => ({ start: Math.max(start, from) - from, end: Math.min(end, to) - from, kind }))
    .filter(({ start, end }) => end > start);
}

function surroundings(
  stream: ByteSource,
  start: number,
  end: number,
  length: number,
  show: (text: string) => string,
): { readonly before: string; readonly after: string } {
  const from = Math.max(0, start - length);
  const before = show(decodeUtf8(stream.read(from, start - from)));
  return {
    before: isInKey(stream, from) ? KEY_BEGIN + before : before,
    after: show(decodeUtf8(stream.read(end, length))),
  };
}

/** Converts spans of the text of `bytes`, in their order, to spans of the bytes. */
function byteSpans(bytes: Uint8Array, spans: readonly SecretSpan[]): SecretSpan[] {
  let [at, chars] = [0, 0];
  const byteAt = (char: number): number => {
    while (chars < char && at < bytes.length) {
      const length = unitLength(bytes, at);
      at += length;
      // A character of four bytes is a surrogate pair.
      chars += length === 4 ? 2 : 1;
    }
    return at;
  };
  return spans.map(({ start, end, kind }) => ({ start: byteAt(start), end: byteAt(end), kind }));
}

/** How far back a private key may have begun: a PGP key with a picture and many signatures has 26 KB. */
const LOOK_BACK_BYTES = 65_536;
/** How far ahead a key may end, if its beginning is further back than that. */
const LOOK_AHEAD_BYTES = 4096;

/** Put before a text that begins in the middle of a key. */
const KEY_BEGIN = '-----BEGIN PRIVATE KEY-----\n';

/** Reused buffer: every part of a stream that is masked is examined here. */
const scratch = Buffer.alloc(LOOK_BACK_BYTES + LOOK_AHEAD_BYTES);

/** Whether byte `at` of a stream is within a private key, according to the nearest begin or end line. */
export function isInKey(stream: ByteSource, at: number): boolean {
  const from = Math.max(0, at - LOOK_BACK_BYTES);
  const read = stream.read(from, at - from + LOOK_AHEAD_BYTES, scratch);
  const bytes = Buffer.from(read.buffer, read.byteOffset, read.length);
  return bytes.includes('PRIVATE KEY') && keyMarks(bytes.toString('latin1'))(at - from);
}

/** The same for positions of a text, in which these lines are looked for once. */
function keyMarks(text: string): (at: number) => boolean {
  const markers = keyMarkers(text);
  return (at) => {
    const before = markers.findLast(({ start }) => start < at);
    return before === undefined ? markers[0]?.isBegin === false : before.isBegin;
  };
}
