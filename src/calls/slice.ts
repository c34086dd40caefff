import { Type } from '@sinclair/typebox';
import type { ByteSource } from '../lib/utf8.ts';
import { boundaryFrom, decodeUtf8, fitBeginning, fitEnd, type Share } from '../lib/utf8.ts';
import { openSequenceLength, plainText } from '../lib/visible.ts';
import type { Session, StoredStream, StreamName } from '../sessions/session.ts';
import { envelopeChars, messageOf, outputFields, type Snapshot, snapshot, turnFor } from './answer.ts';
import { type Answer, type CallContext, type OperationDeps, replyChars, revalidate } from './context.ts';
import { forgetNotes, type Notes, recordHints } from './hints.ts';
import { MASK_HINT, type Masker } from './masking.ts';

/** The fields of an answer with a slice of a session. */
export const sliceFields = {
  ...outputFields,
  next_offset: Type.Integer({ description: 'Where the next read of this stream begins, in bytes.' }),
  eof: Type.Boolean({ description: 'True when the command has ended and nothing follows.' }),
} as const;

export interface SliceRequest {
  readonly offset: number;
  readonly limit: number;
  readonly stream: StreamName;
  readonly encoding: Encoding;
  /** Whether escape sequences are left out; undefined: only if the command has a terminal. */
  readonly plain?: boolean;
  /** From where on the other stream is needed, in bytes; undefined: all of it in `POST /`, else nothing. */
  readonly otherFrom?: number;
}

/** Returns a slice of a session's output as far as it fits one answer, and the state of its command. */
export async function sliceAnswer(
  deps: OperationDeps,
  session: Session,
  given: SliceRequest,
  notes: Notes,
  called: CallContext,
): Promise<Answer> {
  const now = snapshot(session, deps.clock);
  await turnFor(called, now);
  const context = revalidate(called);
  const { record } = session;
  const { masker, limits } = context;
  const name: StreamName = given.stream;
  const isAlone = context.isLean === true && given.otherFrom === undefined;
  const hints = [
    ...recordHints(record, context, {
      ...notes,
      durationMs: now.fields.duration_ms,
      next: 'next_offset',
      hidesStderr: isAlone && name === 'stdout',
    }),
    ...notes.more,
    beyondHint(given, now),
  ];
  forgetNotes(session);
  const message = messageOf(...hints, masker && MASK_HINT);
  const frame = { ...now.fields, truncated: false, next_offset: Number.MAX_SAFE_INTEGER, eof: false, ...message };
  const room = replyChars(context) - envelopeChars(frame);
  const other: StreamName = name === 'stdout' ? 'stderr' : 'stdout';
  const isPlain = given.encoding === 'utf8' && (given.plain ?? record.input === 'terminal');

  const bytes = Math.min(given.limit, limits.maxOutputBytes);
  const read = readPage(now.streams[name], given.offset, { bytes, chars: room }, given.encoding);
  const page = isPlain ? plainPage(read) : read;
  const left = { bytes: Math.max(0, limits.maxOutputBytes - (page.end - page.start)), chars: room - page.chars };
  const otherFrom = given.otherFrom ?? (isAlone ? now.streams[other].size : 0);
  const end = readEnd(now.streams[other], left, given.encoding, otherFrom);
  const rest = isPlain ? { ...end, text: plainText(end.text) } : end;
  masker?.allow(room - page.chars - rest.chars);
  const shown = await shownPage(masker, page, now.streams[name], given.encoding, isPlain);
  const otherShown = await shownPage(masker, rest, now.streams[other], given.encoding, isPlain);

  const whole = page.start === 0 && page.end >= now.streams[name].size && rest.start === 0;
  return {
    [name]: shown,
    ...(!isAlone && { [other]: otherShown }),
    ...now.fields,
    truncated: !whole,
    next_offset: page.end,
    eof: !now.running && page.end >= now.streams[name].size,
    ...messageOf(...hints, masker?.hint()),
  };
}

async function shownPage(
  masker: Masker | undefined,
  { text, start, end }: Page,
  stream: StoredStream,
  encoding: Encoding,
  isPlain: boolean,
): Promise<string> {
  if (masker === undefined) return text;
  if (encoding === 'utf8') return masker.maskPart(text, stream, start, end, isPlain ? plainText : (same) => same);
  return Buffer.from(await masker.maskBytes(Buffer.from(text, 'base64'), stream, start)).toString('base64');
}

/** Reports an offset that the stream does not have: the reader would miss the output. */
function beyondHint({ offset, stream }: SliceRequest, { streams }: Snapshot): string | undefined {
  const { size } = streams[stream];
  return offset > size ? `offset ${offset} is beyond the end of ${stream}, which has ${size} bytes so far.` : undefined;
}

/** Returns a page without escape sequences. One cut at the end is left to the next page, if this page has more. */
function plainPage(page: Page): Page {
  const cut = page.text.length - openSequenceLength(page.text);
  if (cut === 0) return { ...page, text: plainText(page.text) };
  const tail = Buffer.byteLength(page.text.slice(cut));
  return { ...page, text: plainText(page.text.slice(0, cut)), end: page.end - tail };
}

export type Encoding = 'utf8' | 'base64';

/** A slice of a stream as an answer holds it. */
export interface Page {
  readonly text: string;
  /** Where the slice begins and ends in the stream, in bytes. */
  readonly start: number;
  readonly end: number;
  /** The length of the text in the answer's JSON. */
  readonly chars: number;
}

/** Bytes next to a slice that show whether its first or last character is complete. */
const CONTEXT_BYTES = 3;

/**
 * Returns the slice of `stream` at `offset` that fits `share`. A negative offset counts from the end. UTF-8 is cut only
 * between characters, and a slice has at least one, even if that is longer than `share.bytes`: so consecutive pages
 * join to the stream.
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

function base64Room(chars: number): number {
  return Math.floor(chars / 4) * 3;
}

/** Returns the end of `stream`, from `least` on, that fits `share`, without additions. */
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

function alignForward(stream: ByteSource, offset: number): number {
  const from = Math.max(0, offset - CONTEXT_BYTES);
  const bytes = stream.read(from, 2 * CONTEXT_BYTES + 1);
  return from + boundaryFrom(bytes, offset - from);
}
