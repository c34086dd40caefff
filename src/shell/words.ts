import type { CommandArgument, DoubleQuotedChild, Redirection, Word, WordPart } from 'unbash';

/** What a word of a command is before the shell expands it: known text, or text with parts that only running tells. */
export interface Text {
  /** What is known; of a word that is not known, the text up to its first part that is not. */
  readonly text: string;
  readonly isKnown: boolean;
  /** It may become no word, or several. */
  readonly maySplit: boolean;
  /** Whatever words it becomes, each begins with `text`. */
  readonly isAlike: boolean;
  /** What is unknown in it leads to no directory above. */
  readonly isBeneath: boolean;
  /** What each of them ends with. */
  readonly end: string;
  /** None of them begins with a dash, though its first character is not known. */
  readonly isOperand?: true;
}

/** A word that may become anything. */
export const ANYTHING: Text = unknown('', true);

/** A word that is written out. */
export function known(text: string): Text {
  return { text, isKnown: true, maySplit: false, isAlike: true, isBeneath: true, end: text };
}

/** A word of which only the beginning is known. */
export function unknown(text: string, maySplit = false): Text {
  return { text, isKnown: false, maySplit, isAlike: !maySplit, isBeneath: false, end: '' };
}

/** A part of a word, from one of its characters on. */
export function since(word: Text, at: number): Text {
  const text = word.text.slice(at);
  return word.isKnown ? known(text) : { ...word, text, isAlike: word.isAlike && at <= word.text.length };
}

/** It cannot be an option, whatever it becomes. */
export function isNoOption({ text, isAlike, isOperand }: Text): boolean {
  return isOperand === true || (isAlike && text !== '' && !text.startsWith('-'));
}

/** A word with its quotes taken away, as far as that can be told without running anything. */
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
  // What is unknown, between what is known: `.*` may be `..`.
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

/** An argument: a word, or an assignment such as that of `export`. */
export function argumentText(argument: CommandArgument, values: Values = NO_VALUES): Text {
  if (argument.type === 'Word') return textOf(argument, values);
  const { name, value } = argument;
  // What is assigned does not split.
  if (value.type !== 'Word' || argument.index !== undefined) return unknown(`${name}=`);
  const given = textOf(value, values);
  return given.isKnown ? known(`${name}=${given.text}`) : whole({ ...given, text: `${name}=${given.text}` });
}

/** A word without its quotes, with what it expands as it is written. */
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

/** Words of braces that are told apart. */
const MOST_WORDS = 100;

/** What the shell makes of an argument before it looks at it: `{rm,-r}` is two words. */
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

/** What a part of a word may stand for; undefined for what only running it would tell. */
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

/** The values of variables, where they are known. */
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

/** Files that redirections write to. */
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

/** Files that redirections read from. */
export function readsOf(redirects: readonly Redirection[], values: Values): Text[] {
  return targetsOf(redirects, /^<>?$/, values);
}

/** What a here-document or here-string gives to read; a file, or another command, gives what nobody knows. */
export function inputOf(redirects: readonly Redirection[], values: Values): Text | undefined {
  const last = redirects.findLast(isOfInput);
  if (last === undefined || last.type === 'Redirect') return undefined;
  if (last.type === 'HereString') return last.target && textOf(last.target, values);
  const { delimiter, operator } = last;
  const { parts, text } = last.body;
  const read = operator === '<<-' ? text.replace(/^\t+/gm, '') : text;
  if (delimiter?.quoted === true) return known(read);
  // Backslashes of a document without quotes are taken away, by rules of their own.
  const isPlain = parts === undefined || parts.every(({ type }) => type === 'Literal');
  return isPlain && !text.includes('\\') ? known(read) : ANYTHING;
}

/** Whether a redirection is about the standard input: descriptor 0, which reading redirections mean when they name none. */
function isOfInput({ type, operator, descriptor }: Redirection): boolean {
  if (descriptor?.type === 'FileDescriptorVariable') return false;
  return descriptor === undefined ? type !== 'Redirect' || operator.startsWith('<') : descriptor.value === 0;
}

/** What here-documents and here-strings hold, as it is written. */
export function textsOf(redirects: readonly Redirection[], source: string): string {
  return redirects
    .map((one) =>
      one.type === 'HereDoc' ? one.body.text : one.type === 'HereString' ? source.slice(one.pos, one.end) : '',
    )
    .join('\n');
}
