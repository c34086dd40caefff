import {
  type Assignment,
  type Command,
  type For,
  forEachChild,
  type ParsedScript,
  type SyntaxNode,
  type Word,
} from 'unbash';
import { argumentText, joinedOf, NO_VALUES, type Text, textOf, type Values, whole } from './words.ts';

/** Variables that change the meaning of the names of programs, or of the words of a script. */
const SPECIAL =
  /^(?:PATH|HOME|IFS|ENV|POSIXLY_CORRECT|BASH_(?:ENV|FUNC_.*|CMDS|ALIASES|LOADABLES_PATH)|SHELLOPTS|BASHOPTS|PS4|PROMPT_COMMAND|EXECIGNORE|GLOBIGNORE|CDPATH|LD_.*|GCONV_PATH)$/;

/** Whether another value of a variable changes what commands mean. */
export function isSpecialVariable(name: string): boolean {
  return SPECIAL.test(name);
}

/** Directories after all others change no name that was found before: `PATH=$PATH:/opt/x/bin`. */
function appends({ name, value }: Assignment): boolean {
  return name === 'PATH' && value.type === 'Word' && /^"?\$(?:PATH|\{PATH\}):/.test(value.text);
}

/** Builtins that set variables which their words name. */
const SETTERS =
  /^(?:read|mapfile|readarray|printf|getopts|declare|typeset|local|export|readonly|unset|let|wait|trap|alias|exec)$/;
/** They run text that may set any. */
const OPEN = /^(?:eval|source|\.|coproc|enable)$/;
/** Variables that the shell sets. */
const OF_SHELL =
  /^(?:_|S?RANDOM|SECONDS|LINENO|EPOCH\w+|BASH\w*|FUNCNAME|GROUPS|DIRSTACK|PIPESTATUS|HISTCMD|OPT\w+|REPLY|E?UID|PPID|HOSTNAME|COMP_\w+|COPROC|MAPFILE|(?:OLD)?PWD)$/;

/** Limit for all inserted values of variables, in characters: `b=$a$a; c=$b$b` doubles them. */
const MOST_CHARS = 16_384;

interface Scope {
  readonly from: number;
  readonly to: number;
  readonly value: Text;
}

/** What a script does to its variables. */
export interface Variables {
  /** Values that are certain: set once, before they are used, by a separate statement or a loop over words. */
  readonly values: Values;
  /** The special variable that it sets. */
  readonly special: string | undefined;
}

/** Looks for all variables that a script sets, by whatever means. */
export function variablesOf(script: ParsedScript): Variables {
  const settings = new Settings();
  settings.look(script);
  const { special, isOpen } = settings;
  return { special, values: isOpen ? NO_VALUES : valuesOf(script, settings) };
}

function valuesOf(script: ParsedScript, settings: Settings): Values {
  const scopes = new Map<string, Scope>();
  let left = MOST_CHARS;
  const values: Values = {
    of: (name, at) => {
      const scope = scopes.get(name);
      if (scope === undefined || at < scope.from || at >= scope.to || scope.value.text.length > left) return undefined;
      left -= scope.value.text.length;
      return scope.value;
    },
  };
  const set = (name: string, scope: Scope): void => {
    if (settings.isSetOnce(name) && !OF_SHELL.test(name)) scopes.set(name, scope);
  };
  for (const { command, background } of script.commands) {
    const first = command.type === 'AndOr' ? command.commands[0] : command;
    if (background === true || first?.type !== 'Command' || first.name !== undefined) continue;
    for (const one of first.prefix) {
      if (one.type !== 'Assignment' || one.value.type !== 'Word' || !isPlain(one.value)) continue;
      set(one.name, { from: first.end, to: script.end, value: whole(textOf(one.value, values)) });
    }
  }
  for (const { name, wordlist, body } of settings.loops) {
    const value = wordlist && joinedOf(wordlist.map((word) => textOf(word, values)));
    if (value !== undefined) set(name.value, { from: body.pos, to: body.end, value });
  }
  return values;
}

