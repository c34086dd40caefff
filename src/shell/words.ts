import type { CommandArgument, DoubleQuotedChild, Redirection, Word, WordPart } from 'unbash';

/** A word of a command before the shell expands it: known text, or text with parts that only running it would show. */
export interface Text {
  /** The known text; of an unknown word, the text up to its first unknown part. */
  readonly text: string;
  readonly isKnown: boolean;
  /** Whether it may become no word, or several. */
  readonly maySplit: boolean;
  /** Whether each word that it becomes begins with `text`. */
  readonly isAlike: boolean;
  /** Whether the unknown part leads to no parent directory. */
  readonly isBeneath: boolean;
  /** The end of each of them. */
  readonly end: string;
  /** None of them begins with a dash, though the first character is unknown. */
  readonly isOperand?: true;
}

/** A word that may become anything. */
export const ANYTHING: Text = unknown('', true);

/** A word without expansions. */
export function known(text: string): Text {
  return { text, isKnown: true, maySplit: false, isAlike: true, isBeneath: true, end: text };
}

/** A word of which only the beginning is known. */
export function unknown(text: string, maySplit = false): Text {
  return { text, isKnown: false, maySplit, isAlike: !maySplit, isBeneath: false, end: '' };
}

/** Returns a part of a word, from one of its characters on. */
export function since(word: Text, at: number): Text {
  const text = word.text.slice(at);
  return word.isKnown ? known(text) : { ...word, text, isAlike: word.isAlike && at <= word.text.length };
}

/** Whether it cannot be an option, whatever it becomes. */
export function isNoOption({ text, isAlike, isOperand }: Text): boolean {
  return isOperand === true || (isAlike && text !== '' && !text.startsWith('-'));
}

/** Returns a word without its quotes, as far as that is known without running anything. */
export function textOf(word: Word, values: Values = NO_VALUES): Text {
  if (word.parts === undefined) return known(word.value);
  return concatenated(word.parts.map((part, index) => homely(part, word.parts?.[index + 1]) ?? pieceOf(part, values)));
}

function concatenated(pieces: readonly Text[]): Text {
  const first = pieces.findIndex(({ isKnown }) => !isKnown);
  const join = (some: readonly Text[]): string => some.map(({ text }) => text).join('');
  if (first === -1) return known(join(pieces));
  const rest = pieces.slice(first);
  const last = pieces.findLastIndex(({ isKnown }) => !isKnown);
  // The unknown part between known ones: `.*` may be `..`.
  const shape = pieces.map((piece) => (piece.isKnown ? piece.text : `${piece.text}*${piece.end}`)).join('');
  const leadsUp = /\.\.|(?:^|\/)\.\*|^\*+\//.test(shape);
  const text = join(pieces.slice(0, first + 1));
  return {
    text,
    isKnown: false,
    maySplit: rest.some(({ maySplit }) => maySplit),
    isAlike: rest.every(({ isAlike }) => isAlike),
    isBeneath: rest.every(({ isBeneath }) => isBeneath) && !leadsUp,
    end: (pieces[last]?.end ?? '') + join(pieces.slice(last + 1)),
  };
}

/** Returns an argument: a word, or an assignment such as that of `export`. */
export function argumentText(argument: CommandArgument, values: Values = NO_VALUES): Text {
  if (argument.type === 'Word') return textOf(argument, values);
  const { name, value } = argument;
  // An assigned value does not split.
  if (value.type !== 'Word' || argument.index !== undefined) return unknown(`${name}=`);
  const given = textOf(value, values);
  return given.isKnown ? known(`${name}=${given.text}`) : whole({ ...given, text: `${name}=${given.text}` });
}

/** Returns a word without its quotes, with its expansions as they are written. */
export function rawText({ parts, value }: Word): string {
  if (parts === undefined) return value;
  return parts
    .map((part) => {
      if (part.type === 'DoubleQuoted')
        return part.parts.map((one) => (one.type === 'Literal' ? one.value : one.text)).join('');
      return part.type === 'Literal' || part.type === 'SingleQuoted' ? part.value : part.text;
    })
    .join('');
}

