/**
 * Characters that a person would not see, would mistake for others, or that act on a terminal; without line feed and
 * space. Properties of Unicode, and what these miss:
 * - \p{C}: controls, marks of direction, tags, private use, unassigned, lone surrogates; \p{Z}: blanks and separators;
 * - Default_Ignorable_Code_Point: fillers, joiners, variation selectors;
 * - characters that look empty: U+2800 Braille, U+13441 and U+13442 Egyptian, U+16FE4 Khitan, U+1D159 musical;
 * - marks that stroke out or enclose the character before: `a` with U+0338 is not `a` for a shell;
 * - marks without a character that they belong to: at the start, after a blank or a sign, the fifth in a row, and marks
 *   of other scripts on an ASCII letter. Those of common text (é, ำ, क्षि) stay.
 */
const NO_LOOKS = String.raw`\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800\u{13441}\u{13442}\u{16fe4}\u{1d159}`;
const STROKES = String.raw`\p{Me}\u0334-\u0338\u20d2\u20d3\u20d8-\u20da\u20e5\u20e6\u20ea\u20eb\u{10a39}\u{1bc9e}`;
const MARKS_OF_LATIN = String.raw`\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f`;
const UNSEEN = new RegExp(
  [
    String.raw`(?![\n ])[${NO_LOOKS}${STROKES}]`,
    String.raw`(?<![\p{L}\p{N}]\p{M}{0,3})\p{M}`,
    String.raw`(?<=[A-Za-z0-9])(?![${MARKS_OF_LATIN}])\p{M}`,
  ].join('|'),
  'gu',
);

/** So many of a character are a column or an indent; more of them would push what follows out of sight. */
const LONGEST_BLANK = 32;

const ROWS = new RegExp(String.raw` {${LONGEST_BLANK + 1},}|(\\u\{[0-9a-f]{1,6}\})\1{7,}`, 'g');

function writtenOut(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

/**
 * Returns `text` with every character that hides or acts written out, for a person who has to judge it: `\u{1b}`. A
 * long row of one of them, or of spaces, is shown by its length: `\u{20}×5000`.
 */
export function visibleText(text: string): string {
  return text
    .replace(UNSEEN, writtenOut)
    .replace(ROWS, (row, one: string | undefined) =>
      one === undefined ? `\\u{20}×${row.length}` : `${one}×${row.length / one.length}`,
    );
}

/** The same on one line: line ends are written out too. */
export function visibleLine(text: string): string {
  return visibleText(text).replaceAll('\n', '\\u{a}');
}

/** Returns `value` as equivalent JSON, with every character that hides or acts as an escape of JSON. */
export function visibleJson(value: unknown, indent = 2): string {
  return visibleJsonText(JSON.stringify(value, null, indent));
}

/** The same for a text that is JSON already. */
export function visibleJsonText(json: string): string {
  return json.replace(UNSEEN, (character) => {
    let escaped = '';
    for (let at = 0; at < character.length; at++)
      escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
    return escaped;
  });
}

/** Letters and digits that are written from right to left, and affect the order of the text around them. */
const RIGHT_TO_LEFT = String.raw`\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u{10800}-\u{10fff}\u{1e800}-\u{1efff}`;
const ONE_RIGHT_TO_LEFT = new RegExp(`(?![\\p{P}\\p{M}])[${RIGHT_TO_LEFT}]`, 'gu');
/** Words at the end of a line that has begun from left to right: only their own order changes. */
const LAST_WORDS = new RegExp(
  `^(?=[^${RIGHT_TO_LEFT}]*[A-Za-z])[^${RIGHT_TO_LEFT}]*[${RIGHT_TO_LEFT}\\p{M} ]*["']?$`,
  'u',
);

/** Whether `text` has letters that are written from right to left. */
export function hasRightToLeft(text: string): boolean {
  return text.search(ONE_RIGHT_TO_LEFT) !== -1;
}

/**
 * Returns a line whose visual order is the order of execution, also on a terminal that orders letters: letters from
 * right to left are written out, except for whole words at the end of the line.
 */
function inOrder(line: string): string {
  return LAST_WORDS.test(line) ? line : line.replace(new RegExp(`[${RIGHT_TO_LEFT}]`, 'gu'), writtenOut);
}

interface Layout {
  readonly columns: number;
}

/** A wider line is hard to read; a narrower one has no room for the text in front of it. */
const [WIDEST, NARROWEST] = [160, 40] as const;

export const USUAL_COLUMNS = 120;

const FIELD_INDENT = '  ';
const CONTINUED = '    ┆ ';

/** Formats one line `name value`; further lines of it have a mark in front, so that they look like no other field. */
export function visibleField(text: string, { columns }: Layout): string {
  const [first = '', ...rest] = wrap(inOrder(visibleLine(text)), room(columns) - CONTINUED.length);
  return [`${FIELD_INDENT}${first}`, ...rest.map((part) => `${CONTINUED}${part}`)].map((line) => `${line}\n`).join('');
}

/** Fewer empty lines than this push nothing off a screen. */
const MANY_EMPTY = 4;

/**
 * Formats a text of lines, each with its number and a bar: no text can look like its surroundings. A line that is too
 * long continues below, after another bar; many empty lines are shown by their number.
 */
export function visibleBlock(text: string, { columns }: Layout): string {
  const lines = text.split('\n');
  const digits = String(lines.length).length;
  const shown: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const empty = emptyFrom(lines, at);
    if (empty >= MANY_EMPTY) {
      shown.push(`${' '.repeat(digits + 2)} … ${empty} empty lines, ${at + 1} to ${at + empty}`);
      at += empty - 1;
      continue;
    }
    const parts = wrap(inOrder(visibleText(lines[at] ?? '')), room(columns) - digits - 5);
    parts.forEach((part, index) => {
      const number = index === 0 ? String(at + 1) : '';
      shown.push(`  ${number.padStart(digits)} ${index === 0 ? '│' : '┆'} ${part}`.trimEnd());
    });
  }
  return shown.map((line) => `${line}\n`).join('');
}

