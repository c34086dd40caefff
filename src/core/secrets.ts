import { keyBlocks } from './key-blocks.ts';

/** A part of a text that looks like a secret, and what kind it is. */
export interface SecretSpan {
  readonly start: number;
  readonly end: number;
  readonly kind: string;
}

/** Secrets that are known for what they are, whatever they look like. */
export interface KnownSecrets {
  readonly values: readonly string[];
  /** Whether a word of 43 characters is a token, of which only the hash is known. */
  readonly isToken?: ((word: string) => boolean) | undefined;
}

const NONE_KNOWN: KnownSecrets = { values: [] };

/** As long as `agent3 token` makes them. */
const TOKEN_SHAPE = /(?<![\w-])[\w-]{43}(?![\w-])/g;

/** A text without the secrets that were found in it. */
export interface Masked {
  readonly text: string;
  /** How many were found. */
  readonly count: number;
}

/**
 * What secrets look like. Each begins where no word goes on, and repeats one set of characters that what follows is not
 * in: no text makes them take longer than its length asks for.
 */
const SHAPES: readonly (readonly [kind: string, shape: RegExp])[] = [
  ['jwt', /(?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{4,8192}\.[\w-]{0,4096}/g],
  ['aws key', /(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])/g],
  ['github token', /(?<![\w-])(?:gh[opsur]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})/g],
  ['gitlab token', /(?<![\w-])glpat-[\w-]{16,255}/g],
  ['slack token', /(?<![\w-])xox[abeoprs]-[\w-]{10,255}/g],
  [
    'api key',
    /(?<![\w-])(?:sk-[\w-]{20,255}|sk_(?:live|test)_\w{16,255}|AIza[\w-]{35}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,255}|SG\.[\w-]{16,64}\.[\w-]{16,64})/g,
  ],
  ['password hash', /(?<![\w$])\$(?:[1-7y]|2[abxy]|gy|argon2i?d?)\$[^\s:'"]{8,512}/g],
];

/**
 * Where the name of a value says that it is a secret; the group before the value stays. `isAssigned`: a sign stands
 * between the two, which in a shell may be that of a variable.
 */
const NAMED: readonly (readonly [kind: string, shape: RegExp, isAssigned?: true])[] = [
  [
    'authorization',
    /((?<![\w-])(?:proxy-)?authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:(?:basic|bearer|token|digest|negotiate)\s{1,4})?)([^\s"',;]{3,4096})/gi,
    true,
  ],
  [
    'token',
    /((?<![\w-])(?:x-(?:auth|api|access)-(?:token|key)|set-cookie|cookie)["']?\s{0,4}[:=]\s{0,4}["']?)([^\s"']{3,4096})/gi,
    true,
  ],
  ['password', /((?<![a-zA-Z])[a-z][\w+.-]{1,15}:\/\/[^\s:/@'"<>]{0,128}:)([^\s/@'"<>]{3,256})(?=@)/gi],
  [
    'password',
    /((?<![A-Za-z0-9])(?:[\w-]{0,40}(?:password|passwd)|(?:[\w-]{0,40}[_-])?(?:pass(?:phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?key|credentials?))(?:_?(?:key|id|hash))?["']?\s{0,4}(?:=|:(?!\/\/))\s{0,4}["']?)([^\s"',;&|)}\]]{3,4096})/gi,
    true,
  ],
  [
    'password',
    /((?<![\w-])--?(?:pass(?:word|wd|phrase)?|secret|token|api-?key|auth|access-?token|client-secret)\s{1,4}["']?)([^\s"'-][^\s"']{2,4095})/gi,
  ],
  ['password', /((?<![\w-])(?:-u|--user|--proxy-user)\s{0,4}["']?[^\s:"']{1,128}:)([^\s"']{3,256})/g],
  ['password', /((?<![\w-])(?:mysql|mysqldump|mysqladmin|mariadb|sshpass)\b[^|;&\n]{0,200}?\s-p)([^\s"']{3,256})/g],
];

const PEM_BEGIN = /-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/g;
const PEM_END = /-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/g;

/** Where `text` has what looks like a secret, or is one of `known`: in their order, none within another. */
export function secretSpans(text: string, known: KnownSecrets = NONE_KNOWN): SecretSpan[] {
  return apart([...keySpans(text), ...knownSpans(text, known), ...shapeSpans(text), ...namedSpans(text, () => true)]);
}

/** The spans in their order, those that overlap as one. */
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

/** `text` with what looks like a secret, and every one of `known`, replaced by a mark of its kind: `‹password›`. */
export function maskSecrets(text: string, known: KnownSecrets = NONE_KNOWN): Masked {
  return maskSpans(text, secretSpans(text, known), (kind) => `‹${kind}›`);
}

/**
 * A command without its secrets, for the record: as `maskSecrets`, but so that no mark hides what a shell would run. A
 * key is masked as a whole block alone, and every other mark ends where a word or a command may.
 */
export function maskCommand(cmd: string, known: KnownSecrets = NONE_KNOWN): Masked {
  const guessed = [...shapeSpans(cmd), ...namedSpans(cmd, isOneWord)].flatMap((span) => clip(cmd, span));
  const spans = apart([...keyBlocks(cmd), ...knownSpans(cmd, known), ...guessed]);
  return maskSpans(cmd, spans, (kind) => `‹${kind}›`);
}

/** `text` with marks in the place of `spans`. */
export function maskSpans(text: string, spans: readonly SecretSpan[], mark: (kind: string) => string): Masked {
  let [result, at] = ['', 0];
  for (const { start, end, kind } of spans) {
    result += text.slice(at, start) + mark(kind);
    at = end;
  }
  return { text: result + text.slice(at), count: spans.length };
}

/** A key that is cut off at its end goes to the end of the text; one that is cut off at its beginning, from the start. */
function keySpans(text: string): SecretSpan[] {
  if (!text.includes('PRIVATE KEY')) return [];
  const spans: SecretSpan[] = [];
  const ends = [...text.matchAll(PEM_END)].map((match) => match.index + match[0].length);
  let next = 0;
  let covered = 0;
  for (const { index } of text.matchAll(PEM_BEGIN)) {
    if (index < covered) continue;
    if (covered === 0 && ends[0] !== undefined && ends[0] <= index)
      spans.push({ start: 0, end: ends[0], kind: 'private key' });
    while (next < ends.length && (ends[next] ?? 0) <= index) next++;
    covered = ends[next] ?? text.length;
    spans.push({ start: index, end: covered, kind: 'private key' });
  }
  if (covered === 0 && ends[0] !== undefined) spans.push({ start: 0, end: ends[0], kind: 'private key' });
  return spans;
}

/** Shorter values are words that stand in many texts. */
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
  return SHAPES.flatMap(([kind, shape]) =>
    [...text.matchAll(shape)].map((match) => ({ start: match.index, end: match.index + match[0].length, kind })),
  );
}

/** `isMeant` is asked about what stands before a value. */
function namedSpans(text: string, isMeant: (before: string, isAssigned: boolean) => boolean): SecretSpan[] {
  return NAMED.flatMap(([kind, shape, isAssigned = false]) =>
    [...text.matchAll(shape)].flatMap((match) => {
      const [, before = '', value = ''] = match;
      const start = match.index + before.length;
      const isNone = isPlaceholder(value) || isPath(before, value) || !isMeant(before, isAssigned);
      return isNone ? [] : [{ start, end: start + value.length, kind }];
    }),
  );
}

/** `PWD=/home/x`, `passwd=/etc/passwd`, `TOKEN_FILE=/run/token`: where something is, not what it is. */
function isPath(before: string, value: string): boolean {
  return /^\/[\w./@+-]*$/.test(value) && /(?:pwd|passwd|file|path)["']?\s*[=:]\s*["']?$/i.test(before);
}

/** What follows a line break, or the blank after `NAME=` or `NAME=word`, is a command that the shell runs. */
function isOneWord(before: string, isAssigned: boolean): boolean {
  return !/[\n\r]/.test(before) && !(isAssigned && /=[^=]*\s/.test(before));
}

/** With these a shell begins something new. */
const META = /[;&|<>()`\n]/;

/** The part of a span up to where the shell may begin something new; nothing where it begins with that. */
function clip(text: string, { start, end, kind }: SecretSpan): SecretSpan[] {
  const length = text.slice(start, end).search(META);
  if (length === 0) return [];
  return [{ start, end: length === -1 ? end : start + length, kind }];
}

/** A variable, or what stands there when nothing is told: `$PASSWORD`, `null`, `****`. */
function isPlaceholder(value: string): boolean {
  return /^(?:\$\w*|\$\{[^}]*\}?|\$\(.*|<.*|\*+|x{3,}|null|none|true|false|undefined|yes|no|‹.*)$/i.test(value);
}
