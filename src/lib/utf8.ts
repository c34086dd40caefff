/**
 * Text units: what a UTF-8 decoder turns into one character. A unit is a well-formed character, or the longest
 * ill-formed run that becomes one U+FFFD (WHATWG Encoding, "maximal subpart" of Unicode 3.9). Cutting only between
 * units makes decoded pages join to the decoded whole, for any bytes.
 */

/** A stream's bytes at one moment, wherever they lie. */
export interface ByteSource {
  readonly size: number;
  /** Up to `length` bytes from `offset`; fewer where the stream ends. They are put into `into`, where that is given. */
  read(offset: number, length: number, into?: Uint8Array): Uint8Array;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The bytes as text; what is no UTF-8 becomes U+FFFD, a byte order mark stays. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** How many bytes the character that `lead` begins should have; 1 for what begins none. */
function expectedLength(lead: number): number {
  if (lead < 0xc2) return 1;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 1;
}

/** Whether `second` may follow `lead`: rules out overlong forms, surrogates and what lies past U+10FFFF. */
function secondFits(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0 && second <= 0xbf;
  if (lead === 0xed) return second >= 0x80 && second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90 && second <= 0xbf;
  if (lead === 0xf4) return second >= 0x80 && second <= 0x8f;
  return isContinuation(second);
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Length in bytes, 1 to 4, of the text unit at `at`, which must lie inside of `bytes`. */
export function unitLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  const expected = expectedLength(lead);
  if (expected === 1) return 1;
  const second = bytes[at + 1];
  if (second === undefined || !secondFits(lead, second)) return 1;
  for (let length = 2; length < expected; length++) {
    const next = bytes[at + length];
    if (next === undefined || !isContinuation(next)) return length;
  }
  return expected;
}

/** The first place at or after `at` that lies between two units. Reads up to three bytes before `at`. */
export function boundaryFrom(bytes: Uint8Array, at: number): number {
  if (at <= 0 || at >= bytes.length) return Math.max(0, Math.min(at, bytes.length));
  for (let lead = at - 1; lead >= Math.max(0, at - 3); lead--) {
    if (isContinuation(bytes[lead] ?? 0)) continue;
    return Math.max(at, lead + unitLength(bytes, lead));
  }
  return at;
}

/** How many bytes at the end, 0 to 3, begin a character whose other bytes are still to come. */
export function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const at = bytes.length - back;
    const lead = bytes[at] ?? 0;
    if (isContinuation(lead)) continue;
    return unitLength(bytes, at) === back && expectedLength(lead) > back ? back : 0;
  }
  return 0;
}

/** Characters that `JSON.stringify` writes for one ASCII byte: `"` is two, ESC is six (RFC 8259, section 7). */
const ASCII_JSON_CHARS = Uint8Array.from(
  { length: 128 },
  (_, code) => JSON.stringify(String.fromCharCode(code)).length - 2,
);

/** UTF-16 units of JSON text that the unit of `length` bytes at `at` becomes. */
export function unitJsonChars(bytes: Uint8Array, at: number, length: number): number {
  if (length === 4) return 2;
  const lead = bytes[at] ?? 0;
  return lead < 128 ? (ASCII_JSON_CHARS[lead] ?? 1) : 1;
}

/** Length of `text` inside of a JSON string, without the quotes. */
export function jsonChars(text: string): number {
  return JSON.stringify(text).length - 2;
}

/** What a piece of output may take: bytes of the stream, and characters of the answer's JSON text. */
export interface Share {
  readonly bytes: number;
  readonly chars: number;
}

/** Where a piece of output lies within the bytes looked at, and what it costs as JSON text. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly chars: number;
}

/**
 * The longest beginning of `bytes` from `start` on that fits `share`, cut between two units.
 * With `atLeastOne` it holds one unit even where that is larger than the share, so that paging always moves on.
 */
export function fitBeginning(bytes: Uint8Array, share: Share, start = 0, atLeastOne = false): Piece {
  let end = start;
  let chars = 0;
  while (end < bytes.length) {
    const length = unitLength(bytes, end);
    const cost = unitJsonChars(bytes, end, length);
    const fits = end + length - start <= share.bytes && chars + cost <= share.chars;
    if (!fits && !(atLeastOne && end === start)) break;
    end += length;
    chars += cost;
  }
  return { start, end, chars };
}

/** The longest end of `bytes` that fits `share`, cut between two units. Bytes before it serve to find the boundary. */
export function fitEnd(bytes: Uint8Array, share: Share): Piece {
  const end = bytes.length;
  let start = boundaryFrom(bytes, Math.max(0, end - share.bytes));
  let chars = fitBeginning(bytes, UNLIMITED, start).chars;
  while (chars > share.chars) {
    const length = unitLength(bytes, start);
    chars -= unitJsonChars(bytes, start, length);
    start += length;
  }
  return { start, end, chars };
}

const UNLIMITED: Share = { bytes: Number.POSITIVE_INFINITY, chars: Number.POSITIVE_INFINITY };

/**
 * Divides `total` between the two streams: standard error gets at most a quarter where both are long,
 * standard output all that is left. The unit is the caller's (bytes or characters).
 */
export function divide(
  total: number,
  stdout: number,
  stderr: number,
): { readonly stdout: number; readonly stderr: number } {
  const errorShare = Math.min(stderr, Math.max(Math.floor(total / 4), total - stdout));
  return { stdout: Math.min(stdout, total - errorShare), stderr: errorShare };
}
