import type { NamedValue, SecretSpan } from './secret-assignments.ts';
import { isName, isStrong, WORDS } from './secret-values.ts';

type Part = Pick<SecretSpan, 'start' | 'end'>;

/** A longer list or block is not a value of one name. */
const LONGEST = 8192;

const ITEM =
  /\s{0,200}(?:"(?<v>(?:[^"\\\n]|\\.){0,1024})"|'(?<w>[^'\n]{0,1024})'|(?<u>[^\s,[\]"'{}]{1,1024}))\s{0,200}(?:,|(?<end>\]))/dy;
const BLOCK = /[|>][+-]?\d?[ \t]{0,16}(?:#[^\n]{0,200})?\r?\n/y;
const NEXT_LINE = /\r?\n/y;
const LIST_ITEM = /^[ \t]*-[ \t]+(?:"(?<v>[^"\n]{1,1024})"|'(?<w>[^'\n]{1,1024})'|(?<u>[^\s"'#]\S{2,1023}))[ \t]*\r?$/d;

/**
 * Returns the values of a name that has several, or one that begins in the next line: a list of JSON or YAML, a block
 * of YAML. Undefined if it has none.
 */
export function nestedValues(text: string, found: NamedValue): readonly Part[] | undefined {
  if (found.bond !== 'sign' || found.open !== '' || found.isHeader === true) return undefined;
  if (text[found.start] === '[') return listed(text, found);
  if (!/:\s*$/.test(found.before)) return undefined;
  BLOCK.lastIndex = found.start;
  if (BLOCK.test(text)) return block(text, found, BLOCK.lastIndex);
  NEXT_LINE.lastIndex = found.start;
  return NEXT_LINE.test(text) ? below(text, found, NEXT_LINE.lastIndex) : undefined;
}

/** `["a", "b"]`; of words without quotes only those that cannot be names. */
function listed(text: string, { start, before }: NamedValue): Part[] {
  const parts: Part[] = [];
  const isData = /^[\w.-]+\\?"/.test(before);
  ITEM.lastIndex = start + 1;
  while (ITEM.lastIndex < start + LONGEST) {
    const item = ITEM.exec(text);
    if (item === null) break;
    const { v, w, u, end } = item.groups ?? {};
    const [from, to] = item.indices?.groups?.[v !== undefined ? 'v' : w !== undefined ? 'w' : 'u'] ?? [0, 0];
    const value = v ?? w ?? u ?? '';
    if (to - from > 2 && !isName(value) && !WORDS.test(value) && ((v !== undefined && isData) || isStrong(value)))
      parts.push({ start: from, end: to });
    if (end !== undefined) break;
  }
  return parts;
}

/** Lines that are deeper than the name's. */
function block(text: string, found: NamedValue, from: number): Part[] {
  const depth = indentAt(text, lineBegin(text, found.at));
  let last = from;
  for (const { at, end } of lines(text, from)) {
    if (text.slice(at, end).trim() === '') continue;
    if (indentAt(text, at) <= depth) break;
    last = end;
  }
  const start = from + indentAt(text, from);
  return last > start ? [{ start, end: last }] : [];
}

/** `keys:` and below it `- a`, or one word that is deeper. */
function below(text: string, found: NamedValue, from: number): Part[] {
  const depth = indentAt(text, lineBegin(text, found.at));
  const parts: Part[] = [];
  for (const { at, end } of lines(text, from)) {
    const line = text.slice(at, end);
    const item = LIST_ITEM.exec(line);
    if (item === null || indentAt(text, at) < depth) break;
    const { v, w, u } = item.groups ?? {};
    const [start, stop] = item.indices?.groups?.[v !== undefined ? 'v' : w !== undefined ? 'w' : 'u'] ?? [0, 0];
    const value = v ?? w ?? u ?? '';
    if ((u === undefined || isStrong(value)) && !value.includes('://'))
      parts.push({ start: at + start, end: at + stop });
  }
  if (parts.length > 0) return parts;
  const start = from + indentAt(text, from);
  const word = /^[^\s:"'()[\]{}<>;,]{8,1024}(?=\r?\n|$)/.exec(text.slice(start, start + 1025))?.[0];
  return word !== undefined && start - from > depth && isStrong(word) ? [{ start, end: start + word.length }] : [];
}

function* lines(text: string, from: number): Generator<{ readonly at: number; readonly end: number }> {
  for (let at = from; at < text.length && at < from + LONGEST; ) {
    const next = text.indexOf('\n', at);
    const end = next === -1 ? text.length : next;
    yield { at, end };
    at = end + 1;
  }
}

/** Where the line of `at` begins, if its name is close enough. */
function lineBegin(text: string, at: number): number {
  const before = text.slice(Math.max(0, at - 200), at);
  return at - before.length + before.lastIndexOf('\n') + 1;
}

/** How far around a mark of its kind a text is searched, and how many marks. */
export const [AROUND, MOST] = [8192, 200] as const;

const KIND = /^([ \t]*)(?:- )?["']?kind["']?[ \t]*:[ \t]*["']?Secret["']?[ \t]*,?[ \t]*\r?$/gm;
const DATA = /^[ \t]*["']?(?:data|stringData)["']?[ \t]*:[ \t]*\{?[ \t]*\r?$/gm;
const ENTRY = /^([ \t]*)["']?[\w.-]{1,253}["']?[ \t]*:[ \t]*(?<v>\S[^\n]{0,8191})$/d;

/** Returns the values of Kubernetes' Secrets, whose names are arbitrary. */
export function kubernetesSpans(text: string): Part[] {
  const spans: Part[] = [];
  let count = 0;
  for (const { index } of text.matchAll(KIND)) {
    if (count++ >= MOST) break;
    const begin = Math.max(0, index - AROUND, text.lastIndexOf('\n---', index));
    const break_ = text.indexOf('\n---', index);
    const end = Math.min(text.length, index + AROUND, break_ === -1 ? text.length : break_);
    for (const data of text.slice(begin, end).matchAll(DATA)) spans.push(...entries(text, begin + data.index, end));
  }
  return spans;
}

/** The values of the lines that are deeper than the one at `from`. */
function entries(text: string, from: number, end: number): Part[] {
  const spans: Part[] = [];
  const depth = indentAt(text, from);
  for (let at = text.indexOf('\n', from) + 1; at > 0 && at < end; at = text.indexOf('\n', at) + 1) {
    const lineEnd = text.indexOf('\n', at);
    const line = text.slice(at, lineEnd === -1 ? text.length : lineEnd);
    if (line.trim() !== '' && indentAt(text, at) <= depth) break;
    const value = ENTRY.exec(line);
    const [start, last] = value?.indices?.groups?.['v'] ?? [line.length - line.trimStart().length, line.length];
    if (last > start) spans.push({ start: at + start, end: at + last });
    if (lineEnd === -1) break;
  }
  return spans;
}

function indentAt(text: string, at: number): number {
  let end = at;
  while (text[end] === ' ' || text[end] === '\t') end++;
  return end - at;
}
