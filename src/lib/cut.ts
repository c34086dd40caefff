import { boundaryFrom, unitJsonChars, unitLength } from './utf8.ts';

/** What a piece of output may take: bytes of the stream, and characters of the answer's JSON text. */
export interface Share {
  readonly bytes: number;
  readonly chars: number;
}

/** Where a piece of output lies within the bytes looked at, and what it costs as JSON text. */
export interface Piece {
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
