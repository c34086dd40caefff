import type { Assignment, Command, Word } from 'unbash';
import { A_SCRIPT, type Inner, type Invocation, isTooDeep, namesUnknown } from './parse.ts';
import { innerOf } from './programs.ts';
import { rawText, type Text } from './words.ts';

/** What a here-document or a here-string says, where a part of it is only known when it is read. */
function hereText(redirect: Command['redirects'][number]): string {
  if (redirect.type === 'HereString' && redirect.target?.parts !== undefined) return rawText(redirect.target);
  return redirect.type === 'HereDoc' && redirect.body.parts !== undefined ? redirect.body.text : '';
}

/** Whether the value of a variable in a here-document may be what a program runs. */
export function runsInput(invocation: Invocation, redirects: Command['redirects']): boolean {
  return redirects.some((one) => namesUnknown(hereText(one))) && isRunner(invocation, 0);
}

/** Whether a program, or one that it runs, runs what it reads. */
function isRunner(invocation: Invocation, depth: number): boolean {
  if (isTooDeep(depth)) return true;
  const { unreadable, invocations = [], scripts = [] } = innerOf(invocation);
  return unreadable !== undefined || scripts.length > 0 || invocations.some((one) => isRunner(one, depth + 1));
}

/** Programs that take a text of their language for one of their words. */
const INTERPRETERS = /^(?:py|perl|ruby|node|deno|bun|php|lua|tcl|expect|sed|[gmn]?awk|gdb|lldb|n?vi|ed|ex)/;
const BEFORE_CODE = /^-{1,2}(?:\w{0,3}[ceErx]|eval|execute|command)$/;

/** Whether the value of a variable may be what a program runs. */
export function runsVariable(
  name: string,
  args: readonly Text[],
  inner: Inner,
  nodes: ReadonlyMap<Text, Word | Assignment | undefined>,
): boolean {
  const raw = (text: Text): string => {
    const node = nodes.get(text);
    return node?.type === 'Word' ? rawText(node) : text.text;
  };
  if (inner.joins !== undefined && namesUnknown(inner.joins.map(raw).join(' '))) return true;
  const isCode = inner.runsWords === true || inner === A_SCRIPT || INTERPRETERS.test(name.replace(/^.*\//, ''));
  if (inner !== A_SCRIPT && inner.runs === undefined) return false;
  return args.some((arg, index) => {
    if (arg.isKnown) return false;
    if (/[!;|&]\s*\$|(?:command|exec|cmd|SHELL)[\w-]*=\$|^\d*e\s\$/.test(raw(arg))) return true;
    if (!/^\$(?:\w+|\{[^}]*\})$/.test(raw(arg))) return false;
    return isCode || BEFORE_CODE.test(args[index - 1]?.text ?? '');
  });
}
