import type { CommandArgument, DoubleQuotedChild, Word, WordPart } from 'unbash';

/** What a word of a command is before the shell expands it: known text, or text with parts that only running tells. */
export interface Text {
  /** What is known; of a word that is not known, the text up to its first part that is not. */
  readonly text: string;
  readonly isKnown: boolean;
  /** It may become no word, or several. */
  readonly maySplit: boolean;
}

/** A word that may become anything. */
export const ANYTHING: Text = { text: '', isKnown: false, maySplit: true };

/** A word that is written out. */
export function known(text: string): Text {
  return { text, isKnown: true, maySplit: false };
}

/** A word with its quotes taken away, as far as that can be told without running anything. */
export function textOf(word: Word): Text {
  if (word.parts === undefined) return known(word.value);
  let text = '';
  for (const part of word.parts) {
    const piece = pieceOf(part);
    if (!piece.isKnown) return { text: text + piece.text, isKnown: false, maySplit: splits(word.parts) };
    text += piece.text;
  }
  return known(text);
}

/** An argument: a word, or an assignment such as that of `export`. */
export function argumentText(argument: CommandArgument): Text {
  if (argument.type === 'Word') return textOf(argument);
  const { name, value } = argument;
  if (value.type !== 'Word' || argument.index !== undefined) return { ...ANYTHING, text: `${name}=` };
  const given = textOf(value);
  return { ...given, text: `${name}=${given.text}` };
}

function pieceOf(part: WordPart): Text {
  switch (part.type) {
    case 'Literal':
    case 'SingleQuoted':
    case 'AnsiCQuoted':
      return known(part.value);
    case 'DoubleQuoted':
    case 'LocaleString':
      return quoted(part.parts);
    default:
      return ANYTHING;
  }
}

function quoted(parts: readonly DoubleQuotedChild[]): Text {
  let text = '';
  for (const part of parts) {
    if (part.type !== 'Literal') return { text, isKnown: false, maySplit: isList(part.text) };
    text += part.value;
  }
  return known(text);
}

/** `"$@"` and `"${list[@]}"` become several words even in quotes. */
function isList(text: string): boolean {
  return text.includes('@');
}

function splits(parts: readonly WordPart[]): boolean {
  return parts.some((part) => {
    const piece = pieceOf(part);
    return !piece.isKnown && piece.maySplit;
  });
}
