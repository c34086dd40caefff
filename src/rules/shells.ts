import {
  A_SCRIPT,
  A_SHELL,
  asksAboutItself,
  type Inner,
  type Look,
  NOTHING,
  OPTIONS_UNTOLD,
  SOME_SHELL,
  unreadable,
} from './look.ts';
import { type Options, parseOptions } from './options.ts';
import type { Text } from './words.ts';

/** A shell by its name, in whose language its scripts are. */
export function shell(name: string): Look {
  return (args, { input }) => {
    if (asksAboutItself(args)) return NOTHING;
    const called = calledWith(args);
    if (called === undefined) return OPTIONS_UNTOLD;
    const { isCommand, readsStartFiles, operand } = called;
    if (!isCommand) return operand === undefined ? fromInput(input, name) : A_SCRIPT;
    if (operand?.isKnown !== true) return unreadable('what the shell runs is only known then');
    const script = { scripts: [{ text: operand.text, shell: name }] };
    return readsStartFiles ? { ...script, ...unreadable('it reads the start files of a shell') } : script;
  };
}

interface Called {
  /** The operand is a script, not the name of one. */
  readonly isCommand: boolean;
  readonly readsStartFiles: boolean;
  readonly operand: Text | undefined;
}

/** Undefined: nobody can tell which of the words is what. */
function calledWith(args: readonly Text[]): Called | undefined {
  let isCommand = false;
  let readsStartFiles = false;
  let index = 0;
  for (; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined || !arg.isKnown) {
      // What is behind is no option, if this one is none.
      if (arg !== undefined && isCommand && !arg.maySplit && arg.text !== '') break;
      return undefined;
    }
    const { text } = arg;
    if (/^[-+][oO]$/.test(text)) {
      const value = args[++index];
      if (value?.isKnown !== true || !/^[a-z][a-z_]*$/.test(value.text) || HAZARDS.test(value.text)) return undefined;
    } else if (/^--(?:norc|noprofile|noediting|verbose)$/.test(text)) continue;
    else if (text === '--login') readsStartFiles = true;
    else if (text === '--' || text === '-') {
      index++;
      break;
    } else if (!/^[-+]/.test(text)) break;
    else if (/^[-+][abcefilmnprstuvxBCEPT]+$/.test(text)) {
      isCommand ||= text.startsWith('-') && text.includes('c');
      readsStartFiles ||= /[il]/.test(text);
      // All that follows are parameters of what it reads.
      if (!isCommand && text.includes('s')) return { isCommand, readsStartFiles, operand: undefined };
    } else return undefined;
  }
  return { isCommand, readsStartFiles, operand: args[index] };
}

/** Options of a shell with which words mean something else. */
const HAZARDS = /^(?:posix|history|histexpand|keyword|expand_aliases|autocd|cdable_vars|progcomp_alias)$/;

export function fromInput(input: Text | undefined, name: string): Inner {
  if (input?.isKnown !== true) return unreadable('a shell runs what it reads');
  return { scripts: [{ text: input.text, shell: name }] };
}

/** The value of `-c` is a script for a shell; without one there is a shell for whoever has the input. */
export function runsMinusC(options: Options, moves: boolean): Look {
  return (args) => {
    if (asksAboutItself(args)) return NOTHING;
    const script = permuted(args, options)?.get('-c');
    if (script?.isKnown !== true) return A_SHELL;
    return { scripts: [{ text: script.text, shell: SOME_SHELL }], isElsewhere: moves };
  };
}

/** Options may also stand behind operands. */
function permuted(args: readonly Text[], options: Options): ReadonlyMap<string, Text | undefined> | undefined {
  const given = new Map<string, Text | undefined>();
  let rest = args;
  while (rest.length > 0) {
    const parsed = parseOptions(rest, options);
    if (parsed === undefined) return undefined;
    for (const [name, value] of parsed.given) {
      const isScript = /^--(?:session-)?command$/.test(name) || name === '-c';
      if (isScript && given.has('-c')) return undefined;
      given.set(isScript ? '-c' : name, value);
    }
    if (parsed.rest.some(({ maySplit }) => maySplit)) return undefined;
    rest = parsed.hasEnded ? [] : parsed.rest.slice(1);
  }
  return given;
}

/** A program that runs its words in a shell, of some user or its own. */
export const opensShell: Look = (args) => (asksAboutItself(args) ? NOTHING : A_SHELL);
