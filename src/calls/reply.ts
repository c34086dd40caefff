import { decodeUtf8, divide, fitBeginning, fitEnd, jsonChars, type Share } from '../lib/utf8.ts';

/** A stream's bytes at one moment, wherever they lie. */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /** Up to `length` bytes from `offset`; fewer where the stream ends. They are put into `into`, where that is given. */
  read(offset: number, length: number, into?: Uint8Array): Uint8Array;
}

/** Which part of an over-long stream comes inline. */
export type Keep = 'both' | 'head' | 'tail';

/** The part of a stream that is not inline: where it begins and how long it is. */
export interface Omission {
  readonly offset: number;
  readonly bytes: number;
}

export interface FittedStream {
  readonly text: string;
  readonly omitted?: Omission;
  /** Where something is omitted: what stands before and behind that. */
  readonly parts?: { readonly head: string; readonly tail: string };
}

export interface FittedStreams {
  readonly stdout: FittedStream;
  readonly stderr: FittedStream;
}

/**
 * JSON characters kept free for the line that tells of an omission: 53 of text, two numbers of up to 16 digits, two
 * line breaks of two characters each.
 */
const NOTE_CHARS = 100;

/**
 * The two streams as text that fits `budget`: whole where they fit together, else cut as `keep` says, with a line in
 * the place of what is missing. That line counts as characters, not as output bytes.
 */
export function fitStreams(stdout: ByteSource, stderr: ByteSource, budget: Share, keep: Keep): FittedStreams {
  const bytes = divide(budget.bytes, stdout.size, stderr.size);
  const first = {
    stdout: fitStream(stdout, { bytes: bytes.stdout, chars: budget.chars }, keep),
    stderr: fitStream(stderr, { bytes: bytes.stderr, chars: budget.chars }, keep),
  };
  const cost = { stdout: jsonChars(first.stdout.text), stderr: jsonChars(first.stderr.text) };
  if (cost.stdout + cost.stderr <= budget.chars) return first;
  const chars = divide(budget.chars, cost.stdout, cost.stderr);
  return {
    stdout: fitStream(stdout, { bytes: bytes.stdout, chars: chars.stdout }, keep),
    stderr: fitStream(stderr, { bytes: bytes.stderr, chars: chars.stderr }, keep),
  };
}

function fitStream(stream: ByteSource, share: Share, keep: Keep): FittedStream {
  if (stream.size <= share.bytes) {
    const text = decodeUtf8(stream.read(0, stream.size));
    // Six is the most characters that one byte becomes (ESC as an escape sequence of JSON).
    if (stream.size * 6 <= share.chars || jsonChars(text) <= share.chars) return { text };
  }
  return cutStream(stream, share, keep);
}

function cutStream(stream: ByteSource, share: Share, keep: Keep): FittedStream {
  const [headPart, tailPart] = PARTS[keep];
  const chars = Math.max(0, share.chars - NOTE_CHARS);
  const head = readHead(stream, scale(share.bytes, chars, headPart));
  const tail = readTail(stream, scale(share.bytes, chars, tailPart));
  const omitted = { offset: head.length, bytes: stream.size - head.length - tail.length };
  const parts = { head: decodeUtf8(head), tail: decodeUtf8(tail) };
  return { text: joinWithNote(parts, omitted), omitted, parts };
}

/** What of a share goes to the beginning and to the end: beginnings say what ran, ends say what failed. */
const PARTS: Readonly<Record<Keep, readonly [number, number]>> = {
  both: [1 / 3, 2 / 3],
  head: [1, 0],
  tail: [0, 1],
};

function scale(bytes: number, chars: number, part: number): Share {
  return { bytes: Math.floor(bytes * part), chars: Math.floor(chars * part) };
}

/** Bytes beyond a piece that tell whether its last or first character is whole. */
const CONTEXT_BYTES = 3;

function readHead(stream: ByteSource, share: Share): Uint8Array {
  const bytes = stream.read(0, share.bytes + CONTEXT_BYTES);
  return bytes.subarray(0, fitBeginning(bytes, share).end);
}

function readTail(stream: ByteSource, share: Share): Uint8Array {
  const from = Math.max(0, stream.size - share.bytes - CONTEXT_BYTES);
  const bytes = stream.read(from, stream.size - from);
  return bytes.subarray(fitEnd(bytes, share).start);
}

/** The one line that stands between beginning and end. */
export function omissionNote({ offset, bytes }: Omission): string {
  return `[agent3: ${bytes} bytes omitted; read_session offset ${offset} reads them]`;
}

/** Beginning and end of a stream, with that line between them. */
export function joinWithNote({ head, tail }: NonNullable<FittedStream['parts']>, omitted: Omission): string {
  const before = head === '' || head.endsWith('\n') ? '' : '\n';
  const after = tail === '' ? '' : '\n';
  return `${head}${before}${omissionNote(omitted)}${after}${tail}`;
}

/** The field `omitted` of an answer, with the streams that were cut; undefined when none was. */
export function omittedOf<T>(stdout: T | undefined, stderr: T | undefined): { stdout?: T; stderr?: T } | undefined {
  if (stdout === undefined && stderr === undefined) return undefined;
  return { ...(stdout !== undefined && { stdout }), ...(stderr !== undefined && { stderr }) };
}
