/**
 * Text units: what a UTF-8 decoder turns into one character. A unit is a well-formed character, or the longest
 * ill-formed run that becomes one U+FFFD (WHATWG Encoding, "maximal subpart" of Unicode 3.9). Cutting only between
 * units makes decoded pages join to the decoded whole, for any bytes.
 */

/** A stream's bytes at one moment, wherever they lie. */
export interface ByteSource {
  readonly size: number;
  /**
   * Returns up to `length` bytes from `offset`; fewer at the end of the stream. They are put into `into`, if that is
   * set.
   */
  read(offset: number, length: number, into?: Uint8Array): Uint8Array;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes bytes; invalid UTF-8 becomes U+FFFD, a byte order mark stays. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Returns how many bytes the character that `lead` begins should have; 1 if it begins none. */
function expectedLength(lead: number): number {
  if (lead < 0xc2) return 1;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 1;
}

/** Whether `second` may follow `lead`: excludes overlong forms, surrogates and values above U+10FFFF. */
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

/** Returns the length in bytes, 1 to 4, of the text unit at `at`, which must be within `bytes`. */
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

/** Returns the first position at or after `at` between two units. Reads up to three bytes before `at`. */
export function boundaryFrom(bytes: Uint8Array, at: number): number {
  if (at <= 0 || at >= bytes.length) return Math.max(0, Math.min(at, bytes.length));
  for (let lead = at - 1; lead >= Math.max(0, at - 3); lead--) {
    if (isContinuation(bytes[lead] ?? 0)) continue;
    return Math.max(at, lead + unitLength(bytes, lead));
  }
  return at;
}

/** Returns how many bytes at the end, 0 to 3, begin an incomplete character. */
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

/** Returns the UTF-16 units of JSON text for the unit of `length` bytes at `at`. */
export function unitJsonChars(bytes: Uint8Array, at: number, length: number): number {
  if (length === 4) return 2;
  const lead = bytes[at] ?? 0;
  return lead < 128 ? (ASCII_JSON_CHARS[lead] ?? 1) : 1;
}

/** Returns the length of `text` in a JSON string, without the quotes. */
export function jsonChars(text: string): number {
  return JSON.stringify(text).length - 2;
}

/** Limits of a piece of output: bytes of the stream, and characters of the answer's JSON text. */
export interface Share {
  readonly bytes: number;
  readonly chars: number;
}

/** The position of a piece of output within the bytes, and its length as JSON text. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly chars: number;
}

/**
 * Returns the longest beginning of `bytes` from `start` on that fits `share`, cut between two units. With `atLeastOne`
 * it has one unit even if that is larger than the share, so that paging always advances.
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

/**
 * Returns the longest end of `bytes` that fits `share`, cut between two units. Bytes before it help to find the
 * boundary.
 */
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
 * Divides `total` between the two streams: if both are long, standard error gets at most a quarter, standard output the
 * rest. The unit is the caller's (bytes or characters).
 */
export function divide(
  total: number,
  stdout: number,
  stderr: number,
): { readonly stdout: number; readonly stderr: number } {
  const errorShare = Math.min(stderr, Math.max(Math.floor(total / 4), total - stdout));
  return { stdout: Math.min(stdout, total - errorShare), stderr: errorShare };
}
