import type { NamedValue, SecretSpan } from './secret-assignments.ts';
import { FORMAT_WORDS, formatSpans } from './secret-formats.ts';
import { CommandValues, inertLength } from './secret-in-command.ts';
import { mayTell, NAME_WORDS, namedValues, quoteBefore } from './secret-names.ts';
import { nestedValues } from './secret-nested.ts';
import { endOfLine, isNoValue, isSecretValue } from './secret-values.ts';
import { shapedTokens, WordFinder } from './token-shapes.ts';

/** Secrets that are known by their value, whatever they look like. */
export interface KnownSecrets {
  readonly values: readonly string[];
  /** Whether a word of 43 characters is a token, of which only the hash is known. */
  readonly isToken?: ((word: string) => boolean) | undefined;
}

const NONE_KNOWN: KnownSecrets = { values: [] };

/** As `agent3 token new` makes them. */
const TOKEN_SHAPE = /(?<![\w-])[\w-]{43}(?![\w-])/g;

/**
 * Hashes in the format of crypt(3). It begins at the start of a word, and repeats one set of characters that excludes
 * what follows: its time is linear in the text.
 */
const PASSWORD_HASH = /(?<![\w$])\${1,2}(?:[1-9y]|2[abxy]|gy|argon2i?d?|apr1|sha1|P|H|scrypt)\${1,2}[^\s:'"]{8,512}/g;

/** Returns where `text` has what looks like a secret, or is one of `known`: in order, none within another. */
export function secretSpans(text: string, known: KnownSecrets = NONE_KNOWN): SecretSpan[] {
  if (!text.includes('\u001b')) return apart(spansIn(text, known));
  // Without sequences, a token that one of them cuts is whole; with blanks, one begins after them.
  const { shown, places } = withoutSequences(text);
  const whole = spansIn(shown, known).map(({ start, end, kind }) => ({
    start: places[start] ?? text.length,
    end: (places[end - 1] ?? text.length) + 1,
    kind,
  }));
  return apart([
    ...whole,
    ...spansIn(
      text.replace(SEQUENCE, (one) => ' '.repeat(one.length)),
      known,
    ),
  ]);
}

/** Shapes are searched in a text only if it has one of their words. */
const WORDS = new WordFinder([...NAME_WORDS, ...FORMAT_WORDS]);

function spansIn(text: string, known: KnownSecrets): SecretSpan[] {
  const words = WORDS.wordsIn(text);
  return [
    ...keySpans(text),
    ...knownSpans(text, known),
    ...shapeSpans(text),
    ...formatSpans(text, words),
    ...namedSpans(text, namedValues(text, words)),
  ];
}

/** A sequence for a terminal (ECMA-48). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const SEQUENCE = /\x1b(?:\[[0-?]{0,40}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[ -/]{0,2}[0-Z\\^-~])/g;

/** `text` as a terminal shows it, and where each of its characters is in `text`. */
function withoutSequences(text: string): { readonly shown: string; readonly places: readonly number[] } {
  let [shown, at] = ['', 0];
  const places: number[] = [];
  const take = (end: number): void => {
    shown += text.slice(at, end);
    for (; at < end; at++) places.push(at);
  };
  for (const { index, 0: sequence } of text.matchAll(SEQUENCE)) {
    take(index);
    at = index + sequence.length;
  }
  take(text.length);
  return { shown, places };
}

/** Returns the spans in order, with overlapping ones joined. */
function apart(spans: SecretSpan[]): SecretSpan[] {
  spans.sort((a, b) => a.start - b.start || b.end - a.end);
  const result: SecretSpan[] = [];
  for (const span of spans) {
    const last = result.at(-1);
    if (last === undefined || span.start >= last.end) result.push(span);
    else if (span.end > last.end) result[result.length - 1] = { ...last, end: span.end };
  }
  return result;
}

/**
 * Returns `text` with what looks like a secret, and every one of `known`, replaced by a mark of its kind: `‹password›`.
 */
export function maskSecrets(text: string, known: KnownSecrets = NONE_KNOWN): string {
  return maskSpans(text, secretSpans(text, known));
}

/**
 * Returns a command without its secrets, for the record: as `maskSecrets`, but so that no mark hides what a shell would
 * run. A key is only masked as a whole block, and every other mark only replaces letters, digits and a few signs. If a
 * part of the command may be run, and in a word that is run, only `known` secrets are masked, which no client has
 * chosen.
 */
export function maskCommand(cmd: string, known: KnownSecrets = NONE_KNOWN): string {
  const [named, shaped, keys] = [namedValues(cmd, WORDS.wordsIn(cmd)), shapeSpans(cmd), keyBlocks(cmd)];
  // Most commands have nothing to examine.
  if (named.length + shaped.length + keys.length === 0 && !mayTell(cmd)) return maskSpans(cmd, knownSpans(cmd, known));
  const values = new CommandValues(cmd);
  const guessed = [...(values.isSeen ? [] : shaped), ...namedSpans(cmd, named, values)]
    .filter(({ start }) => !values.isRun(start))
    .flatMap((span) => clip(cmd, span));
  const told = values.told.flatMap((part) => clip(cmd, part));
  return maskSpans(cmd, [...(values.isSeen ? [] : keys), ...knownSpans(cmd, known), ...guessed, ...told]);
}

/** Returns `text` with marks in place of what was found. */
function maskSpans(text: string, found: SecretSpan[]): string {
  let [result, at] = ['', 0];
  for (const { start, end, kind } of apart(found)) {
    result += `${text.slice(at, start)}‹${kind}›`;
    at = end;
  }
  return result + text.slice(at);
}

/**
 * A key that is cut off at its end extends to the end of the text; one that is cut off at its beginning, from the
 * start.
 */
function keySpans(text: string): SecretSpan[] {
  const markers = keyMarkers(text);
  const spans: SecretSpan[] = [];
  const ends = markers.filter(({ isBegin }) => !isBegin).map(({ end }) => end);
  let next = 0;
  let covered = 0;
  for (const { isBegin, start } of markers) {
    if (!isBegin || start < covered) continue;
    if (covered === 0 && ends[0] !== undefined && ends[0] <= start)
      spans.push({ start: 0, end: ends[0], kind: 'private key' });
    while (next < ends.length && (ends[next] ?? 0) <= start) next++;
    covered = ends[next] ?? text.length;
    spans.push({ start, end: covered, kind: 'private key' });
  }
  if (covered === 0 && ends[0] !== undefined) spans.push({ start: 0, end: ends[0], kind: 'private key' });
  return spans;
}

/** Shorter values are words that occur in many texts. */
const SHORTEST_KNOWN = 8;

function knownSpans(text: string, { values, isToken }: KnownSecrets): SecretSpan[] {
  const spans: SecretSpan[] = [];
  for (const value of values) {
    if (value.length < SHORTEST_KNOWN) continue;
    for (let at = text.indexOf(value); at !== -1; at = text.indexOf(value, at + value.length))
      spans.push({ start: at, end: at + value.length, kind: 'token' });
  }
  for (const { index, 0: word } of isToken === undefined ? [] : text.matchAll(TOKEN_SHAPE))
    if (isToken?.(word) === true) spans.push({ start: index, end: index + word.length, kind: 'token' });
  return spans;
}

function shapeSpans(text: string): SecretSpan[] {
  const spans: SecretSpan[] = shapedTokens(text);
  for (const { index, 0: found } of text.matchAll(PASSWORD_HASH))
    spans.push({ start: index, end: index + found.length, kind: 'password hash' });
  return spans;
}

/** Shorter values are not secrets. */
const SHORTEST_NAMED = 3;

/** Returns those of named values that are secrets: of a command if `values` is set, else of a text that is shown. */
function namedSpans(text: string, named: readonly NamedValue[], values?: CommandValues): SecretSpan[] {
  const isText = values === undefined;
  return named.flatMap((found) => {
    const { start, kind } = found;
    const nested = isText ? nestedValues(text, found) : undefined;
    if (nested !== undefined) return nested.map((part) => ({ ...part, kind }));
    const end = isText ? endInText(text, found) : (values.endOf(found) ?? start);
    // Text after the usual end of a value belongs to it if the value fills its line.
    const last = isText ? Math.max(end, endOfLine(text, found) ?? end) : end;
    const isNone =
      last - start < SHORTEST_NAMED ||
      isNoValue(text, found, text.slice(start, end)) ||
      (isText && !isSecretValue(text, found, end));
    return isNone ? [] : [{ start, end: last, kind }];
  });
}

/** A longer one is not a value, but text between two of them. */
const LONGEST_QUOTED = 1024;

/** Returns where a value ends in a text: at a blank, or at the closing quote. */
function endInText(text: string, value: NamedValue): number {
  const at = quoteBefore(text, value);
  if (at === undefined) return value.end;
  const [quote, isEscaped] = [text[at], text[at - 1] === '\\'];
  for (let end = value.start; end < value.start + LONGEST_QUOTED; end++) {
    const char = text[end];
    if (char === undefined || char === '\n' || char === '\r') break;
    // `'it''s'` of YAML and SQL.
    if (char === "'" && quote === char && text[end + 1] === char) {
      end++;
      continue;
    }
    if (char === quote) return isEscaped ? value.start + text.slice(value.start, end).replace(/\\+$/, '').length : end;
    if (char === '\\' && !isEscaped) end++;
  }
  return value.end;
}

/** Returns the part of a span that hides nothing of what runs; nothing if it begins with what might. */
function clip(text: string, { start, end, kind }: SecretSpan): SecretSpan[] {
  const length = inertLength(text.slice(start, end), kind);
  return length === 0 ? [] : [{ start, end: start + length, kind }];
}

/** Begins or ends a private key, as PEM and the armor of PGP write them. */
const MARKER = /-----(BEGIN|END) (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----/g;

/** What begins or ends a private key in a text. */
interface KeyMarker {
  readonly isBegin: boolean;
  readonly start: number;
  readonly end: number;
}

/** Returns the markers of private keys in a text, in order. */
export function keyMarkers(text: string): readonly KeyMarker[] {
  if (!text.includes('PRIVATE KEY')) return [];
  return [...text.matchAll(MARKER)].map(({ 0: found, 1: kind, index }) => {
    return { isBegin: kind === 'BEGIN', start: index, end: index + found.length };
  });
}

/** Lines of a PEM or of an armor, which may be written as `\n` in a string. */
const LINE = /(?:\r?\n|\\r\\n|\\n)[ \t]{0,16}/;
const HEADER =
  /^(?:Proc-Type: 4,ENCRYPTED|DEK-Info: [A-Z0-9-]{1,32},[0-9A-Fa-f]{1,64}|(?:Version|Comment): [\w .@-]{0,100})$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{1,200}={0,2}|=[A-Za-z0-9+/]{4})$/;

/**
 * Returns the private keys in a command, each as a whole block of Base64 and nothing else: in a shell, other text
 * between the markers is run. Looks at each character a fixed number of times.
 */
function keyBlocks(text: string): { readonly start: number; readonly end: number; readonly kind: string }[] {
  const spans: ReturnType<typeof keyBlocks> = [];
  const markers = keyMarkers(text);
  for (const [index, { isBegin, start, end: from }] of markers.entries()) {
    const last = markers[index + 1];
    if (!isBegin || last === undefined || last.isBegin) continue;
    const inside = text.slice(from, last.start);
    if (inside.includes('-----')) continue;
    const hidden = keyChars(inside);
    if (hidden === inside.length) spans.push({ start, end: last.end, kind: 'private key' });
    else if (hidden !== undefined) spans.push({ start, end: from + hidden, kind: 'private key' });
  }
  return spans;
}

/** Returns how many characters within a block are of a key; undefined if it is not a key. */
function keyChars(inside: string): number | undefined {
  const lines = inside.split(LINE).map((line) => line.trimEnd());
  const written = lines.filter((line) => line !== '' && !HEADER.test(line));
  const last = written.at(-1);
  if (last === undefined || !written.every((line) => BASE64.test(line))) return undefined;
  if (!written.slice(0, -1).every(isNoName)) return undefined;
  if (isNoName(last)) return inside.length;
  // The few characters of its last line are no evidence of a key, and may be the name of a program.
  return written.length === 1 ? undefined : inside.lastIndexOf(last);
}

/**
 * Whether a line of Base64 cannot be an installed program: their names have no such mixture, and no three slashes in a
 * row. A program made for it is in the record before.
 */
function isNoName(line: string): boolean {
  return /=/.test(line) || (/[a-z]/.test(line) && /[A-Z]/.test(line) && /\d/.test(line) && !line.includes('///'));
}
