import { InvalidArguments } from '../lib/errors.ts';
import { MAX_FILE_BYTES } from '../lib/limits.ts';
import { shownPath } from './place.ts';
import { utf16Of } from './text.ts';

/** A text that replaces another one. */
export interface Edit {
  readonly old: string;
  readonly new: string;
  /** Whether every occurrence of `old` is replaced; else there must be exactly one. */
  readonly all: boolean;
}

/** Most places that are named if a text occurs more than once. */
const MOST_NAMED = 10;

/** More places than these, in all edits of a call, are work for a program. */
const MAX_PLACES = 100_000;

/** So many places are found, or replaced, in 2 ms. */
const PLACES_A_PIECE = 10_000;

/** Waits for the turn of a piece of work, which leaves about so many bytes of garbage. */
export type TakeTurn = (garbageBytes: number) => Promise<void>;

/**
 * Returns a file after edits, made one after the other; `turn` is awaited before each piece of work. It works on bytes:
 * invalid UTF-8 stays as it is. Throws `InvalidArguments` if one edit is impossible; then none is made.
 */
export async function withEdits(
  path: string,
  file: Uint8Array,
  edits: readonly Edit[],
  turn: TakeTurn,
): Promise<Uint8Array> {
  let bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  let placesLeft = MAX_PLACES;
  const refuse = (index: number, what: string): InvalidArguments =>
    new InvalidArguments(`${edits.length === 1 ? 'old' : `old of edit ${index + 1}`} ${what} Nothing was changed.`);
  if (utf16Of(bytes) !== undefined)
    throw new InvalidArguments(
      `${shownPath(path)} is UTF-16, and edits are made in UTF-8. Convert it with shell: iconv -f UTF-16 -t UTF-8. Nothing was changed.`,
    );
  for (const [index, { old, new: text, all }] of edits.entries()) {
    if (old === '') throw refuse(index, 'is empty. Send the text that is to be replaced.');
    if (old === text) throw refuse(index, 'is the same as new.');
    const [wanted, next] = [Buffer.from(old), Buffer.from(text)];
    const places = await placesOf(bytes, wanted, placesLeft, turn);
    if (places.length === 0) throw refuse(index, `is not in ${shownPath(path)}.${whyNot(bytes, old)}`);
    if (places.length > placesLeft)
      throw refuse(
        index,
        `is in ${shownPath(path)} too often: one call replaces at most ${MAX_PLACES} places, all edits together. Use shell: sed -i.`,
      );
    if (places.length > 1 && !all)
      throw refuse(
        index,
        `is in ${shownPath(path)} ${places.length} times: ${linesOf(bytes, places)}. Send more of the text around it, or all: true.`,
      );
    const size = bytes.length + places.length * (next.length - wanted.length);
    if (size > MAX_FILE_BYTES)
      throw refuse(index, `would make ${shownPath(path)} larger than ${MAX_FILE_BYTES / 1_048_576} MiB.`);
    bytes = await replaced(bytes, places, wanted.length, next, size, turn);
    placesLeft -= places.length;
  }
  return bytes;
}

/** Returns where a text occurs: at most one place more than `most`. */
async function placesOf(bytes: Buffer, wanted: Buffer, most: number, turn: TakeTurn): Promise<number[]> {
  const places: number[] = [];
  for (let from = 0; places.length <= most; ) {
    if (places.length % PLACES_A_PIECE === 0) await turn(0);
    const at = bytes.indexOf(wanted, from);
    if (at === -1) break;
    places.push(at);
    from = at + wanted.length;
  }
  return places;
}

/** Returns the bytes with `text` instead of `length` bytes in all places: `size` bytes, in one buffer. */
async function replaced(
  bytes: Buffer,
  places: readonly number[],
  length: number,
  text: Buffer,
  size: number,
  turn: TakeTurn,
): Promise<Buffer<ArrayBuffer>> {
  await turn(size);
  const result = Buffer.allocUnsafeSlow(size);
  let [from, to] = [0, 0];
  for (const [index, at] of places.entries()) {
    if (index % PLACES_A_PIECE === PLACES_A_PIECE - 1) await turn(0);
    to += bytes.copy(result, to, from, at);
    to += text.copy(result, to);
    from = at + length;
  }
  bytes.copy(result, to, from);
  return result;
}

/** `lines 3, 40, 77`. */
function linesOf(bytes: Buffer, places: readonly number[]): string {
  const lines: number[] = [];
  let [line, from] = [1, 0];
  for (const at of places.slice(0, MOST_NAMED)) {
    line += lineAt(bytes, at, from) - 1;
    from = at;
    lines.push(line);
  }
  const more = places.length > lines.length ? ' and others' : '';
  return `lines ${lines.join(', ')}${more}`;
}

/** Returns the line of a place, counted from 1 at `from`. */
function lineAt(bytes: Buffer, at: number, from = 0): number {
  let line = 1;
  for (let before = from; before < at; before++) if (bytes[before] === 0x0a) line++;
  return line;
}

/** Returns why a text may not be found: a sentence that begins with a space. */
function whyNot(bytes: Buffer, old: string): string {
  const isThere = (text: string): boolean => text !== old && bytes.includes(Buffer.from(text));
  if (isThere(old.replace(/\r?\n/g, '\r\n'))) return ' The lines of the file end with \\r\\n: send them so.';
  if (isThere(old.replaceAll('\r\n', '\n'))) return ' The lines of the file end with \\n alone: send them so.';
  if (old.includes('‹') || old.includes('***')) return ' What is masked in answers is another text in the file.';
  const [first = ''] = old.split('\n').filter((line) => line.trim() !== '');
  const at = bytes.indexOf(Buffer.from(first.trim()));
  if (at === -1 || first.trim() === '') return ' Read the file again: it may have changed.';
  const what = first === old ? 'Without the spaces around it, it is' : 'Its first line is';
  return ` ${what} in line ${lineAt(bytes, at)}: what is around that differs.`;
}