/** Most words of braces that are distinguished. */
const MOST_WORDS = 100;

/** Returns what the shell makes of an argument first: `{rm,-r}` is two words. */
export function wordsOf(argument: CommandArgument, values: Values): readonly Text[] {
  const whole = (): Text[] => [argumentText(argument, values)];
  if (argument.type !== 'Word' || !argument.parts?.some(({ type }) => type === 'BraceExpansion')) return whole();
  let texts = [''];
  for (const part of argument.parts) {
    const choices = choicesOf(part);
    if (choices === undefined) return whole();
    texts = texts.flatMap((text) => choices.map((choice) => text + choice));
    if (texts.length > MOST_WORDS) return whole();
  }
  const isQuoted = argument.parts.some(({ type }) => /Quoted$/.test(type));
  // The shell leaves out words that are empty, unless quotes make them.
  return texts.filter((text) => isQuoted || text !== '').map(known);
}

/** Returns the texts that a part of a word may become; undefined if only running it would show that. */
function choicesOf(part: WordPart): readonly string[] | undefined {
  if (part.type === 'Literal' || part.type === 'SingleQuoted') return [part.value];
  if (part.type !== 'BraceExpansion') return undefined;
  return /^\{([\w./:@%+=~-]*(?:,[\w./:@%+=~-]*)+)\}$/.exec(part.text)?.[1]?.split(',');
}

/** One or several names of files. */
const NAMES: Text = { text: '', isKnown: false, maySplit: true, isAlike: true, isBeneath: true, end: '' };

/** A number of the shell, `$$`, or the output of a program that has no slashes in it. */
const NAME: Text = { ...NAMES, maySplit: false };

/** What mktemp prints. */
const TEMPORARY: Text = { ...NAME, text: '/tmp/' };

function pieceOf(part: WordPart, values: Values): Text {
  switch (part.type) {
    case 'Literal':
    case 'SingleQuoted':
    case 'AnsiCQuoted':
      return known(part.value);
    case 'DoubleQuoted':
    case 'LocaleString':
      return quoted(part.parts, values);
    case 'ProcessSubstitution':
      return known('/dev/fd/63');
    case 'Glob':
      return part.parts === undefined || part.parts.every(({ type }) => type === 'Literal') ? NAMES : ANYTHING;
    case 'BraceExpansion':
      return /^\{(?:(?:\.?[\w-]+)?(?:,(?:\.?[\w-]+)?)*|\w+\.\.\w+)\}$/.test(part.text) ? NAMES : ANYTHING;
    case 'SimpleExpansion':
    case 'ParameterExpansion':
    case 'CommandExpansion':
    case 'ArithmeticExpansion':
      return unquoted(expanded(part, values));
    default:
      return ANYTHING;
  }
}

/** Splits at spaces, and expands names of files. */
function unquoted(value: Text): Text {
  if (value.isKnown) return /^[\w./:@%+,=-]+$/.test(value.text) ? value : ANYTHING;
  return value === NAME || value === TEMPORARY ? value : ANYTHING;
}

function quoted(parts: readonly DoubleQuotedChild[], values: Values): Text {
  return concatenated(parts.map((part, index) => homely(part, parts[index + 1]) ?? expanded(part, values)));
}

/** `$HOME/x` is `~/x`, and `$PWD/x` an absolute path, wherever that is. */
function homely(part: WordPart, next: WordPart | undefined): Text | undefined {
  const [, name] = /^\$\{?(HOME|PWD|OLDPWD)\}?$/.exec(part.text) ?? [];
  const isFollowed = next?.type === 'Literal' && next.value.startsWith('/');
  if (name === undefined || !isFollowed) return undefined;
  return name === 'HOME' ? known('~') : unknown('/');
}