/** Except for what an assignment does not expand: names of files, braces, homes. */
function isPlain({ parts, text }: Word): boolean {
  if (text.startsWith('~')) return false;
  return parts === undefined || parts.every(({ type }) => !/^(?:Glob|BraceExpansion|ExtendedGlob)$/.test(type));
}

/** What a script sets. */
class Settings {
  readonly #times = new Map<string, number>();
  /** Words of builtins that may name a variable, also after the letters of options. */
  #words = '';
  readonly loops: For[] = [];
  special: string | undefined;
  /** Any variable may be set. */
  isOpen = false;

  isSetOnce(name: string): boolean {
    return this.#times.get(name) === 1 && !this.#words.includes(name);
  }

  look(node: SyntaxNode): void {
    if (node.type === 'For') this.loops.push(node);
    if (node.type === 'Command') this.#lookAtCommand(node);
    for (const name of setBy(node)) this.#set(name);
    forEachChild(node, (child) => this.look(child));
  }

  #set(name: string): void {
    this.#times.set(name, (this.#times.get(name) ?? 0) + 1);
    if (isSpecialVariable(name)) this.special ??= name;
  }

  #lookAtCommand(node: Command): void {
    const name = node.name && textOf(node.name).text;
    if (name === undefined) return;
    const words = node.args.map((word) => argumentText(word));
    const isAsked = /^-p?[vV]/.test(words[0]?.text ?? '');
    const isBehind = /^(?:builtin|command)$/.test(name) && !isAsked;
    if (isBehind) for (const { text } of words) this.#hear(text);
    if (OPEN.test(name) || isBehind) this.isOpen = true;
    if (!SETTERS.test(name) || (name === 'printf' && mayName(words[0]) === false)) return;
    this.isOpen ||= words.some(({ text, isKnown }) => !isKnown && !/^\w+=/.test(text));
    this.isOpen ||= name !== 'read' && words.some(({ text }) => /^-[a-zA-Z]*n/.test(text));
    for (const [index, { text }] of words.entries()) {
      const arg = node.args[index];
      if (arg?.type === 'Assignment' && appends(arg)) continue;
      this.#hear(name === 'trap' ? text : text.replace(/=.*$/s, ''));
    }
  }

  #hear(text: string): void {
    this.#words += `${text}\n`;
    // `read -aPATH`
    const name = /(?:^|[^\w$]|-[a-zA-Z]+?)(PATH|HOME|IFS|ENV|BASH_\w+|LD_\w+|PS4)(?!\w)/.exec(text)?.[1];
    if (name !== undefined) this.special ??= name;
  }
}

/** Whether printf may take its format as the option that names a variable. */
function mayName(format: Text | undefined): boolean {
  return format !== undefined && (format.isKnown ? format.text.startsWith('-v') : /^(?:-|$)/.test(format.text));
}

/** Returns the variables that a piece of a script sets. */
function setBy(node: SyntaxNode): readonly string[] {
  switch (node.type) {
    case 'Command':
      // `IFS= read x` only applies to read.
      return node.prefix.flatMap((one) =>
        one.type !== 'Assignment' || isForRead(one.name, node) || appends(one) ? [] : [one.name],
      );
    case 'Assignment':
      return node.index === undefined && node.append !== true ? [] : [node.name, node.name];
    case 'For':
    case 'Select':
      return [node.name.value];
    case 'FileDescriptorVariable':
      return [node.name];
    case 'Coproc':
      return ['COPROC', node.name?.value ?? ''];
    case 'ParameterExpansion':
      return node.operation?.type === 'Default' && node.operation.operator.endsWith('=')
        ? [node.parameter, node.parameter]
        : [];
    case 'ArithmeticWord':
      return namesIn(node.value);
    case 'ArithmeticCommand':
      return node.expression === undefined ? namesIn(node.body) : [];
    case 'ArithmeticExpansion':
      return node.expression === undefined ? namesIn(node.text) : [];
    default:
      return [];
  }
}

function isForRead(name: string, command: Command): boolean {
  return name === 'IFS' && command.name?.value === 'read';
}

/** Returns the names in an arithmetic expression, which may set all of them. */
function namesIn(expression: string): string[] {
  return (expression.match(/[A-Za-z_]\w*/g) ?? []).flatMap((name) => [name, name]);
}
