import { type Assignment, type Command, forEachChild, type ParsedScript, type SyntaxNode, type Word } from 'unbash';
import { A_SCRIPT, type Invocation, isTooDeep, parseScript } from './parse.ts';
import { innerOf } from './programs.ts';
import { PRINTERS, RUNS_VARIABLE, runsInput, runsVariable, takesInput } from './run-values.ts';
import { isSpecialVariable } from './variables.ts';
import { argumentText, type Text } from './words.ts';
import { WRAPPERS } from './wrappers.ts';

/** A part of a command that no shell runs: of an argument, of a value, of a document. */
export interface Place {
  readonly start: number;
  readonly end: number;
  /** Whether it is the whole content of quotes of a shell. */
  readonly isQuoted: boolean;
  /** Whether its program may run a part of it. */
  readonly isRunner: boolean;
}

/** A part of a script that its syntax identifies. */
export interface Told {
  readonly pos: number;
  readonly end: number;
  /** Whether a variable may have it as its value. */
  readonly isValue: boolean;
  /** Whether it is a word that its program uses as a secret. */
  readonly isArgument?: boolean;
}

/** Searches each piece of a script, of this text. `isFunction`: whether the script defines a program itself. */
export type SyntaxLook = (node: SyntaxNode, text: string, isFunction: (name: string) => boolean) => readonly Told[];

/** The parts of a command that nothing runs. */
export interface Quiet {
  /** Its parts, in their order. */
  readonly places: readonly Place[];
  /** The names of variables and of programs that no other program runs. */
  readonly names: ReadonlySet<number>;
  /** The parts that `look` has found. */
  readonly told: readonly ToldPlace[];
}

interface ToldPlace extends Omit<Told, 'pos'> {
  readonly start: number;
}

/** Returns the parts of a command that nothing runs. */
export function quietPlaces(cmd: string, look: SyntaxLook = () => []): Quiet {
  const finder = new Finder(look);
  finder.script(cmd, undefined, 0);
  return { places: finder.places.sort((a, b) => a.start - b.start), names: finder.names, told: finder.told };
}

type Node = Word | Assignment;

/**
 * A script within a command: its text, and the position of each of its characters in the command; undefined: the same.
 */
interface Source {
  readonly text: string;
  readonly map: readonly number[] | undefined;
  readonly depth: number;
  /** Whether it is in a substitution: its output may become the value of a variable. */
  readonly isPrinted?: boolean;
}

class Finder {
  readonly #places: Place[] = [];
  /** Values, which may be run if the name of a program is only known when it runs. */
  readonly #values: Place[] = [];
  readonly #told: ToldPlace[] = [];
  readonly #functions = new Set<string>();
  #isOpen = false;
  /** A name of a program is made from the output of another. */
  #runsPrinted = false;
  #reads = false;
  /** A part of it is not a readable script. */
  #isBroken = false;
  readonly names = new Set<number>();
  readonly #look: SyntaxLook;

  constructor(look: SyntaxLook) {
    this.#look = look;
  }

