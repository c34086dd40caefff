import {
  type Command,
  forEachChild,
  type ParsedScript,
  parse,
  type Redirected as RedirectedNode,
  type Redirection,
  type SyntaxNode,
} from 'unbash';
import { wordsOf } from './braces.ts';
import { otherwiseRead, unspoken } from './dialect.ts';
import { Evaluation } from './evaluation.ts';
import { functionsOf } from './functions.ts';
import type { Fed, Inner } from './look.ts';
import { innerOf } from './programs.ts';
import { inputOf, readsOf, writesOf } from './redirections.ts';
import type { Redirected } from './rule.ts';
import { valuesOf } from './values.ts';
import { specialVariableOf } from './variables.ts';
import { ANYTHING, NO_VALUES, type Text, textOf, type Values } from './words.ts';

/** The parser takes time with the square of some texts: 16 KiB of the worst took 50 ms. */
export const MAX_CHARS = 16_384;

/** Shells within shells. */
const MAX_DEPTH = 8;

/** Files that redirections of a command may write to: each is compared with each rule. */
const MAX_FILES = 100;

const REPEATS: ReadonlySet<string> = new Set(['For', 'ArithmeticFor', 'While', 'Select', 'Function']);

/** A simple command among those that would run. */
export interface Part extends Redirected {
  readonly source: string;
  readonly unreadable: string | undefined;
  /** It calls a function of the same script, whose commands are parts of their own. */
  readonly isCall: boolean;
  /** It runs other parts: its words are theirs. */
  readonly isWrapper: boolean;
  /** It runs in another directory than its shell. */
  readonly isElsewhere: boolean;
}

export interface Found {
  readonly parts: readonly Part[];
  readonly faults: readonly string[];
  /** Parts may run more than once, or in another order. */
  readonly repeats: boolean;
}

/** Where a script or a command stands. */
interface Context {
  readonly depth: number;
  readonly shell: string;
  readonly around: readonly Text[];
  readonly isElsewhere: boolean;
  readonly values: Values;
  readonly functions: ReadonlyMap<string, number>;
}

/** Every simple command of a script, also those in substitutions, in functions, and behind other commands. */
export function collect(script: string, shell: string, values: readonly string[]): Found {
  return new Collector().read(script, shell, values);
}

class Collector {
  readonly #parts: Part[] = [];
  readonly #faults = new Set<string>();
  readonly #evaluation = new Evaluation();
  /** `IFS= read x`: it holds for read alone. */
  readonly #ofRead = new WeakSet<SyntaxNode>();
  #repeats = false;
  readonly #functions = new Set<string>();
  /** What `exec` gives all commands after it. */
  readonly #lasting: Text[] = [];

