/** Differences of a dotenv file from an EnvironmentFile. */
export interface EnvFileOptions {
  /** A `#` after a blank begins a comment. */
  readonly comments?: boolean;
}

/**
 * Parses a file of `NAME=value` lines as systemd parses an EnvironmentFile (systemd.exec(5)). Quotes enclose a value, also
 * over several lines. Outside of quotes and in double quotes, a backslash escapes the next character. The last line of a
 * name counts. A leading `export`, as in shells, is removed.
 */
export function parseEnvFile(text: string, { comments = false }: EnvFileOptions = {}): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, value } of assignments(text, comments)) if (name !== undefined) values[name] = value;
  return values;
}

/** A fault of a line: it assigns nothing, or its value extends over the lines below. */
export interface EnvFileFault {
  readonly kind: 'none' | 'quote' | 'backslash';
  /** Counted from 1. */
  readonly line: number;
  /** The name that it sets, or its first word; never a value, which may be a secret. */
  readonly name: string | undefined;
}

/** Returns the lines that systemd probably reads in another way than their owner means. */
export function envFileFaults(text: string): EnvFileFault[] {
  const faults: EnvFileFault[] = [];
  for (const { at, name, takesMore } of assignments(text, false)) {
    const line = text.slice(0, at).split('\n').length;
    const word = /^[A-Za-z_]\w*/.exec(text.slice(at))?.[0].slice(0, 60);
    if (name === undefined) faults.push({ kind: 'none', line, name: word });
    else if (takesMore !== undefined) faults.push({ kind: takesMore, line, name });
  }
  return faults;
}

interface Assignment extends Value {
  /** Its first line. */
  readonly at: number;
  /** Undefined for a line that is neither an assignment nor a comment. */
  readonly name: string | undefined;
}

function* assignments(text: string, comments: boolean): Generator<Assignment> {
  const next = (from: number): number => from + text.slice(from).search(/[^ \t\r\n]|$/);
  for (let at = next(0); at < text.length; at = next(at)) {
    const [line, name] = LINE.exec(text.slice(at)) ?? [''];
    const value = name === undefined ? NO_VALUE : readValue(text.slice(at + line.length), comments);
    if (!/^[#;]/.test(line)) yield { at, name, ...value };
    at += line.length + value.length;
  }
}

const NO_VALUE: Value = { value: '', length: 0, takesMore: undefined };

/** A name up to its `=`, or a whole line without one, such as a comment, which a backslash continues. */
const LINE = /^(?:(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=|[#;](?:\\[\s\S]|[^\\\n])*(?:\n|$)|[^\n]*(?:\n|$))/;

/** The pieces of a value: blanks at its beginning and after quotes, quotes, an escape, a comment, any other character. */
const PIECE = /([ \t\r]+)|'([^']*)(?:'|$)|"((?:\\[\s\S]|[^"\\])*)(?:"|$)|\\([\s\S]|$)|([\s\S])/y;

interface Value {
  readonly value: string;
  /** The text of the value, with the end of its line. */
  readonly length: number;
  /** What continues it beyond its line. */
  readonly takesMore: 'quote' | 'backslash' | undefined;
}

function readValue(text: string, comments: boolean): Value {
  let value = '';
  let takesMore: Value['takesMore'];
  /** Blanks that count only when text follows. */
  let blanks = '';
  /** True outside of quotes and before plain text, where a quote opens and blanks are ignored. */
  let isOpen = true;
  PIECE.lastIndex = 0;
  for (let match = PIECE.exec(text); match !== null; match = PIECE.exec(text)) {
    const [whole, blank, single, double, escaped] = match;
    if (whole === '\n') return { value, takesMore, length: PIECE.lastIndex };
    if (comments && whole === '#' && blanks !== '') {
      return { value, takesMore, length: lineEnd(text, PIECE.lastIndex) };
    }
    if (blank !== undefined) {
      blanks = isOpen && !comments ? '' : blank;
      continue;
    }
    if (isOpen && (single !== undefined || double !== undefined)) {
      const inner = single ?? double ?? '';
      if (inner.includes('\n') || whole.length < inner.length + 2) takesMore ??= 'quote';
      value += single ?? (double ?? '').replace(/\\([\s\S])/g, unescapeOne);
      blanks = '';
      continue;
    }
    if (escaped === '' || escaped === '\n') takesMore ??= 'backslash';
    // A quote in the middle of plain text is an ordinary character.
    if (single !== undefined || double !== undefined) PIECE.lastIndex = match.index + 1;
    value += (isOpen ? '' : blanks) + (escaped === undefined ? whole.slice(0, 1) : escaped.replace('\n', ''));
    blanks = '';
    isOpen = false;
  }
  return { value, takesMore, length: text.length };
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end + 1;
}

/** In double quotes, a backslash escapes only these, and removes a following line break. */
function unescapeOne(whole: string, character: string): string {
  if (character === '\n') return '';
  return '"\\`$'.includes(character) ? character : whole;
}

/** Values that systemd, shells and `.env` readers read without quotes. */
const PLAIN = /^[\w./:@%+,=-]*$/;

/** Quotes `value` for a line `NAME=value`, so that systemd and `sh` read the same. It must not have a line break. */
export function formatEnvValue(value: string): string {
  if (PLAIN.test(value)) return value;
  return `'${value.replaceAll("'", `'"'"'`)}'`;
}
