import type { Invocation } from './rule.ts';
import type { Text } from './words.ts';

/** Text that a shell runs. */
export interface Script {
  readonly text: string;
  /** Undefined: the shell that runs the command. */
  readonly shell?: string;
}

/** What a program runs in its turn, as far as its words tell. */
export interface Inner {
  readonly invocations?: readonly Invocation[];
  readonly scripts?: readonly Script[];
  /** Why rules cannot tell what it does. */
  readonly unreadable?: string | undefined;
  /** What it runs is run in another directory. */
  readonly isElsewhere?: boolean;
}

/** An invocation, with what a here-document or a here-string gives it to read. */
export interface Fed extends Invocation {
  readonly input: Text | undefined;
}

export type Look = (args: readonly Text[], invocation: Fed) => Inner;

export const NOTHING: Inner = {};
export const unreadable = (reason: string): Inner => ({ unreadable: reason });

export const OPTIONS_UNTOLD = unreadable('its options cannot be told');
export const ONLY_THEN = unreadable('what it runs is only known then');
export const RUNS_PROGRAMS = 'one of its options runs another program';
export const A_SHELL = unreadable('it opens a shell');
export const A_SCRIPT = unreadable('it runs a script, which rules do not read');
export const CHANGES_NAMES = unreadable('it may change what commands mean');

/** The shell of a user, or the one that a program starts: what all shells read alike. */
export const SOME_SHELL = 'sh';

/** Whether a program is only asked about itself; `short`: further words that ask this one. */
export function asksAboutItself(args: readonly Text[], short: readonly string[] = []): boolean {
  const [only, ...rest] = args;
  if (only?.isKnown !== true || rest.length > 0) return false;
  return only.text === '--version' || only.text === '--help' || short.includes(only.text);
}

/** A program whose arguments are a program of another language. */
export function interprets(...short: readonly string[]): Look {
  return (args) => (asksAboutItself(args, short) ? NOTHING : unreadable('it runs a program that rules cannot read'));
}

/** Starts other programs, in ways that its words do not plainly tell; but with the words `harmless`. */
export function launches(harmless?: RegExp): Look {
  return (args) => {
    if (asksAboutItself(args) || isPlainly(harmless, args)) return NOTHING;
    return unreadable('it runs other programs in its own way');
  };
}

/** Whether all words are known, and together are what a pattern says. */
export function isPlainly(pattern: RegExp | undefined, args: readonly Text[]): boolean {
  const isKnown = args.every((arg) => arg.isKnown && !arg.maySplit);
  return pattern !== undefined && isKnown && pattern.test(args.map(({ text }) => text).join(' '));
}

/** A shell that runs all of its words together. */
export function joined(args: readonly Text[], shell?: string): Inner {
  if (args.some(({ isKnown }) => !isKnown)) return ONLY_THEN;
  const text = args.map((arg) => arg.text).join(' ');
  return { scripts: [shell === undefined ? { text } : { text, shell }] };
}
