import type { Masker } from '../calls/masking.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { type ByteSource, decodeUtf8, fitBeginning, jsonChars, type Share } from '../lib/utf8.ts';
import { type FileBytes, shownPath } from './place.ts';
import { isUtf8, utf16Of } from './text.ts';

/** The requested part of a file. */
export interface PageRequest {
  readonly offset: number | undefined;
  readonly limit: number | undefined;
  readonly unit: 'lines' | 'bytes';
  readonly numbers: boolean;
  readonly encoding: 'utf8' | 'base64';
}

/** A part of a file in an answer, without secrets if they are masked. */
export interface FilePage {
  readonly content: string;
  /** Where the next page begins, in the unit of the request; undefined at the end. */
  readonly next: number | undefined;
  /** How many lines the file has, if they were counted. */
  readonly lines: number | undefined;
  /** What a reader has to know about it. */
  readonly notes: readonly string[];
}

/** How many lines a page may be masked in at once. */
interface Part {
  readonly start: number;
  readonly end: number;
}

/**
 * Returns the requested part of a file, as far as it fits `share`. Throws `InvalidArguments` for lines of a file that
 * is too large to count them.
 */
export async function pageOf(
  path: string,
  file: FileBytes,
  request: PageRequest,
  share: Share,
  masker: Masker | undefined,
): Promise<FilePage> {
  const { encoding, unit, offset, limit } = request;
  if (encoding === 'base64' || unit === 'bytes') return await bytesPage(file, request, share, masker);
  if (file.isWhole) return await linesPage(file.bytes, request, share, masker);
  if (offset === undefined && limit === undefined) {
    const page = await bytesPage(file, { ...request, unit: 'bytes' }, share, masker);
    return {
      ...page,
      notes: [
        ...page.notes,
        'The file is too large to count lines: next_offset is in bytes, so read on with unit bytes.',
      ],
    };
  }
  throw new InvalidArguments(
    `${shownPath(path)} is too large to count its lines. Read it with unit bytes, or use shell: sed -n.`,
  );
}

async function bytesPage(
  { bytes, start: base, size, isWhole }: FileBytes,
  { offset = 0, limit = Number.POSITIVE_INFINITY, encoding, numbers }: PageRequest,
  share: Share,
  masker: Masker | undefined,
): Promise<FilePage> {
  if (numbers) throw new InvalidArguments('numbers needs unit lines and encoding utf8.');
  const start = isWhole ? (offset < 0 ? Math.max(0, bytes.length + offset) : Math.min(offset, bytes.length)) : 0;
  const most = Math.min(limit, share.bytes);
  const end =
    encoding === 'base64'
      ? Math.min(bytes.length, start + Math.min(most, Math.floor(share.chars / 4) * 3))
      : fitBeginning(bytes, { bytes: most, chars: share.chars }, start, true).end;
  const part = bytes.subarray(start, end);
  const source = sourceOf(bytes);
  const content =
    encoding === 'base64'
      ? base64Of((await masker?.maskBytes(part, source, start)) ?? part)
      : await maskedText(part, source, { start, end }, share, masker);
  return {
    content,
    next: end > start && base + end < size ? base + end : undefined,
    lines: undefined,
    notes: encoding === 'utf8' ? textNotes(part) : [],
  };
}

/** Returns whole lines from the requested one on; a line that does not fit at all is cut. */
async function linesPage(
  bytes: Uint8Array,
  { offset = 1, limit = Number.POSITIVE_INFINITY, numbers }: PageRequest,
  share: Share,
  masker: Masker | undefined,
): Promise<FilePage> {
  const total = countLines(bytes);
  const first = offset < 0 ? Math.max(1, total + offset + 1) : Math.max(1, offset);
  const start = startOfLine(bytes, first);
  let end = endOfLines(bytes, start, limit, share, numbers ? first : undefined);
  let line = first + countLines(bytes.subarray(start, end));
  const notes: string[] = [];
  if (line === first && start < bytes.length) {
    end = fitBeginning(bytes, share, start, true).end;
    line++;
    notes.push(`Line ${first} is cut, it is longer than an answer: read on with unit bytes and offset ${end}.`);
  }
  if (first > Math.max(1, total)) notes.push(`The file has ${total} lines.`);
  const part = bytes.subarray(start, end);
  const source = sourceOf(bytes);
  const content = numbers
    ? await numbered(part, source, { start, end }, first, share, masker)
    : await maskedText(part, source, { start, end }, share, masker);
  return { content, next: end < bytes.length ? line : undefined, lines: total, notes: [...notes, ...textNotes(part)] };
}

