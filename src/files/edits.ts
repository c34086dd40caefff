import { InvalidArguments } from '../lib/errors.ts';
import { MAX_FILE_BYTES } from '../lib/limits.ts';
import { shownPath } from './place.ts';
import { utf16Of } from './text.ts';

/** A text that takes the place of another one. */
export interface Edit {
  readonly old: string;
  readonly new: string;
  /** Wherever `old` stands; else it must stand there once. */
  readonly all: boolean;
}

/** So many places are named where a text stands more than once. */
const MOST_NAMED = 10;

/** More places than these are for a program. */
const MAX_PLACES = 100_000;

/**
 * A file with edits made, one after the other; `turn` is awaited before each. It works on bytes: what is no UTF-8 stays
 * as it is. Throws `InvalidArguments` where one of them cannot be made; then none is.
 */
export async function withEdits(
  path: string,
  file: Uint8Array,
  edits: readonly Edit[],
  turn: () => Promise<void>,
): Promise<Uint8Array> {
  let bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const refuse = (index: number, what: string): InvalidArguments =>
    new InvalidArguments(`${edits.length === 1 ? 'old' : `old of edit ${index + 1}`} ${what} Nothing was changed.`);
  if (utf16Of(bytes) !== undefined)
    throw new InvalidArguments(
      `${shownPath(path)} is UTF-16, and edits are made in UTF-8. Convert it with shell: iconv -f UTF-16 -t UTF-8. Nothing was changed.`,
    );
  for (const [index, { old, new: text, all }] of edits.entries()) {
    await turn();
    if (old === '') throw refuse(index, 'is empty. Send the text that is to be replaced.');
    if (old === text) throw refuse(index, 'is the same as new.');
    const [wanted, next] = [Buffer.from(old), Buffer.from(text)];
    const places = placesOf(bytes, wanted);
    if (places.length === 0) throw refuse(index, `is not in ${shownPath(path)}.${whyNot(bytes, old)}`);
    if (places.length > MAX_PLACES)
      throw refuse(index, `is in ${shownPath(path)} more than ${MAX_PLACES} times. Use shell: sed -i.`);
    if (places.length > 1 && !all)
      throw refuse(
        index,
        `is in ${shownPath(path)} ${places.length} times: ${linesOf(bytes, places)}. Send more of the text around it, or all: true.`,
      );
    if (bytes.length + places.length * (next.length - wanted.length) > MAX_FILE_BYTES)
      throw refuse(index, `would make ${shownPath(path)} larger than ${MAX_FILE_BYTES / 1_048_576} MiB.`);
    bytes = replaced(bytes, places, wanted.length, next);
  }
  return bytes;
}

/** Where a text stands, and one place more than are of use. */
function placesOf(bytes: Buffer, wanted: Buffer): number[] {
  const places: number[] = [];
  let at = bytes.indexOf(wanted);
  while (at !== -1 && places.length <= MAX_PLACES) {
    places.push(at);
    at = bytes.indexOf(wanted, at + wanted.length);
  }
  return places;
}

function replaced(bytes: Buffer, places: readonly number[], length: number, text: Buffer): Buffer<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const at of places) {
    pieces.push(bytes.subarray(from, at), text);
    from = at + length;
  }
  return Buffer.concat([...pieces, bytes.subarray(from)]);
}

/** `in the lines 3, 40 and 77`. */
function linesOf(bytes: Buffer, places: readonly number[]): string {
  const lines = places.slice(0, MOST_NAMED).map((at) => lineAt(bytes, at));
  const more = places.length > lines.length ? ' and others' : '';
  return `lines ${lines.join(', ')}${more}`;
}

function lineAt(bytes: Buffer, at: number): number {
  let line = 1;
  for (let before = 0; before < at; before++) if (bytes[before] === 0x0a) line++;
  return line;
}

/** Why a text may not be found, in a sentence with a space before it. */
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
