import type { CommandArgument, DoubleQuotedChild, Word, WordPart } from 'unbash';

/** What a word of a command is before the shell expands it: known text, or text with parts that only running tells. */
export interface Text {
  /** What is known; of a word that is not known, the text up to its first part that is not. */
  readonly text: string;
  readonly isKnown: boolean;
  /** It may become no word, or several. */
  readonly maySplit: boolean;
  /** Whatever words it becomes, each begins with `text`. */
  readonly isAlike: boolean;
  /** Only names of files are unknown in it: they hold no slash, and lead to no directory above. */
  readonly isBeneath: boolean;
  /** What each of them ends with. */
  readonly end: string;
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
export function isNoOption({ text, isAlike }: Text): boolean {
  return isAlike && text !== '' && !text.startsWith('-');
}

/** A word with its quotes taken away, as far as that can be told without running anything. */
export function textOf(word: Word): Text {
  if (word.parts === undefined) return known(word.value);
  const pieces = word.parts.map(pieceOf);
  const first = pieces.findIndex(({ isKnown }) => !isKnown);
  const join = (some: readonly Text[]): string => some.map(({ text }) => text).join('');
  if (first === -1) return known(join(pieces));
  const rest = pieces.slice(first);
  const last = pieces.findLastIndex(({ isKnown }) => !isKnown);
  const after = join(rest.filter(({ isKnown }) => isKnown));
  return {
    text: join(pieces.slice(0, first + 1)),
    isKnown: false,
    maySplit: rest.some(({ maySplit }) => maySplit),
    isAlike: rest.every(({ isAlike }) => isAlike),
    isBeneath: rest.every(({ isBeneath }) => isBeneath) && !after.includes('..'),
    end: join(pieces.slice(last + 1)),
  };
}

/** An argument: a word, or an assignment such as that of `export`. */
export function argumentText(argument: CommandArgument): Text {
  if (argument.type === 'Word') return textOf(argument);
  const { name, value } = argument;
  if (value.type !== 'Word' || argument.index !== undefined) return unknown(`${name}=`, true);
  const given = textOf(value);
  return given.isKnown ? known(`${name}=${given.text}`) : { ...given, text: `${name}=${given.text}` };
}

/** One or several names of files. */
const NAMES: Text = { text: '', isKnown: false, maySplit: true, isAlike: true, isBeneath: true, end: '' };

function pieceOf(part: WordPart): Text {
  switch (part.type) {
    case 'Literal':
    case 'SingleQuoted':
    case 'AnsiCQuoted':
      return known(part.value);
    case 'DoubleQuoted':
    case 'LocaleString':
      return quoted(part.parts);
    case 'Glob':
      return part.parts === undefined || part.parts.every(({ type }) => type === 'Literal') ? NAMES : ANYTHING;
    case 'BraceExpansion':
      return /^\{(?:[\w,-]*|\w+\.\.\w+)\}$/.test(part.text) ? NAMES : ANYTHING;
    default:
      return ANYTHING;
  }
}

function quoted(parts: readonly DoubleQuotedChild[]): Text {
  let text = '';
  for (const part of parts) {
    if (part.type !== 'Literal') {
      const last = parts.at(-1);
      return {
        ...unknown(
          text,
          parts.some(({ type, text: source }) => type !== 'Literal' && isList(source)),
        ),
        end: last?.type === 'Literal' ? last.value : '',
      };
    }
    text += part.value;
  }
  return known(text);
}

/** `"$@"` and `"${list[@]}"` become several words even in quotes. */
function isList(text: string): boolean {
  return text.includes('@');
}
