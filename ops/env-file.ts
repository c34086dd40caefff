/** What a dotenv file has and an EnvironmentFile has not. */
export interface EnvFileOptions {
  /** A `#` behind a blank begins a comment. */
  readonly comments?: boolean;
}

/**
 * The settings in a file of `NAME=value` lines, as systemd reads an EnvironmentFile (systemd.exec(5)): quotes hold a
 * value together, also over lines, a backslash outside of them and in double ones takes what follows as it is, and the
 * last line of a name counts. An `export` in front, as shells have it, is taken off.
 */
export function parseEnvFile(text: string, { comments = false }: EnvFileOptions = {}): Record<string, string> {
  const values: Record<string, string> = {};
  let at = 0;
  while (at < text.length) {
    const line = LINE.exec(text.slice(at));
    if (line === null) break;
    at += line[0].length;
    const name = line[1];
    if (name === undefined) continue;
    const { value, length } = readValue(text.slice(at), comments);
    values[name] = value;
    at += length;
  }
  return values;
}

/** A name up to its `=`; or a whole line that has none, such as a comment, which a backslash carries on. */
const LINE =
  /^[ \t\r\n]*(?:(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=|[#;](?:\\[\s\S]|[^\\\n])*(?:\n|$)|[^\n]*(?:\n|$))/;

/** The pieces of a value: blanks at its beginning and after quotes, quotes, an escape, a comment, any other character. */
const PIECE = /([ \t\r]+)|'([^']*)(?:'|$)|"((?:\\[\s\S]|[^"\\])*)(?:"|$)|\\([\s\S]|$)|([\s\S])/y;

function readValue(text: string, comments: boolean): { readonly value: string; readonly length: number } {
  let value = '';
  /** Blanks that count only when something follows. */
  let blanks = '';
  /** Outside of quotes and before plain text: there a quote opens, and blanks are nothing. */
  let isOpen = true;
  PIECE.lastIndex = 0;
  for (let match = PIECE.exec(text); match !== null; match = PIECE.exec(text)) {
    const [whole, blank, single, double, escaped] = match;
    if (whole === '\n') return { value, length: PIECE.lastIndex };
    if (comments && whole === '#' && blanks !== '') {
      return { value, length: lineEnd(text, PIECE.lastIndex) };
    }
    if (blank !== undefined) {
      blanks = isOpen && !comments ? '' : blank;
      continue;
    }
    if (isOpen && (single !== undefined || double !== undefined)) {
      value += single ?? (double ?? '').replace(/\\([\s\S])/g, unescapeOne);
      blanks = '';
      continue;
    }
    // A quote in the middle of plain text is a character like others.
    if (single !== undefined || double !== undefined) PIECE.lastIndex = match.index + 1;
    value += (isOpen ? '' : blanks) + (escaped === undefined ? whole.slice(0, 1) : escaped.replace('\n', ''));
    blanks = '';
    isOpen = false;
  }
  return { value, length: text.length };
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end + 1;
}

/** In double quotes a backslash escapes these alone, and a line break after it goes. */
function unescapeOne(whole: string, character: string): string {
  if (character === '\n') return '';
  return '"\\`$'.includes(character) ? character : whole;
}

/** What systemd, shells and `.env` readers take as it is. */
const PLAIN = /^[\w./:@%+,=-]*$/;

/** `value` as it is written behind `NAME=`, so that systemd and `sh` read the same. It has no line break. */
export function formatEnvValue(value: string): string {
  if (PLAIN.test(value)) return value;
  return `'${value.replaceAll("'", `'"'"'`)}'`;
}
