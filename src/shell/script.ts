import { type Command, forEachChild, type ParsedScript, type SyntaxNode, type WordPart } from 'unbash';
import { Evaluation, otherwiseRead, unspoken } from './dialect.ts';
import { type Inner, type Invocation, isTooDeep, parseScript } from './parse.ts';
import { innerOf } from './programs.ts';
import { variablesOf } from './variables.ts';
import {
  ANYTHING,
  argumentText,
  inputOf,
  NO_VALUES,
  readsOf,
  type Text,
  textOf,
  textsOf,
  type Values,
  wordsOf,
  writesOf,
} from './words.ts';
import { foundBy } from './wrappers.ts';

/** Each is compared with each rule. */
const MOST_COMMANDS = 5000;
const MOST_FILES = 100;
/** A simple command that would run, including commands run by others. */
export interface SimpleCommand extends Invocation {
  /** Files that its redirections read from and write to. */
  readonly reads: readonly Text[];
  readonly writes: readonly Text[];
  /** Files that redirections around it write to. */
  readonly around: readonly Text[];
  readonly inner: Inner;
  readonly source: string;
  /** The text before it in its pipeline, and in its here-documents: it may read that. */
  readonly fed: string;
  /** Whether it calls a function of the same script, whose commands are listed too. */
  readonly isCall: boolean;
  /** Whether it runs in another directory than its shell. */
  readonly isElsewhere: boolean;
}

export interface Found {
  readonly commands: readonly SimpleCommand[];
  /** Why parts of it cannot be read, a sentence each. */
  readonly faults: readonly string[];
  /** Whether commands may run more than once, or in another order. */
  readonly repeats: boolean;
  /** Names of its functions and coprocesses: if one is already an alias, bash replaces it by that. */
  readonly defined: ReadonlySet<string>;
}

interface Context {
  readonly depth: number;
  readonly shell: string;
  readonly around: readonly Text[];
  readonly isElsewhere: boolean;
  readonly values: Values;
  readonly functions: ReadonlyMap<string, number>;
  readonly fed: string;
  readonly found?: Text | undefined;
}

type Files = Pick<SimpleCommand, 'source' | 'reads' | 'writes' | 'isCall' | 'fed'>;

/**
 * Returns every simple command of a script, which has `stdin` to read. `given`: texts that may become values of its
 * variables.
 */
export function readScript(script: string, shell: string, given: readonly string[], stdin = ''): Found {
  return new Reader().read(script, shell, given, stdin);
}

const REPEATS: ReadonlySet<string> = new Set(['For', 'ArithmeticFor', 'While', 'Select', 'Function']);
/** Programs whose output is known from their words. */
const TRUSTED = /^(?:date|hostname|whoami|id|uname|mktemp|nproc|cd|find)$/;

class Reader {
  readonly #commands: SimpleCommand[] = [];
  readonly #faults = new Set<string>();
  readonly #evaluation = new Evaluation();
  #repeats = false;
  readonly #functions = new Set<string>();
  /** The redirections of `exec`, for all commands after it. */
  readonly #lasting: Text[] = [];
  #files = 0;