  /** Any word may be run: `echo x | { read TOKEN; $TOKEN; }`, `$(echo x)`. */
  get #isAllOpen(): boolean {
    return this.#runsPrinted || (this.#isOpen && this.#reads);
  }

  get told(): ToldPlace[] {
    return this.#isBroken || this.#isAllOpen ? [] : this.#told.filter(({ isValue }) => !isValue || !this.#isOpen);
  }

  get places(): Place[] {
    if (this.#isAllOpen) return [];
    return this.#isOpen ? this.#places : [...this.#places, ...this.#values];
  }

  script(text: string, map: readonly number[] | undefined, depth: number): void {
    const script = parseScript(text, depth);
    if (typeof script === 'string') this.#isOpen = true;
    else {
      if (/\(\s*\)|\bfunction\s/.test(text)) this.#define(script);
      this.#isBroken ||= (script.errors?.length ?? 0) > 0;
      this.#walk(script, { text, map, depth });
    }
  }

  /** A function gets the arguments of a program as its own. */
  #define(node: SyntaxNode): void {
    if (node.type === 'Function') this.#functions.add(node.name.value);
    forEachChild(node, (child) => this.#define(child));
  }

  #walk(node: SyntaxNode, source: Source): void {
    // Text in escaped backticks has its own positions.
    if (node.type === 'Script' && (node as ParsedScript).source !== undefined) return;
    if (node.type === 'Command') this.#lookAt(node, source);
    for (const { pos, end, ...rest } of this.#look(node, source.text, (name) => this.#functions.has(name)))
      if (end > pos) this.#told.push({ ...rest, start: placeAt(source, pos), end: placeAt(source, end - 1) + 1 });
    const inner = node.type === 'CommandExpansion' ? { ...source, isPrinted: true } : source;
    forEachChild(node, (child) => this.#walk(child, inner));
  }

  #lookAt(node: Command, source: Source): void {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    this.#command(node, source);
    const bodies = node.redirects.map((one) => (one.type === 'HereDoc' ? one.body.text : ''));
    const text = source.text.slice(node.pos, node.end) + bodies.join('');
    this.#runsPrinted ||= this.#isOpen && /\$\(|`/.test(text);
    this.#isOpen ||= wasOpen;
    this.#reads ||= /^(?:read|mapfile|readarray)$/.test(node.name?.value ?? '');
  }

  #command(node: Command, from: Source): void {
    const isPrinted = from.isPrinted === true && PRINTERS.test(node.name?.value ?? '');
    const source = { ...from, isPrinted };
    for (const one of node.prefix) if (one.type === 'Assignment') this.#assignment(one, source, false);
    if (node.name === undefined) return;
    const words = [node.name, ...node.args];
    const texts = words.map((word) => argumentText(word));
    const nodes = new Map(texts.map((text, index) => [text, words[index]]));
    const [name, ...args] = texts;
    for (let at = node.name.pos; at < node.name.end; at++) this.names.add(placeAt(source, at));
    // A program does not begin with a dash.
    if (name?.text.startsWith('-') === true) this.#argument(node.name, source, false);
    if (this.#functions.has(name?.text ?? '')) return;
    this.#invocation({ name, args }, nodes, source);
    if (node.redirects.length === 0) return;
    const input = takesInput({ name, args });
    // `tee >(sh)`
    if (input === undefined || source.text.slice(node.pos, node.end).includes('>(')) {
      this.#isOpen ||= runsInput({ name, args }, node.redirects);
      return;
    }
    const isCode = input === 'code';
    for (const redirect of node.redirects) {
      if (redirect.type === 'HereString' && redirect.target !== undefined && !isCode)
        this.#argument(redirect.target, source, false);
      if (redirect.type !== 'HereDoc') continue;
      this.#isOpen ||= isCode && redirect.body.parts?.some(({ type }) => type !== 'Literal') === true;
      this.#add(redirect.body, source, false, isCode, this.#places);
    }
  }

  #invocation({ name, args }: Invocation, nodes: ReadonlyMap<Text, Node | undefined>, source: Source): void {
    if (name?.isKnown !== true) {
      this.#isOpen = true;
      return;
    }
    if (isTooDeep(source.depth)) return;
    const inner = innerOf({ name, args });
    const { invocations = [], scripts = [] } = inner;
    this.#isOpen ||= runsVariable(name.text, args, inner, nodes);
    for (const one of invocations) this.#invocation(one, nodes, { ...source, depth: source.depth + 1 });
    for (const { text } of scripts) this.#scriptIn(args, text, nodes, source);
    const program = name.text.replace(/^.*\//, '');
    if (program === 'xargs' || scripts.length > 0) return;
    const [wrapped] = invocations;
    const first = wrapped?.name === undefined ? -1 : args.indexOf(wrapped.name);
    if (WRAPPERS[program] !== undefined) {
      // The options of a wrapper, and `env TOKEN=x program`.
      if (inner.unreadable !== undefined || (wrapped !== undefined && first === -1)) return;
      for (const arg of args.slice(0, first === -1 ? args.length : first)) {
        const node = nodes.get(arg);
        if (node?.type === 'Word' && /^[A-Za-z_]\w*=/.test(arg.text)) this.#word(node, source, false, this.#values);
        else this.#argument(node, source, false);
      }
      return;
    }
    const taken = new Set(invocations.flatMap((one) => [one.name, ...one.args]));
    const script = inner === A_SCRIPT ? args.find(({ text }) => !text.startsWith('-')) : undefined;
    const runsWords = inner.runsWords === true || (inner.unreadable !== undefined && inner !== A_SCRIPT);
    for (const arg of args) {
      if (taken.has(arg) || arg === script || (inner.runs !== undefined && RUNS_VARIABLE.test(arg.text))) continue;
      if (!runsWords || /^-|=/.test(arg.text)) this.#argument(nodes.get(arg), source, inner.runs !== undefined);
      else if (/\s/.test(arg.text)) this.#scriptIn([arg], arg.text, nodes, source);
    }
  }

  /** A text in one of the words, or made from all words after one. */
  #scriptIn(args: readonly Text[], script: string, nodes: ReadonlyMap<Text, Node | undefined>, source: Source): void {
    for (const [index, arg] of args.entries()) {
      if (!script.startsWith(arg.text)) continue;
      const words = arg.text === script ? [arg] : args.slice(index);
      if (words.map(({ text }) => text).join(' ') !== script) continue;
      const map = words.flatMap((word, at) => {
        const places = mapOf(nodes.get(word), source);
        return at === 0 ? places : [(places[0] ?? 1) - 1, ...places];
      });
      if (map.length === script.length) this.script(script, map, source.depth + 1);
      return;
    }
  }

  #argument(node: Node | undefined, source: Source, isRunner: boolean): void {
    if (node?.type === 'Assignment') this.#assignment(node, source, isRunner);
    else if (node !== undefined)
      this.#word(node, source, isRunner, source.isPrinted === true ? this.#values : this.#places);
  }

  #assignment({ name, value, pos }: Assignment, source: Source, isRunner: boolean): void {
    if (isSpecialVariable(name)) {
      this.#isOpen ||= name !== 'PATH' && value.type === 'Word' && !argumentText(value).isKnown;
      return;
    }
    for (let at = 0; at < name.length; at++) this.names.add(placeAt(source, pos + at));
    for (const word of value.type === 'Word' ? [value] : value.elements)
      this.#word(word, source, isRunner, this.#values);
  }

  #word(word: Word, source: Source, isRunner: boolean, places: Place[]): void {
    let plain: { pos: number; end: number } | undefined;
    const flush = (): void => {
      if (plain !== undefined) this.#add(plain, source, false, isRunner, places);
      plain = undefined;
    };
    for (const part of word.parts ?? [{ type: 'Literal' as const, pos: word.pos, end: word.end }]) {
      const { type, pos, end } = part;
      // `$6$salt$hash`: nothing in it runs.
      if (/^(?:Literal|AnsiCQuoted|SimpleExpansion|Glob)$/.test(type)) plain = { pos: plain?.pos ?? pos, end };
      else flush();
      if (type === 'SingleQuoted') this.#add({ pos: pos + 1, end: end - 1 }, source, true, isRunner, places);
      if (type !== 'DoubleQuoted') continue;
      const isQuoted = part.parts.length === 1;
      for (const one of part.parts) if (one.type === 'Literal') this.#add(one, source, isQuoted, isRunner, places);
    }
    flush();
  }

  #add(
    { pos, end }: { readonly pos: number; readonly end: number },
    source: Source,
    isQuoted: boolean,
    isRunner: boolean,
    places: Place[],
  ): void {
    if (end <= pos) return;
    places.push({ start: placeAt(source, pos), end: placeAt(source, end - 1) + 1, isQuoted, isRunner });
  }
}

