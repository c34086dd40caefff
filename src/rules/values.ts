import { type Command, type For, forEachChild, type ParsedScript, type SyntaxNode, type Word } from 'unbash';
import { arithmeticNamesOf, namesIn } from './variables.ts';
import { argumentText, joinedOf, type Text, textOf, type Values, whole } from './words.ts';

/** What values are put in for, in all: `b=$a$a; c=$b$b` doubles them. */
const MOST_CHARS = 16_384;

interface Scope {
  readonly from: number;
  readonly to: number;
  readonly value: Text;
}

/**
 * The values of variables that a script sets once, for certain, and before they are used: by a statement of its own
 * (`x=/tmp/a; rm "$x"`), or in a loop over words (`for f in /tmp/*.log`).
 */
export function valuesOf(script: ParsedScript): Values {
  const settings = new Settings();
  settings.look(script);
  if (settings.isOpen) return { of: () => undefined };
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
    if (settings.timesOf(name) === 1 && !OF_SHELL.test(name)) scopes.set(name, scope);
  };
  for (const { command, background } of script.commands) {
    const first = command.type === 'AndOr' ? command.commands[0] : command;
    if (background === true || first?.type !== 'Command' || first.name !== undefined) continue;
    for (const one of first.prefix) {
      if (one.type !== 'Assignment' || one.value.type !== 'Word' || !isPlain(one.value)) continue;
      set(one.name, { from: first.end, to: script.end, value: whole(textOf(one.value, values)) });
    }
  }
  for (const loop of settings.loops) {
    const value = loop.wordlist && joinedOf(loop.wordlist.map((word) => textOf(word, values)));
    if (value !== undefined) set(loop.name.value, { from: loop.body.pos, to: loop.body.end, value });
  }
  return values;
}

/** Of what an assignment does not expand: names of files, braces, homes. */
function isPlain({ parts, text }: Word): boolean {
  if (text.startsWith('~')) return false;
  return parts === undefined || parts.every(({ type }) => !/^(?:Glob|BraceExpansion|ExtendedGlob)$/.test(type));
}

/** Builtins that set variables that their words name, or that run text which may. */
const SETS =
  /^(?:read|mapfile|readarray|printf|getopts|declare|typeset|local|export|readonly|unset|let|wait|trap|alias)$/;
const SETS_ANY = /^(?:eval|source|\.|coproc|enable)$/;

/** Variables that the shell itself sets. */
const OF_SHELL =
  /^(?:_|S?RANDOM|SECONDS|LINENO|EPOCH\w+|BASH\w*|FUNCNAME|GROUPS|DIRSTACK|PIPESTATUS|HISTCMD|OPT\w+|REPLY|E?UID|PPID|HOSTNAME|COMP_\w+|COPROC|MAPFILE|(?:OLD)?PWD)$/;

/** How often each variable is set in a script, by whatever means. */
class Settings {
  readonly #times = new Map<string, number>();
  readonly loops: For[] = [];
  /** Any variable may be set. */
  isOpen = false;

  timesOf(name: string): number {
    return this.#times.get(name) ?? 0;
  }

  look(node: SyntaxNode): void {
    if (node.type === 'For') this.loops.push(node);
    if (node.type === 'Command') this.#lookAtCommand(node);
    for (const name of namesOf(node)) this.#times.set(name, this.timesOf(name) + 1);
    forEachChild(node, (child) => this.look(child));
  }

  #lookAtCommand(node: Command): void {
    const name = node.name && textOf(node.name).text;
    if (name === undefined) return;
    const isAsked = /^-p?[vV]/.test([...node.args].map((word) => argumentText(word))[0]?.text ?? '');
    if (SETS_ANY.test(name) || (/^(?:builtin|command)$/.test(name) && !isAsked)) this.isOpen = true;
    if (!SETS.test(name)) return;
    const words = [...node.args].map((word) => argumentText(word));
    if (name === 'printf' && words[0]?.text.startsWith('-v') !== true) return;
    if (words.some(({ text, isKnown }) => !isKnown && !/^\w+=/.test(text) && name !== 'trap')) this.isOpen = true;
    if (words.some(({ text }) => /^-[a-zA-Z]*n/.test(text)) && name !== 'read') this.isOpen = true;
    // What stands in a text that is run later sets it at any time.
    for (const one of words.flatMap(({ text }) => (name === 'trap' ? assignedIn(text) : namesOfWord(text))))
      this.#times.set(one, this.timesOf(one) + 2);
  }
}

/** Names in a word; in an option, any end of it may be one: `-rax`. */
function namesOfWord(word: string): string[] {
  if (!/^-\w/.test(word)) return namesIn(word);
  return Array.from({ length: Math.min(word.length, LONGEST_NAME) }, (_, at) => word.slice(word.length - at - 1));
}

const LONGEST_NAME = 64;

function assignedIn(script: string): string[] {
  const sets =
    /=|\(\(|\b(?:read|for|select|printf|mapfile|readarray|unset|getopts|declare|typeset|local|export|readonly|let|wait|eval|source)\b|[`.{]/;
  return sets.test(script) ? namesIn(script) : [];
}

function namesOf(node: SyntaxNode): readonly string[] {
  switch (node.type) {
    case 'Assignment':
      return node.index === undefined && node.append !== true ? [node.name] : [node.name, node.name];
    case 'For':
    case 'Select':
      return [node.name.value];
    case 'FileDescriptorVariable':
      return [node.name];
    case 'Coproc':
      return ['COPROC', node.name?.value ?? ''];
    case 'ParameterExpansion':
      return node.operation?.type === 'Default' ? [node.parameter] : [];
    default:
      return arithmeticNamesOf(node);
  }
}