  read(script: string, shell: string, values: readonly string[]): Found {
    for (const value of values) this.#evaluation.hear(value);
    this.#script(script, { depth: 0, shell, around: [], isElsewhere: false, values: NO_VALUES, functions: new Map() });
    // A function writes where its caller says.
    const calls = this.#parts.filter(({ name }) => this.#functions.has(name?.text ?? ''));
    this.#lasting.push(...calls.flatMap(({ writes }) => writes));
    const files = this.#lasting.length + this.#parts.reduce((sum, { writes }) => sum + writes.length, 0);
    if (files > MAX_FILES) return { parts: [], faults: [`it writes to more than ${MAX_FILES} files`], repeats: true };
    if (this.#evaluation.mayRunText) this.#faults.add('a text in it may be run as code of the shell');
    const unsets = this.#parts.some(({ name }) => name?.text === 'unset');
    const parts = this.#parts.map((part) => ({
      ...part,
      isCall: part.isCall && !unsets,
      around: [...part.around, ...this.#lasting],
    }));
    const repeats = this.#repeats || parts.some(({ name }) => name?.text === 'trap');
    return { parts, faults: [...this.#faults], repeats };
  }

  #script(text: string, context: Context): void {
    const fault = unspoken(context.shell) ?? tooMuch(text, context.depth);
    if (fault !== undefined) this.#faults.add(fault);
    if (tooMuch(text, context.depth) !== undefined) return;
    try {
      const script = parse(text);
      this.#walk(script, text, { ...context, values: valuesOf(script), functions: functionsOf(script) });
    } catch (error) {
      this.#faults.add(`it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #walk(node: SyntaxNode, source: string, context: Context): void {
    if (node.type === 'Script') {
      const { errors, source: own } = node as ParsedScript;
      for (const { message } of errors ?? []) this.#faults.add(`it cannot be parsed: ${message}`);
      // Places in a text of its own are not those of the whole.
      const inner =
        own === undefined || own === source ? context : { ...context, values: NO_VALUES, functions: new Map() };
      forEachChild(node, (child) => this.#walk(child, own ?? source, inner));
      return;
    }
    this.#look(node, source, context);
    if (node.type === 'Redirected') this.#redirected(node, source, context);
    else forEachChild(node, (child) => this.#walk(child, source, context));
  }

  #look(node: SyntaxNode, source: string, context: Context): void {
    this.#evaluation.see(node);
    const isForRead = node.type === 'Assignment' && this.#ofRead.has(node);
    const fault = otherwiseRead(context.shell, node, source) ?? (isForRead ? undefined : faultOf(node));
    if (fault !== undefined) this.#faults.add(fault);
    if (REPEATS.has(node.type)) this.#repeats = true;
    if (node.type === 'Function') this.#functions.add(textOf(node.name).text);
    if (node.type === 'Command') this.#command(node, source.slice(node.pos, node.end), context);
  }

  /** A compound command: what its redirections say holds for all in it. */
  #redirected(node: RedirectedNode, source: string, context: Context): void {
    const { around } = context;
    const parts = { name: undefined, args: [], reads: [], writes: writesOf(node.redirects, context.values), around };
    if (parts.writes.length > 0) {
      const { isElsewhere } = context;
      this.#parts.push({
        ...parts,
        source: source.slice(node.pos, node.end),
        unreadable: undefined,
        isCall: false,
        isWrapper: false,
        isElsewhere,
      });
    }
    this.#walk(node.command, source, { ...context, around: [...around, ...parts.writes] });
    for (const redirect of node.redirects) this.#walk(redirect, source, context);
  }

  #command(node: Command, source: string, context: Context): void {
    const { values } = context;
    // With braces, a word may be several or none: the first of all is the name.
    const named = node.name === undefined ? [] : [node.name];
    const words = [...named, ...node.args].flatMap((word) => wordsOf(word, values));
    const [name, ...rest] = node.name === undefined ? [] : words;
    const args = node.name === undefined ? words : rest;
    if (name?.isKnown === true && node.name !== undefined && !textOf(node.name, values).isKnown)
      this.#faults.add('the name of the command is written with braces');
    if (name?.isKnown === true && name.text === 'read')
      for (const one of node.prefix) if (one.type === 'Assignment' && one.name === 'IFS') this.#ofRead.add(one);
    const redirects: readonly Redirection[] = node.redirects;
    const writes = writesOf(redirects, values);
    const fed: Fed = {
      name: name === undefined || name.isKnown ? name : ANYTHING,
      args,
      input: inputOf(redirects, values),
    };
    const from = context.functions.get(name?.isKnown === true ? name.text : '');
    const isCall = from !== undefined && from <= node.pos;
    this.#add(fed, { source, reads: readsOf(redirects, values), writes, isCall }, context);
  }

  #add(fed: Fed, files: Pick<Part, 'source' | 'reads' | 'writes' | 'isCall'>, context: Context): void {
    const { invocations = [], scripts = [], unreadable, isElsewhere = false }: Inner = innerOf(fed);
    const { name, args } = fed;
    if (name?.isKnown === true && name.text === 'exec') this.#lasting.push(...files.writes, ...context.around);
    const isWrapper = invocations.length > 0;
    this.#parts.push({
      ...files,
      name,
      args,
      unreadable,
      isWrapper,
      around: context.around,
      isElsewhere: context.isElsewhere,
    });
    if (context.depth > MAX_DEPTH) {
      this.#faults.add('it has commands within commands within commands');
      return;
    }
    const inner: Context = {
      ...context,
      depth: context.depth + 1,
      around: [...context.around, ...files.writes],
      isElsewhere: context.isElsewhere || isElsewhere,
    };
    for (const each of invocations)
      this.#add({ ...each, input: fed.input }, { ...files, writes: [], isCall: false }, inner);
    for (const { text, shell = context.shell } of scripts) this.#script(text, { ...inner, shell });
  }
}

function tooMuch(text: string, depth: number): string | undefined {
  if (text.length > MAX_CHARS) return `it has more than ${MAX_CHARS} characters`;
  return depth > MAX_DEPTH ? 'it has shells within shells within shells' : undefined;
}

/** Programs and builtins whose effect is taken for granted. */
const TRUSTED = /^(?:date|hostname|whoami|id|uname|mktemp|cd)$/;

/** Why a piece of a script cannot be told. */
function faultOf(node: SyntaxNode): string | undefined {
  if (node.type === 'Function' && TRUSTED.test(node.name.value)) return 'a function has the name of a program';
  const special = specialVariableOf(node);
  if (special !== undefined) return `${special} changes what commands mean`;
  if (node.type === 'Transform' && node.operand.text.includes('P')) return 'it runs the value of a variable';
  // The parser and bash do not agree on these.
  if (node.type === 'AnsiCQuoted' && node.text.includes('\\x{')) return 'its quotes cannot be told';
  if (node.type === 'HereDocBody' && node.parts?.some(hasQuotedCode)) return 'its quotes cannot be told';
  return undefined;
}

/** In the body of a here-document, quotes within an expansion are no quotes. */
function hasQuotedCode({ type, text }: { readonly type: string; readonly text: string }): boolean {
  return type !== 'Literal' && type !== 'CommandExpansion' && text.includes("'") && /[$`]/.test(text.slice(1));
}
