import type { Assignment, Command, Word } from 'unbash';
import { A_SCRIPT, type Inner, type Invocation, isTooDeep, namesUnknown, parseScript } from './parse.ts';
import { innerOf } from './programs.ts';
import { argumentText, rawText, type Text } from './words.ts';

/** Returns the text of a here-document or a here-string; a part of it may only be known when it is read. */
function hereText(redirect: Command['redirects'][number]): string {
  if (redirect.type === 'HereString' && redirect.target?.parts !== undefined) return rawText(redirect.target);
  return redirect.type === 'HereDoc' && redirect.body.parts !== undefined ? redirect.body.text : '';
}

/** They print their words. */
export const PRINTERS = /^(?:echo|printf|yes|expr|seq|basename|dirname)$/;

/**
 * A word of a program that runs a text of a shell: `!f() { token=x; $token; }` of git, `--to-command=token=x; $token`
 * of tar.
 */
export const RUNS_VARIABLE = /[;&|{(]\s*["']?\$\{?\w+\}?["']?\s*(?:[;&|})]|$)/;

/** Programs that take a here-document or a here-string as a text. */
const COPIERS =
  /^(?:cat|tee|sponge|dd|chpasswd|newusers|mysql|mariadb|psql|curl|debconf-set-selections|redis-cli|nft)$/;
const KUBECTL = /^(?:kubectl|oc)$/;
const TAKES_MANIFEST = /^(?:apply|create|replace|patch|delete)$/;
/** Programs that run it, and whose language separates values from code. */
const LANGUAGES = /^(?:python[\d.]*|node|ruby|php)$/;

/**
 * Returns how a program, or one that it runs, uses a here-document: as text or code; undefined: as input for a shell.
 */
export function takesInput({ name, args }: Invocation, depth = 0): 'text' | 'code' | undefined {
  if (name?.isKnown !== true || isTooDeep(depth)) return undefined;
  const program = name.text.replace(/^.*\//, '');
  if (COPIERS.test(program) || (KUBECTL.test(program) && TAKES_MANIFEST.test(args[0]?.text ?? ''))) return 'text';
  if (LANGUAGES.test(program)) return 'code';
  const { invocations = [], scripts = [], unreadable } = innerOf({ name, args });
  const [only, ...others] = [...invocations, ...scripts.flatMap(({ text }) => commandIn(text, depth + 1))];
  return only === undefined || others.length > 0 || unreadable !== undefined ? undefined : takesInput(only, depth + 1);
}

/** Returns the command of a script that has nothing else. */
function commandIn(text: string, depth: number): Invocation[] {
  const script = parseScript(text, depth);
  if (typeof script === 'string') return [];
  const [only, ...others] = script.commands.map(({ command }) => command);
  if (only?.type !== 'Command' || only.name === undefined || others.length > 0 || script.errors?.length) return [];
  const [name, ...args] = [only.name, ...only.args].map((word) => argumentText(word));
  return [{ name, args }];
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

/** Programs that take one of their words as a text of their language. */
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