function expanded(part: DoubleQuotedChild, values: Values): Text {
  if (part.type === 'Literal') return known(part.value);
  // They become several words even in quotes.
  if (part.text.includes('@')) return ANYTHING;
  if (/^\$[$?#]$/.test(part.text) || NAME_PRINTERS.test(part.text)) return NAME;
  if (part.type === 'CommandExpansion' && /^\$\(mktemp(?: -d)?\)$/.test(part.text)) return TEMPORARY;
  const name = /^\$(?:(\w+)|\{(\w+)\})$/.exec(part.text);
  const value = name === null ? undefined : values.of(name[1] ?? name[2] ?? '', part.pos);
  if (value === undefined) return unknown('');
  return whole(value);
}

const NAME_PRINTERS =
  /^\$\((?:date [+](?:["'])?(?![.-])(?!.*\.\.)(?:%[YmdHMSsFjyN]|[\w.:-])+(?:["'])?|nproc|hostname|whoami|id -un?|uname -[rsmn])\)$/;

/** The values of variables, as far as they are known. */
export interface Values {
  of(name: string, at: number): Text | undefined;
}

export const NO_VALUES: Values = { of: () => undefined };

/** A value that does not split: it is one word, whatever is in it. */
export function whole(value: Text): Text {
  return value.isKnown ? value : { ...value, maySplit: false, isAlike: true };
}

/** Any one of several words. */
export function joinedOf(words: readonly Text[]): Text | undefined {
  const [first, ...rest] = words;
  if (first === undefined) return undefined;
  const isAlike = words.every((word) => word.isAlike);
  let text = isAlike ? first.text : '';
  for (const other of rest) while (!other.text.startsWith(text)) text = text.slice(0, -1);
  const isOne = rest.length === 0;
  const isNear = (word: Text): boolean => word.isBeneath && !/^\.|\/|\.\./.test(word.text.slice(text.length));
  return {
    text,
    isKnown: isOne && first.isKnown,
    maySplit: false,
    isAlike: true,
    isBeneath: isAlike && words.every(isNear),
    end: isOne && isAlike ? first.end : '',
  };
}

/** Returns the files that redirections write to. */
export function writesOf(redirects: readonly Redirection[], values: Values): Text[] {
  const targets = targetsOf(redirects, /^(?:>|>>|>\||&>|&>>|<>|>&)$/, values);
  // `2>&1`: a digit is a descriptor, or a file of that name here.
  return targets.filter(({ text, isKnown }) => !isKnown || !/^(?:\d+-?|-)$/.test(text));
}

function targetsOf(redirects: readonly Redirection[], operators: RegExp, values: Values): Text[] {
  return redirects.flatMap((redirect) =>
    redirect.type === 'Redirect' && operators.test(redirect.operator) && redirect.target !== undefined
      ? [textOf(redirect.target, values)]
      : [],
  );
}

/** Returns the files that redirections read from. */
export function readsOf(redirects: readonly Redirection[], values: Values): Text[] {
  return targetsOf(redirects, /^<>?$/, values);
}

/**
 * Returns the text of a here-document or here-string; the content of a file, or the output of a command, is unknown.
 */
export function inputOf(redirects: readonly Redirection[], values: Values): Text | undefined {
  const last = redirects.findLast(isOfInput);
  if (last === undefined || last.type === 'Redirect') return undefined;
  if (last.type === 'HereString') return last.target && textOf(last.target, values);
  const { delimiter, operator } = last;
  const { parts, text } = last.body;
  const read = operator === '<<-' ? text.replace(/^\t+/gm, '') : text;
  if (delimiter?.quoted === true) return known(read);
  // Backslashes of an unquoted document are removed, by separate rules.
  const isPlain = parts === undefined || parts.every(({ type }) => type === 'Literal');
  return isPlain && !text.includes('\\') ? known(read) : ANYTHING;
}

/** Whether a redirection is about the standard input: descriptor 0, the default of reading redirections. */
function isOfInput({ type, operator, descriptor }: Redirection): boolean {
  if (descriptor?.type === 'FileDescriptorVariable') return false;
  return descriptor === undefined ? type !== 'Redirect' || operator.startsWith('<') : descriptor.value === 0;
}

/** Returns the text of here-documents and here-strings, as it is written. */
export function textsOf(redirects: readonly Redirection[], source: string): string {
  return redirects
    .map((one) =>
      one.type === 'HereDoc' ? one.body.text : one.type === 'HereString' ? source.slice(one.pos, one.end) : '',
    )
    .join('\n');
}
