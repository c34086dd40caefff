import { systemClock } from '../lib/clock.ts';

/** How long the last word of a stream is held back when nothing is written behind it. */
export const TAIL_SECONDS = 1;
/** A longer word is held back no more: what looks like a token does so long before. */
export const LONGEST_TAIL_BYTES = 256;

/** A last word that may go on, and may be one of a secret: not a bar of progress or the end of a question. */
const UNFINISHED = /[\w+/=.~:%-]*[A-Za-z0-9][\w+/=.~:%-]*$/;

/** How many bytes at the end of `bytes` are of a word that may go on and become a secret. */
export function unfinishedBytes(bytes: Uint8Array): number {
  const last = Buffer.from(bytes.subarray(-LONGEST_TAIL_BYTES - 1)).toString('latin1');
  const length = /[!-~]*$/.exec(last)?.[0].length ?? 0;
  return length <= LONGEST_TAIL_BYTES && UNFINISHED.test(last) ? length : 0;
}

/**
 * The last word of a stream whose masks are wanted: a secret that is written piece by piece shows its look only when all
 * of it is there. It is held back until something ends it, or for `TAIL_SECONDS` after the last piece.
 */
export class Tail {
  #end = 0;
  #sinceMs = 0;

  /** How many bytes at the end of a piece, which begins at `offset`, are not to be shown yet. */
  heldOf(piece: Uint8Array, offset: number): number {
    const now = systemClock.elapsed();
    if (offset + piece.length !== this.#end) [this.#end, this.#sinceMs] = [offset + piece.length, now];
    return now - this.#sinceMs < TAIL_SECONDS * 1000 ? unfinishedBytes(piece) : 0;
  }
}
