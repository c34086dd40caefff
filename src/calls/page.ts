import { fitBeginning, fitEnd, type Share } from '../lib/cut.ts';
import { boundaryFrom, decodeUtf8 } from '../lib/utf8.ts';
import type { ByteSource } from './reply.ts';

export type Encoding = 'utf8' | 'base64';

/** A slice of a stream as an answer holds it. */
export interface Page {
  readonly text: string;
  /** Where in the stream the slice begins and ends, in bytes. */
  readonly start: number;
  readonly end: number;
  /** What the text takes in the answer's JSON. */
  readonly chars: number;
}

/** Bytes beside a slice that tell whether its first or last character is whole. */
const CONTEXT_BYTES = 3;

/**
 * The slice of `stream` at `offset` that fits `share`. A negative offset counts from the end. As UTF-8 it is cut only
 * between characters and holds at least one, also where that is longer than `share.bytes`: so page after page joins
 * to the stream.
 */
export function readPage(stream: ByteSource, offset: number, share: Share, encoding: Encoding): Page {
  const start = offset < 0 ? Math.max(0, stream.size + offset) : offset;
  if (encoding === 'base64') return readBase64(stream, start, share);
  const aligned = offset < 0 ? alignForward(stream, start) : start;
  const bytes = stream.read(aligned, share.bytes + CONTEXT_BYTES);
  const piece = fitBeginning(bytes, share, 0, true);
  return {
    text: decodeUtf8(bytes.subarray(0, piece.end)),
    start: aligned,
    end: aligned + piece.end,
    chars: piece.chars,
  };
}

function readBase64(stream: ByteSource, start: number, share: Share): Page {
  const bytes = stream.read(start, Math.min(share.bytes, base64Room(share.chars)));
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
  return { text, start, end: start + bytes.length, chars: text.length };
}

/** How many bytes fit into `chars` characters of Base64: three in every four. */
function base64Room(chars: number): number {
  return Math.floor(chars / 4) * 3;
}

/** The end of `stream`, from `least` on, that fits `share`, without anything added to it. */
export function readEnd(stream: ByteSource, share: Share, encoding: Encoding, least = 0): Page {
  if (encoding === 'base64') {
    const room = Math.min(share.bytes, base64Room(share.chars), Math.max(0, stream.size - least));
    return readBase64(stream, stream.size - room, { bytes: room, chars: share.chars });
  }
  const from = Math.max(Math.min(least, stream.size), stream.size - share.bytes - CONTEXT_BYTES);
  const bytes = stream.read(from, stream.size - from);
  const piece = fitEnd(bytes, share);
  return {
    text: decodeUtf8(bytes.subarray(piece.start)),
    start: from + piece.start,
    end: stream.size,
    chars: piece.chars,
  };
}

/** The first place at or after `offset` where a character begins. */
function alignForward(stream: ByteSource, offset: number): number {
  const from = Math.max(0, offset - CONTEXT_BYTES);
  const bytes = stream.read(from, 2 * CONTEXT_BYTES + 1);
  return from + boundaryFrom(bytes, offset - from);
}