function placeAt({ map }: Source, at: number): number {
  return map === undefined ? at : (map[at] ?? -1);
}

/** Returns the position of each character of the value of a word; empty if that is unknown. */
function mapOf(node: Node | undefined, source: Source): number[] {
  if (node?.type !== 'Word') return [];
  if (node.parts === undefined) return literalMap(node, '', source);
  return node.parts.flatMap((part) => {
    if (part.type === 'Literal') return literalMap(part, '', source);
    if (part.type === 'SingleQuoted') return range(part.pos + 1, part.end - 1, source);
    if (part.type !== 'DoubleQuoted') return [];
    return part.parts.flatMap((one) => (one.type === 'Literal' ? literalMap(one, '"', source) : []));
  });
}

/** Returns the positions of characters without the backslashes that escape some of them. */
function literalMap(
  { pos, end }: { readonly pos: number; readonly end: number },
  quote: string,
  source: Source,
): number[] {
  const { text } = source;
  const places: number[] = [];
  for (let at = pos; at < end; at++) {
    const isEscape = text[at] === '\\' && at + 1 < end && (quote === '' || /["\\$`\n]/.test(text[at + 1] ?? ''));
    if (isEscape) at++;
    if (!(isEscape && text[at] === '\n')) places.push(placeAt(source, at));
  }
  return places;
}

function range(from: number, to: number, source: Source): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => placeAt(source, from + index));
}
