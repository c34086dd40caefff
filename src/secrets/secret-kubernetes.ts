/** So far around a mark of its kind a text is looked at, and so many marks. */
export const [AROUND, MOST] = [8192, 200] as const;

const KIND = /^([ \t]*)(?:- )?["']?kind["']?[ \t]*:[ \t]*["']?Secret["']?[ \t]*,?[ \t]*\r?$/gm;
const DATA = /^[ \t]*["']?(?:data|stringData)["']?[ \t]*:[ \t]*\{?[ \t]*\r?$/gm;
const ENTRY = /^([ \t]*)["']?[\w.-]{1,253}["']?[ \t]*:[ \t]*(?<v>\S[^\n]{0,8191})$/d;

/** A value in a text. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly kind: string;
}

/** The values of Kubernetes' Secrets, of which nobody knows the names. */
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
    if (last > start) spans.push({ start: at + start, end: at + last, kind: 'password' });
    if (lineEnd === -1) break;
  }
  return spans;
}

/** How deep the line that begins at `at` is. */
export function indentAt(text: string, at: number): number {
  let end = at;
  while (text[end] === ' ' || text[end] === '\t') end++;
  return end - at;
}