/** Returns `3 lines, 1,204 characters`. */
export function describeSize(text: string): string {
  const count = (number: number, one: string): string =>
    `${number.toLocaleString('en-US')} ${one}${number === 1 ? '' : 's'}`;
  return `${count(text.split('\n').length, 'line')}, ${count([...text].length, 'character')}`;
}

function room(columns: number): number {
  return Math.min(WIDEST, Math.max(NARROWEST, columns));
}

function emptyFrom(lines: readonly string[], at: number): number {
  let end = at;
  // Other blanks than these may be the name of a program.
  while (end < lines.length && /^[ \t]*$/.test(lines[end] ?? '')) end++;
  return end - at;
}

/** Splits `line` into parts of at most `width` columns; one empty part for an empty line. */
function wrap(line: string, width: number): string[] {
  if (line.length <= width && Bun.stringWidth(line) <= width) return [line];
  const parts: string[] = [];
  if (/^[\x20-\x7e]*$/.test(line)) {
    for (let at = 0; at < line.length; at += width) parts.push(line.slice(at, at + width));
    return parts;
  }
  let [part, taken] = ['', 0];
  for (const { segment } of new Intl.Segmenter().segment(line)) {
    const needed = Bun.stringWidth(segment);
    if (taken + needed > width && part !== '') {
      parts.push(part);
      [part, taken] = ['', 0];
    }
    part += segment;
    taken += needed;
  }
  return [...parts, part];
}

/** Letters that look like ASCII letters, or replace them. */
const OF_OTHER_SCRIPT =
  /(?![\p{Script=Latin}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Common}\p{Script=Inherited}])\p{L}|[\u{1d400}-\u{1d7ff}\uff21-\uff3a\uff41-\uff5a\u2100-\u214f\u0131\u0237\u0251\u0261\u0269\u026a]/gu;

const MOST_MIXED = 5;

/**
 * Signs that look like ones a shell reads: forms of other widths, and those that resemble `;`, `|`, `&`, `<>`, `$`, a
 * backtick, quotes, brackets, slashes, `.`, `:`, `!`, `-`, `#`, `*`, `?`, `=`, `~`, `%`. Not those of common text,
 * within it: `don’t`, `a – b`, and those after Chinese or Japanese letters.
 */
