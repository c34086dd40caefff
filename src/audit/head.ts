import { GENESIS } from './chain.ts';
import type { Seal, SealState } from './seal.ts';

/** Where a record ends. */
export interface Head {
  readonly seq: number;
  /** Of the last line. */
  readonly hash: string;
  /** Files since the beginning, with that of now. */
  readonly files: number;
  readonly seal: SealState;
}

/** What stands in the note of a record: `damaged` when it is none that an agent wrote. */
export type HeadState = Head | 'empty' | 'damaged';

/** Where the last line of a record is noted, so that lines that are cut off at its end are missed. */
export function headPath(path: string): string {
  return `${path}.head`;
}

/** Longest note. */
export const HEAD_BYTES = 114;

/** In the place of a MAC where there is no key. */
const NO_MAC = '-'.repeat(22);

/** One length, so that it is written in its place and never seen half. */
export function headText(seal: Seal, seq: number, hash: string, files: number): string {
  const note = `${String(seq).padStart(16, '0')} ${hash}\n${String(files).padStart(8, '0')}`;
  return `${note} ${seal.of(note) ?? NO_MAC}\n`;
}

/** Reads a note. */
export function parseHead(seal: Seal, text: string): HeadState {
  if (text === '') return 'empty';
  const match = /^((\d{16}) ([0-9a-f]{64})\n(\d{8})) ([\w-]{22})\n$/.exec(text);
  if (match === null) return 'damaged';
  const [, noted = '', seq, hash = GENESIS, files, mac] = match;
  const note = { seq: Number(seq), hash, files: Number(files) };
  if (mac === NO_MAC) return { ...note, seal: 'none' };
  const right = seal.of(noted);
  return { ...note, seal: right === undefined ? 'unknown' : right === mac ? 'right' : 'wrong' };
}
