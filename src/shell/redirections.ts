import type { Redirection } from 'unbash';
import { ANYTHING, known, type Text, textOf, type Values } from './words.ts';

/** Files that redirections write to. */
export function writesOf(redirects: readonly Redirection[], values: Values): Text[] {
  const targets = targetsOf(redirects, /^(?:>|>>|>\||&>|&>>|<>|>&)$/, values);
  // `2>&1`: a digit is a descriptor, or a file of that name here.
  return targets.filter(({ text, isKnown }) => !isKnown || !/^(?:\d+-?|-)$/.test(text));
}

/** Files that redirections write to or read from, by their operators. */
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