const LIKE_SIGNS = new RegExp(
  [
    String.raw`[\u037e\u061b\u1fef\u204f\u2e35\uff1b\ufe54]`,
    String.raw`[\u01c0\u01c1\u05c0\u2016\u2223\u2225\u23d0\u2502\u2503\u2758-\u275a\u2d4f\uff5c\uffe8]`,
    String.raw`[\uff06\ufe60\u02c2\u02c3\u2039\u203a\u2329\u232a\u276c-\u2771\ufe64\ufe65\uff1c\uff1e\uff04\ufe69]`,
    String.raw`[\u00b4\u02b9-\u02bd\u02ca\u02cb\u02c8\u02ee\u0374\u0384\u055a\u05f3\u05f4\u1fbd-\u1fbf\u1ffd\u1ffe\u2032-\u2037\u275b-\u275e\ua78b\ua78c\uff02\uff07\uff40]`,
    String.raw`(?<!\p{L})[\u2018-\u201f]|[\u2018-\u201f](?!\p{L})`,
    String.raw`[\u2768-\u276b\u2774\u2775\u207d\u207e\u208d\u208e\ufe59-\ufe5e\uff3b\uff3d\uff5b\uff5d]`,
    String.raw`[\u2044\u2215\u2216\u2571\u2572\u27cb\u27cd\u29f5\u29f8\u29f9\u2cc6\uff0f\uff3c\ufe68]`,
    String.raw`[\u0660\u06d4\u06f0\u2024\ua4f8\uff0e\ufe52\u02d0\u02f8\u0589\u05c3\u1361\u2236\ua4fd\ua789\ufe55\u01c3\u2d51\ufe57]`,
    String.raw`[\u02d7\u2010-\u2012\u2043\u207b\u2212\u2796\ufe58\ufe63\uff0d]|(?<=\s)[\u2013-\u2015](?=[A-Za-z\u2013-\u2015])`,
    String.raw`[\u266f\ufe5f\uff03\u066d\u204e\u2217\u22c6\u2731\ufe61\uff0a\u0294\u0241\ufe56\ua78a\u30a0\ufe66\uff1d\u02dc\u02f7\u2053\u223c\u301c\uff5e\u066a\ufe6a\uff05\ufe6b\uff20\uff0b\uff3e\uff3f\ufe4d-\ufe4f]`,
    String.raw`(?<![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}])[\uff01\uff08\uff09\uff0c\uff1a\uff1f\uff10-\uff19\u3002]`,
  ].join('|'),
  'gu',
);

/** Returns the signs of `text` that look like ones a shell reads, written out. */
export function likeSigns(text: string): string[] {
  return [...new Set(text.match(LIKE_SIGNS))].slice(0, MOST_MIXED).map(writtenOut);
}

/**
 * Returns the words of `text` with letters of ASCII and of another script, which can look alike; the others are written
 * out.
 */
export function mixedWords(text: string): string[] {
  const words = new Set(text.match(/[\p{L}\p{M}\p{N}_]+/gu) ?? []);
  const mixed = [...words].filter((word) => /[A-Za-z]/.test(word) && word.search(OF_OTHER_SCRIPT) !== -1);
  return mixed.slice(0, MOST_MIXED).map((word) => visibleLine(word.replace(OF_OTHER_SCRIPT, writtenOut)));
}

/** Characters that control a terminal and are not part of a text; tab and line feed stay. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const CONTROLS = /[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]/g;

/**
 * Returns what a person reads on a terminal that was sent `text`: without escape sequences; of a line rewritten with
 * carriage returns (a progress bar), only the last state; without text erased by backspaces, and without blanks that
 * fill a line. One blank is kept, as after a prompt, and all of an unfinished line.
 */
export function plainText(text: string): string {
  const lines = Bun.stripANSI(text).replaceAll('\r\n', '\n').split('\n');
  const last = lines.length - 1;
  return lines
    .map(lastShown)
    .map((line, index) => (index === last ? line : withoutFill(line)))
    .join('\n')
    .replace(CONTROLS, '');
}

function withoutFill(line: string): string {
  const text = line.trimEnd();
  return line.length - text.length > 1 ? text : line;
}

/** Each carriage return goes back to the beginning of the line, each backspace one character. */
function lastShown(line: string): string {
  let end = line.length;
  // Not by /\r+$/, whose time is quadratic in the number of returns before something else.
  while (line[end - 1] === '\r') end--;
  const shown = end === 0 ? '' : line.slice(line.lastIndexOf('\r', end - 1) + 1, end);
  if (!shown.includes('\b')) return shown;
  const characters: string[] = [];
  for (const character of shown) {
    if (character === '\b') characters.pop();
    else characters.push(character);
  }
  return characters.join('');
}

/**
 * The beginning of an escape sequence (ECMA-48: control sequences, commands to the operating system). Without bytes
 * that are not text: the text does not show how many those were.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const OPEN_SEQUENCE = /\x1b(?:\[[0-9;:?<=>]{0,40}|\][^\x07\x1b\ufffd]{0,400}|[()])?$/;

/** Returns how many characters at the end of `text` are an unfinished escape sequence. */
export function openSequenceLength(text: string): number {
  return OPEN_SEQUENCE.exec(text)?.[0].length ?? 0;
}
