import type { CommandArgument, WordPart } from 'unbash';
import { argumentText, known, type Text, type Values } from './words.ts';

/** More words than these are not told apart. */
const MAX_WORDS = 100;

/** What the shell makes of an argument before it looks at it: `{rm,-r}` is two words. */
export function wordsOf(argument: CommandArgument, values: Values): readonly Text[] {
  const whole = (): Text[] => [argumentText(argument, values)];
  if (argument.type !== 'Word' || !argument.parts?.some(({ type }) => type === 'BraceExpansion')) return whole();
  let texts = [''];
  for (const part of argument.parts) {
    const choices = choicesOf(part);
    if (choices === undefined) return whole();
    texts = texts.flatMap((text) => choices.map((choice) => text + choice));
    if (texts.length > MAX_WORDS) return whole();
  }
  const isQuoted = argument.parts.some(({ type }) => /Quoted$/.test(type));
  // The shell leaves out words that are empty, unless quotes make them.
  return texts.filter((text) => isQuoted || text !== '').map(known);
}

/** What a part of a word may stand for; undefined for what only running it would tell. */
function choicesOf(part: WordPart): readonly string[] | undefined {
  switch (part.type) {
    case 'Literal':
    case 'SingleQuoted':
      return [part.value];
    case 'BraceExpansion': {
      const list = /^\{([\w./:@%+=~-]*(?:,[\w./:@%+=~-]*)+)\}$/.exec(part.text)?.[1];
      return list?.split(',');
    }
    default:
      return undefined;
  }
}