/**
 * Returns where the requested lines from `start` on end, as far as they fit; `first` is the number of the first, if
 * they get numbers.
 */
function endOfLines(bytes: Uint8Array, start: number, limit: number, share: Share, first: number | undefined): number {
  const last = limit === Number.POSITIVE_INFINITY ? bytes.length : startOfLine(bytes, limit + 1, start);
  if (first === undefined) {
    const { end } = fitBeginning(bytes.subarray(0, last), share, start);
    return end === last ? end : bytes.lastIndexOf(LINE_FEED, end - 1) + 1 || start;
  }
  let [end, chars] = [start, 0];
  for (let line = first; end < last; line++) {
    const next = endOfLine(bytes, end);
    chars += jsonChars(prefixOf(line)) + jsonChars(decodeUtf8(bytes.subarray(end, next)));
    if (next - start > share.bytes || chars > share.chars) break;
    end = next;
  }
  return end;
}

async function numbered(
  part: Uint8Array,
  source: ByteSource,
  { start, end }: Part,
  first: number,
  share: Share,
  masker: Masker | undefined,
): Promise<string> {
  if (part.length === 0) return '';
  const text = decodeUtf8(part);
  const last = text.endsWith('\n') ? '\n' : '';
  const texts = (last === '' ? text : text.slice(0, -1)).split('\n');
  masker?.allow(share.chars - jsonChars(text) - texts.length * (prefixOf(first + texts.length).length + 1));
  const shown = (await masker?.maskLines({ texts, start, end, arePart: true }, source, same)) ?? texts;
  return shown.map((line, index) => prefixOf(first + index) + line).join('\n') + last;
}

/** Before a line, if numbers are wanted. */
const prefixOf = (line: number): string => `${line}\t`;

async function maskedText(
  part: Uint8Array,
  source: ByteSource,
  { start, end }: Part,
  share: Share,
  masker: Masker | undefined,
): Promise<string> {
  const text = decodeUtf8(part);
  if (masker === undefined) return text;
  masker.allow(share.chars - jsonChars(text));
  return await masker.maskPart(text, source, start, end, same);
}

const same = (text: string): string => text;

function sourceOf(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

const LINE_FEED = 0x0a;

function countLines(bytes: Uint8Array): number {
  let lines = bytes.length > 0 && bytes.at(-1) !== LINE_FEED ? 1 : 0;
  // A file may consist of line feeds only: a search for each takes 30 times as long.
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === LINE_FEED) lines++;
  return lines;
}

/** Returns where a line begins, counted from 1 at `from`; the end of the file if there are not so many. */
function startOfLine(bytes: Uint8Array, line: number, from = 0): number {
  let at = from;
  for (let before = 1; before < line && at < bytes.length; at++) if (bytes[at] === LINE_FEED) before++;
  return at;
}

/** Returns the offset after the line feed of the line that begins at `at`. */
function endOfLine(bytes: Uint8Array, at: number): number {
  const end = bytes.indexOf(LINE_FEED, at);
  return end === -1 ? bytes.length : end + 1;
}

/** Returns notes on bytes that are shown as text. */
function textNotes(bytes: Uint8Array): string[] {
  const encoding = utf16Of(bytes);
  if (encoding !== undefined)
    return [`This is ${encoding} text: shell shows it with iconv -f UTF-16. encoding base64 returns the bytes.`];
  if (isUtf8(bytes)) return [];
  return ['Bytes that are not UTF-8 are shown as \uFFFD: do not write that back. encoding base64 returns the bytes.'];
}