  read(script: string, shell: string, given: readonly string[], stdin: string): Found {
    for (const text of [...given, stdin]) this.#evaluation.hear(text);
    const around: readonly Text[] = [];
    this.#script(script, {
      depth: 0,
      shell,
      around,
      isElsewhere: false,
      values: NO_VALUES,
      functions: new Map(),
      fed: stdin,
    });
    // A function writes where its caller redirects it.
    const calls = this.#commands.filter(({ name }) => this.#functions.has(name?.text ?? ''));
    this.#lasting.push(...calls.flatMap(({ writes }) => writes));
    this.#files += this.#lasting.length;
    if (this.#files > MOST_FILES) this.#faults.add(`it writes to more than ${MOST_FILES} files`);
    if (this.#commands.length > MOST_COMMANDS) this.#faults.add(`it has more than ${MOST_COMMANDS} commands`);
    if (this.#files > MOST_FILES || this.#commands.length > MOST_COMMANDS)
      return { commands: [], faults: [...this.#faults], repeats: true, defined: this.#functions };
    if (this.#evaluation.mayRunText) this.#faults.add('a text in it may be run as code of the shell');
    const has = (name: string): boolean => this.#commands.some((one) => one.name?.text === name);
    const unsets = has('unset');
    const commands = this.#commands.map((one) => ({
      ...one,
      isCall: one.isCall && !unsets,
      around: this.#lasting.length === 0 ? one.around : [...one.around, ...this.#lasting],
    }));
    return { commands, faults: [...this.#faults], repeats: this.#repeats || has('trap'), defined: this.#functions };
  }

  #script(text: string, context: Context): void {
    const fault = unspoken(context.shell);
    if (fault !== undefined) this.#faults.add(fault);
    const script = parseScript(text, context.depth);
    if (typeof script === 'string') {
      this.#faults.add(script);
      return;
    }
    try {
      const { values, special } = variablesOf(script);
      if (special !== undefined) this.#faults.add(`${special} changes what commands mean`);
      this.#walk(script, text, { ...context, values, functions: functionsOf(script) });
    } catch (error) {
      // The parser reads substitutions on demand.
      this.#faults.add(`it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #walk(node: SyntaxNode, source: string, context: Context): void {
    this.#look(node, source, context);
    switch (node.type) {
      case 'Script': {
        const { errors, source: own } = node as ParsedScript;
        for (const { message } of errors ?? []) this.#faults.add(`it cannot be parsed: ${message}`);
        // Positions in a text of its own are not those of the whole.
        const isOwn = own !== undefined && own !== source;
        const inner = isOwn ? { ...context, values: NO_VALUES, functions: new Map<string, number>() } : context;
        forEachChild(node, (child) => this.#walk(child, own ?? source, inner));
        return;
      }
      case 'Redirected': {
        // The redirections of a compound command apply to all in it.
        const writes = writesOf(node.redirects, context.values);
        const files = { ...this.#filesOf(node, source, context), writes };
        if (writes.length > 0) this.#add({ name: undefined, args: [] }, files, context);
        const fed = context.fed + textsOf(node.redirects, source);
        this.#walk(node.command, source, { ...context, fed, around: [...context.around, ...writes] });
        for (const redirect of node.redirects) this.#walk(redirect, source, context);
        return;
      }
      case 'Pipeline':
        for (const [index, one] of node.commands.entries()) {
          const fed = context.fed + source.slice(node.pos, one.pos);
          const found = one.type === 'Command' ? foundFor(node.commands[index - 1]) : undefined;
          this.#walk(one, source, index === 0 ? context : { ...context, fed, found });
        }
        return;
      case 'Command':
        this.#command(node, source, context);
        break;
      default:
    }
    const inner = context.found === undefined ? context : { ...context, found: undefined };
    forEachChild(node, (child) => this.#walk(child, source, inner));
  }

  #look(node: SyntaxNode, source: string, { shell }: Context): void {
    this.#evaluation.see(node);
    const fault = otherwiseRead(shell, node, source) ?? faultOf(node);
    if (fault !== undefined) this.#faults.add(fault);
    if (REPEATS.has(node.type)) this.#repeats = true;
    if ((node.type === 'Function' || node.type === 'Coproc') && node.name !== undefined)
      this.#functions.add(textOf(node.name).text);
  }

  #filesOf(node: SyntaxNode, source: string, { fed }: Context): Files {
    return { source: source.slice(node.pos, node.end), reads: [], writes: [], isCall: false, fed };
  }

  #command(node: Command, source: string, context: Context): void {
    const { values, functions } = context;
    // With braces, a word may be several or none: the first of all is the name.
    const words = [...(node.name === undefined ? [] : [node.name]), ...node.args].flatMap((word) =>
      wordsOf(word, values),
    );
    const [name, ...rest] = node.name === undefined ? [] : words;
    const { redirects } = node;
    if (name?.isKnown === true && node.name !== undefined && !textOf(node.name, values).isKnown)
      this.#faults.add('the name of the command is written with braces');
    const from = functions.get(name?.isKnown === true ? name.text : '');
    const files = {
      source: source.slice(node.pos, node.end),
      reads: readsOf(redirects, values),
      writes: writesOf(redirects, values),
      isCall: from !== undefined && from <= node.pos,
      fed: context.fed + textsOf(redirects, source),
    };
    const args = node.name === undefined ? words : rest;
    const named = name === undefined || name.isKnown ? name : ANYTHING;
    const found = redirects.length === 0 ? context.found : undefined;
    this.#add({ name: named, args, input: inputOf(redirects, values), found }, files, context);
  }

  #add(invocation: Invocation, files: Files, context: Context): void {
    const inner = innerOf({ ...invocation, isFed: files.fed !== '' || files.reads.length > 0 });
    const { invocations = [], scripts = [], isElsewhere = false } = inner;
    const { name } = invocation;
    if (name?.isKnown === true && name.text === 'exec') this.#lasting.push(...files.writes, ...context.around);
    this.#files += files.writes.length;
    this.#commands.push({ ...files, ...invocation, inner, around: context.around, isElsewhere: context.isElsewhere });
    if (isTooDeep(context.depth)) this.#faults.add('it has commands within commands within commands');
    if (isTooDeep(context.depth) || this.#commands.length > MOST_COMMANDS || this.#files > MOST_FILES) return;
    const within: Context = {
      ...context,
      depth: context.depth + 1,
      around: [...context.around, ...files.writes],
      isElsewhere: context.isElsewhere || isElsewhere,
      fed: files.fed,
    };
    for (const one of invocations) this.#add(one, { ...files, writes: [], isCall: false }, within);
    for (const { text, shell = context.shell } of scripts) this.#script(text, { ...within, shell });
  }
}

/** Returns the functions that a script certainly defines, and from where on: a call of one runs its commands. */
function functionsOf({ commands }: ParsedScript): ReadonlyMap<string, number> {
  const defined = new Map<string, number>();
  for (const { command, background } of commands) {
    if (command.type !== 'Function' || background === true || command.name.parts !== undefined) continue;
    if (!defined.has(command.name.value)) defined.set(command.name.value, command.end);
  }
  return defined;
}

/** What a command reads from `find … -print0`. */
function foundFor(before: SyntaxNode | undefined): Text | undefined {
  if (before?.type !== 'Command' || before.name?.value !== 'find') return undefined;
  const args = before.args.map((arg) => argumentText(arg));
  const prints = args.filter(({ text, isKnown }) => (isKnown ? /^-(?:f?print|f?ls|exec|ok)/.test(text) : text === ''));
  return prints.length === 1 && prints[0]?.text === '-print0' ? foundBy(args) : undefined;
}

/** Returns why a piece of a script is unknown. */
function faultOf(node: SyntaxNode): string | undefined {
  if (node.type === 'Function' && TRUSTED.test(node.name.value)) return 'a function has the name of a program';
  if (node.type === 'Transform' && node.operand.text.includes('P')) return 'it runs the value of a variable';
  // The parser and bash do not agree on these.
  if (node.type === 'AnsiCQuoted' && node.text.includes('\\x{')) return 'its quotes cannot be told';
  if (node.type === 'HereDocBody' && node.parts?.some(hasQuotedCode)) return 'its quotes cannot be told';
  return undefined;
}

/** In the body of a here-document, quotes within an expansion are not quotes. */
function hasQuotedCode({ type, text }: WordPart): boolean {
  return type !== 'Literal' && type !== 'CommandExpansion' && text.includes("'") && /[$`]/.test(text.slice(1));
}
