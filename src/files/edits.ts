import { InvalidArguments } from '../lib/errors.ts';
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

/**
 * A file with edits made, one after the other. It works on bytes: what is no UTF-8 stays as it is. Throws
 * `InvalidArguments` where one of them cannot be made; then none is.
 */
export function withEdits(path: string, file: Uint8Array, edits: readonly Edit[]): Uint8Array {
  let bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const refuse = (index: number, what: string): InvalidArguments =>
    new InvalidArguments(`${edits.length === 1 ? 'old' : `old of edit ${index + 1}`} ${what} Nothing was changed.`);
  if (utf16Of(bytes) !== undefined)
    throw new InvalidArguments(
      `${shownPath(path)} is UTF-16, and edits are made in UTF-8. Convert it with shell: iconv -f UTF-16 -t UTF-8. Nothing was changed.`,
    );
  for (const [index, { old, new: text, all }] of edits.entries()) {
    if (old === '') throw refuse(index, 'is empty. Send the text that is to be replaced.');
    if (old === text) throw refuse(index, 'is the same as new.');
    const wanted = Buffer.from(old);
    const places = placesOf(bytes, wanted);
    if (places.length === 0) throw refuse(index, `is not in ${shownPath(path)}.${whyNot(bytes, old)}`);
    if (places.length > 1 && !all)
      throw refuse(
        index,
        `is in ${shownPath(path)} ${places.length} times: ${linesOf(bytes, places)}. Send more of the text around it, or all: true.`,
      );
    bytes = replaced(bytes, places, wanted.length, Buffer.from(text));
  }
  return bytes;
}

function placesOf(bytes: Buffer, wanted: Buffer): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(wanted); at !== -1; at = bytes.indexOf(wanted, at + wanted.length)) places.push(at);
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
  for (let end = bytes.indexOf(0x0a); end !== -1 && end < at; end = bytes.indexOf(0x0a, end + 1)) line++;
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
