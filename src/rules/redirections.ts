import type { HereDoc, Redirection } from 'unbash';
import { ANYTHING, known, type Text, textOf, type Values } from './words.ts';

/** Files that redirections write to. */
export function writesOf(redirects: readonly Redirection[], values: Values): Text[] {
  return redirects.flatMap((redirect) => {
    if (redirect.type !== 'Redirect' || redirect.target === undefined) return [];
    const target = textOf(redirect.target, values);
    const isCopy = redirect.operator === '>&' && target.isKnown && /^(?:\d+-?|-)$/.test(target.text);
    return /^(?:>|>>|>\||&>|&>>|<>|>&)$/.test(redirect.operator) && !isCopy ? [target] : [];
  });
}

/** Files that redirections read from. */
export function readsOf(redirects: readonly Redirection[], values: Values): Text[] {
  return redirects.flatMap((redirect) =>
    redirect.type === 'Redirect' && /^<>?$/.test(redirect.operator) && redirect.target !== undefined
      ? [textOf(redirect.target, values)]
      : [],
  );
}

/** What a here-document or here-string gives to read; a file, or another command, gives what nobody knows. */
export function inputOf(redirects: readonly Redirection[], values: Values): Text | undefined {
  const last = redirects.findLast(isOfInput);
  if (last === undefined || last.type === 'Redirect') return undefined;
  if (last.type === 'HereString') return last.target && textOf(last.target, values);
  return textOfDocument(last);
}

/** Whether a redirection is about the standard input: descriptor 0, which reading redirections mean when they name none. */
function isOfInput({ type, operator, descriptor }: Redirection): boolean {
  if (descriptor?.type === 'FileDescriptorVariable') return false;
  return descriptor === undefined ? type !== 'Redirect' || operator.startsWith('<') : descriptor.value === 0;
}

/** Backslashes of a document without quotes are taken away, by rules of their own. */
function textOfDocument({ delimiter, body: { parts, text }, operator }: HereDoc): Text {
  const read = operator === '<<-' ? text.replace(/^\t+/gm, '') : text;
  if (delimiter?.quoted === true) return known(read);
  const isPlain = parts === undefined || parts.every(({ type }) => type === 'Literal');
  return isPlain && !text.includes('\\') ? known(read) : ANYTHING;
}
