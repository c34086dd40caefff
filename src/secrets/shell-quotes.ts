/** A text in quotes: where they are, and where the word begins that they are in. */
export interface Quotes {
  readonly word: number;
  readonly open: number;
  readonly end: number;
}

/** Which quotes of a command are quotes of its shell, as far as it is plain to see. */
export interface ShellQuotes {
  readonly found: readonly Quotes[];
  /** From here on it is unclear what a quote is. */
  readonly clearUntil: number;
}

/**
 * Where quotes may have another meaning from there on: comments, documents, substitutions, subscripts, names that stand
 * for other text; and a backslash that in some encodings is half of a character.
 */
const UNCLEAR = /[`(]|\$[({['"]|(?<!<)<<(?!<)|(?<=\w)\[|(?<=^|[\s;&|<>])#|[\x80-\uffff]\\|\b(?:alias|function)\b/y;
const UNCLEAR_WITHIN = /`|\$[({[]|[\x80-\uffff]\\/y;
const NEXT = /[\s;&|<>)"'\\`($[#af\x80-\uffff]/g;
const NEXT_WITHIN = /["\\`$\x80-\uffff]/g;
/** Behind these a word begins. */
const BREAK = /[\s;&|<>)]/;

/** The quotes of `cmd` up to where it is unclear what is one; looks at each character a fixed number of times. */
export function shellQuotes(cmd: string): ShellQuotes {
  const found: Quotes[] = [];
  let word = 0;
  for (let at = next(NEXT, cmd, 0); at !== -1; ) {
    if (isAt(UNCLEAR, cmd, at)) return { found, clearUntil: at };
    const char = cmd[at] ?? '';
    const end = char === '"' ? endOfDouble(cmd, at + 1) : char === "'" ? cmd.indexOf("'", at + 1) : at;
    if (end === -1) return { found, clearUntil: at };
    if (end > at) found.push({ word, open: at, end });
    if (BREAK.test(char)) word = at + 1;
    at = next(NEXT, cmd, end + (char === '\\' ? 2 : 1));
  }
  return { found, clearUntil: cmd.length };
}

/** The last of `quotes` that begins before `at`. */
export function lastBefore(quotes: readonly Quotes[], at: number): Quotes | undefined {
  let [low, high] = [0, quotes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((quotes[middle]?.open ?? at) < at) low = middle + 1;
    else high = middle;
  }
  return quotes[low - 1];
}

/** Where the quote is that is open at the end of `text`, and its word begins; undefined where none is. */
export function openQuote(text: string): Omit<Quotes, 'end'> | undefined {
  let [word, open] = [0, -1];
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '\\' && text[open] !== "'") at++;
    else if (open !== -1) open = char === text[open] ? -1 : open;
    else if (char === '"' || char === "'") open = at;
    else if (BREAK.test(char) || char === '(' || char === '`') word = at + 1;
  }
  return open === -1 ? undefined : { word, open };
}

/** What a shell takes a word for that begins with `text`, which may end within quotes. */
export function unquoted(text: string): string {
  let [result, quote] = ['', ''];
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '\\' && quote !== "'") {
      const escaped = text[++at] ?? '';
      if (escaped !== '\n') result += quote === '"' && !/["\\$`]/.test(escaped) ? char + escaped : escaped;
    } else if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else result += char;
  }
  return result;
}

/** Where the text in double quotes that begins at `from` ends; -1 where that is unclear. */
function endOfDouble(cmd: string, from: number): number {
  for (let at = next(NEXT_WITHIN, cmd, from); at !== -1; ) {
    if (isAt(UNCLEAR_WITHIN, cmd, at)) return -1;
    if (cmd[at] === '"') return at;
    at = next(NEXT_WITHIN, cmd, at + (cmd[at] === '\\' ? 2 : 1));
  }
  return -1;
}

function next(shape: RegExp, text: string, from: number): number {
  shape.lastIndex = from;
  return shape.exec(text)?.index ?? -1;
}

function isAt(shape: RegExp, text: string, at: number): boolean {
  shape.lastIndex = at;
  return shape.test(text);
}
