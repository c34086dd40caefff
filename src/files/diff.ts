import { formatPatch, OMIT_HEADERS, structuredPatch } from 'diff';
import { decodeUtf8 } from '../lib/utf8.ts';
import { isText } from './text.ts';

/** Larger files are not compared: a change is described by their sizes. */
const MAX_COMPARED_BYTES = 1_048_576;

/**
 * The time of a comparison grows with the number of differing lines: with more of them, both contents are shown whole.
 */
const MAX_CHANGED_LINES = 1000;
/** It blocks the agent for no longer than this. */
const MAX_COMPARE_MS = 20;

const CONTEXT_LINES = 3;

/** Masks the secrets in a text. */
export type MaskText = (text: string) => Promise<string>;

/**
 * Returns the difference between two contents of a file as the hunks of diff -u, or a line with the reason why it is
 * not shown. Undefined is a missing file. Each content is masked as a whole before: a part of a key is not recognized.
 */
export async function describeChange(
  before: Uint8Array | undefined,
  after: Uint8Array | undefined,
  mask: MaskText,
): Promise<string> {
  const sides = [before, after].map((bytes) => bytes ?? new Uint8Array(0));
  if (sides.some((bytes) => bytes.length > MAX_COMPARED_BYTES))
    return `${sizes(before, after)}; too large to compare\n`;
  if (!sides.every(isText)) return `${sizes(before, after)}; not text\n`;
  const [old = '', text = ''] = await Promise.all(sides.map((bytes) => mask(decodeUtf8(bytes))));
  const part = differingPart(old, text);
  const options = { context: CONTEXT_LINES, maxEditLength: MAX_CHANGED_LINES, timeout: MAX_COMPARE_MS };
  const patch = structuredPatch('', '', part.old, part.text, undefined, undefined, options);
  if (patch === undefined) return `${signed('-', old)}${signed('+', text)}`;
  for (const hunk of patch.hunks) {
    hunk.oldStart += part.linesBefore;
    hunk.newStart += part.linesBefore;
  }
  const isNew = before === undefined || after === undefined;
  return patch.hunks.length === 0 ? (isNew ? `${sizes(before, after)}\n` : '') : formatPatch(patch, OMIT_HEADERS);
}

/**
 * Returns the lines of two texts from the first to the last that differs, with the lines that are shown around them,
 * and the number of lines before. Comparing all of 64 KiB takes a millisecond.
 */
function differingPart(
  old: string,
  text: string,
): { readonly old: string; readonly text: string; readonly linesBefore: number } {
  const most = Math.min(old.length, text.length);
  let start = 0;
  while (start < most && old.charCodeAt(start) === text.charCodeAt(start)) start++;
  let same = 0;
  while (same < most - start && old.charCodeAt(old.length - 1 - same) === text.charCodeAt(text.length - 1 - same))
    same++;
  let from = start === 0 ? 0 : old.lastIndexOf('\n', start - 1) + 1;
  for (let line = 0; line < CONTEXT_LINES; line++) from = from < 2 ? 0 : old.lastIndexOf('\n', from - 2) + 1;
  let end = old.length - same;
  // The first line may have begun within the common part.
  for (let line = 0; line <= CONTEXT_LINES; line++) end = old.indexOf('\n', end) + 1 || old.length;
  const linesBefore = old.slice(0, from).split('\n').length - 1;
  return { old: old.slice(from, end), text: text.slice(from, text.length - (old.length - end)), linesBefore };
}

/** Formats all lines of a text that is added or removed as a whole. */
function signed(sign: '-' | '+', text: string): string {
  return text.replace(/^.*\n?/gm, (line) => (line === '' ? '' : `${sign}${line.replace(/\n?$/, '\n')}`));
}

function sizes(before: Uint8Array | undefined, after: Uint8Array | undefined): string {
  const size = (bytes: Uint8Array | undefined): string => (bytes === undefined ? 'no file' : `${bytes.length} bytes`);
  return `${size(before)} → ${size(after)}`;
}
