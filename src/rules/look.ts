import { type Options, parseOptions } from './options.ts';
import type { Invocation } from './rule.ts';
import { ANYTHING, type Text } from './words.ts';

/** What a program runs in its turn, as far as its words tell. */
export interface Inner {
  readonly invocations?: readonly Invocation[];
  /** Text that a shell runs. */
  readonly scripts?: readonly string[];
  /** Why rules cannot tell what it does. */
  readonly unreadable?: string;
}

/** An invocation, with what a here-document or a here-string gives it to read. */
export interface Fed extends Invocation {
  readonly input: Text | undefined;
}

export type Look = (args: readonly Text[], invocation: Fed) => Inner;

export const NOTHING: Inner = {};
export const unreadable = (reason: string): Inner => ({ unreadable: reason });

/** What words a program is only asked about itself with. */
export const ASKS = /^(?:--?version|-v|-V|--?help|-h)$/;

export function asksAboutItself(args: readonly Text[]): boolean {
  return args.length > 0 && args.every(({ text, isKnown }) => isKnown && ASKS.test(text));
}

/** A program whose arguments are a program of another language. */
export const interprets: Look = (args) =>
  asksAboutItself(args) ? NOTHING : unreadable('it runs a program that rules cannot read');

/** Starts other programs, in ways that its words do not plainly tell. */
export const launches: Look = (args) =>
  asksAboutItself(args) ? NOTHING : unreadable('it runs other programs in its own way');

/** A program that runs the rest of its words. */
export function wraps(
  options: Options,
  more: { readonly alone?: Inner; readonly when?: (has: Has) => Inner | undefined } = {},
): Look {
  return (args) => {
    const parsed = parseOptions(args, options);
    if (parsed === undefined) return asksAboutItself(args) ? NOTHING : unreadable('its options cannot be told');
    const special = parsed.assignments.find(({ text }) => isSpecialVariable(text.slice(0, text.indexOf('='))));
    if (special !== undefined) return unreadable(`${special.text.split('=')[0]} changes what commands mean`);
    const otherwise = more.when?.((name) => parsed.given.has(name));
    if (otherwise !== undefined) return otherwise;
    const [name, ...rest] = parsed.rest;
    if (name === undefined) return more.alone ?? NOTHING;
    return { invocations: [{ name: name.maySplit ? ANYTHING : name, args: rest, writes: [] }] };
  };
}
export type Has = (name: string) => boolean;

export const A_SHELL = unreadable('it opens a shell');

/** A shell that speaks the language of the parser. */
export const shell: Look = (args, { input }) => {
  if (asksAboutItself(args)) return NOTHING;
  let isCommand = false;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined || !arg.isKnown || arg.maySplit) return unreadable('what the shell runs is only known then');
    const { text } = arg;
    if (/^[-+][oO]$/.test(text)) index++;
    else if (/^--(?:login|norc|noprofile|posix|noediting|verbose)$/.test(text)) continue;
    else if (/^-[a-zA-Z]*c[a-zA-Z]*$/.test(text)) isCommand = true;
    else if (/^[-+][abefhklmnptuvxBCEHPT]+$/.test(text)) continue;
    else if (/^-/.test(text) && text !== '--' && text !== '-') return unreadable('its options cannot be told');
    else if (text === '--' || text === '-') {
      const next = args[index + 1];
      if (isCommand && next?.isKnown === true) return { scripts: [next.text] };
      return next === undefined ? fromInput(input) : A_SCRIPT;
    } else return isCommand ? { scripts: [text] } : A_SCRIPT;
  }
  return isCommand ? unreadable('what the shell runs is only known then') : fromInput(input);
};

export const A_SCRIPT = unreadable('it runs a script, which rules do not read');

export function fromInput(input: Text | undefined): Inner {
  return input?.isKnown === true ? { scripts: [input.text] } : unreadable('a shell runs what it reads');
}

/** The value of `-c` is a script for a shell; without one there is a shell for whoever has the input. */
export const runsMinusC =
  (options: Options): Look =>
  (args) => {
    const parsed = parseOptions(args, options);
    const script = parsed?.given.get('-c') ?? parsed?.given.get('--command');
    if (script?.isKnown === true) return { scripts: [script.text] };
    return asksAboutItself(args) ? NOTHING : A_SHELL;
  };

export function joined(args: readonly Text[]): Inner {
  if (args.some(({ isKnown }) => !isKnown)) return unreadable('what it runs is only known then');
  return { scripts: [args.map(({ text }) => text).join(' ')] };
}

/** Unreadable when one of its words says so. */
export function unless(pattern: RegExp, reason: string): Look {
  return (args) => {
    const isTold = args.some(({ text }) => pattern.test(text));
    return isTold ? unreadable(reason) : NOTHING;
  };
}

export const RUNS_PROGRAMS = 'one of its options runs another program';

/** Variables of which another value changes what commands mean, or runs some. */
export function isSpecialVariable(name: string): boolean {
  return /^(?:PATH|IFS|ENV|BASH_ENV|BASH_FUNC_.*|BASH_CMDS|BASH_ALIASES|SHELL|SHELLOPTS|BASHOPTS|PS[0-4]|PROMPT_COMMAND|CDPATH|EXECIGNORE|GLOBIGNORE|LD_.*|PYTHON.*|PERL5?.*|RUBY.*|NODE_.*|BUN_.*|GIT_.*|.*PAGER|EDITOR|VISUAL|FCEDIT|LESS.*|MAKEFLAGS|SUDO_ASKPASS|SSH_ASKPASS|TAR_OPTIONS|GCONV_PATH|AWK.*|BROWSER)$/.test(
    name,
  );
}
