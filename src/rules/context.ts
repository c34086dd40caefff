import { parseScript } from '../shell/parse.ts';
import { isSpecialVariable } from '../shell/variables.ts';

/** Something that a shell has before a command runs in it, with the text that defines it. */
export interface Brought {
  readonly kind: 'variable' | 'function' | 'attribute' | 'option' | 'alias';
  readonly name: string;
  readonly text: string;
}

/** What rules need to know about a context. */
interface ContextView {
  /** Why no command in it can be read, a sentence each. */
  readonly faults: readonly string[];
  /** Names that commands in it use for something else than what is installed. */
  readonly names: ReadonlySet<string>;
  /** Those of them that bash also replaces where a function is defined. */
  readonly aliases: ReadonlySet<string>;
  /** Texts that may become values of the command's variables. */
  readonly values: readonly string[];
}

/** Bash calls it for every name that it does not find. */
const FOR_ANY_NAME = 'command_not_found_handle';
/** The shell of a context calls these by itself, before and after every command (`contexts/context.bash`). */
const CALLED_ANYWAY = /^(?:alias|builtin|continue|declare|eval|exec|return|set|shopt|trap|unset)$/;
/** Bash replaces them by an alias too, and they are not names of commands. */
const RESERVED =
  /^(?:!|\{|\}|\[\[|\]\]|case|coproc|do|done|elif|else|esac|fi|for|function|if|in|select|then|time|until|while)$/;
/** Options with which the same text is another command. */
const CHANGING = /^(?:posix|extglob|compat\d+|keyword|noexec|expand_aliases|autocd|sourcepath|cdable_vars|cdspell)$/;
/** Expanding aliases only changes their names, and patterns are never read as names. */
const HARMLESS = /^shopt -s (?:expand_aliases|extglob)$/;
/** A variable that is exported or an array does not change what the command says about its value. */
const PLAIN = /^(?:declare -[-xaA]+|unset -v) /;

/** So many functions are read in some milliseconds. */
const FUNCTIONS_A_PIECE = 20;

/** Returns what a context changes in the meaning of commands; other calls run between the pieces. */
export function* contextOf(brought: readonly Brought[]): Generator<void, ContextView, void> {
  const namesOf = (kind: Brought['kind']): string[] =>
    brought.filter((one) => one.kind === kind).map(({ name }) => name);
  const aliases = namesOf('alias');
  const faults: string[] = [];
  let functions = 0;
  for (const one of brought) {
    if (one.kind === 'function' && ++functions % FUNCTIONS_A_PIECE === 0) yield;
    const fault = faultOf(one);
    if (fault !== undefined) faults.push(fault);
  }
  return {
    faults,
    names: new Set([...namesOf('function'), ...aliases]),
    aliases: new Set(aliases),
    values: brought.filter(({ kind }) => kind === 'variable').map(({ text }) => text),
  };
}

function faultOf({ kind, name, text }: Brought): string | undefined {
  switch (kind) {
    case 'variable':
      if (isSpecialVariable(name)) return `the variable ${name} of its context changes what commands mean`;
      return PLAIN.test(text) ? undefined : `the variable ${name} of its context changes what is assigned to it`;
    case 'option':
      if (!CHANGING.test(name) || HARMLESS.test(text)) return undefined;
      return `the option ${name} of its context changes what commands mean`;
    case 'function':
      if (name === FOR_ANY_NAME) return `its context defines ${name}, which runs for names that are not found`;
      if (CALLED_ANYWAY.test(name)) return `its context defines ${name}, which runs with every command`;
      return isOnlyFunction(name, text) ? undefined : `the function ${name} of its context cannot be read`;
    case 'alias':
      if (!CALLED_ANYWAY.test(name) && !RESERVED.test(name)) return undefined;
      return `its context has an alias for ${name}, which changes what commands mean`;
    case 'attribute':
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** Whether a text defines this function and does nothing else. */
function isOnlyFunction(name: string, text: string): boolean {
  const script = parseScript(text, 0);
  if (typeof script === 'string' || (script.errors ?? []).length > 0) return false;
  const [first, ...rest] = script.commands;
  return rest.length === 0 && first?.command.type === 'Function' && first.command.name.value === name;
}
