import type { Command, ParameterExpansionPart, SyntaxNode, Word } from 'unbash';
import { argumentText, textOf } from './words.ts';

/** Shells whose language the parser reads, or nearly so. */
const SPOKEN = /^(?:bash|sh|dash|ash)$/;

/** Returns why no script of a shell can be read; undefined if it can. */
export function unspoken(shell: string): string | undefined {
  return SPOKEN.test(shell) ? undefined : `${shell} is a shell that rules cannot read`;
}

/** Syntax that only bash knows, or reads in another way than other shells. */
const ONLY_BASH: ReadonlySet<string> = new Set([
  ...['ArithmeticCommand', 'ArithmeticFor', 'TestCommand', 'ProcessSubstitution', 'AnsiCQuoted', 'LocaleString'],
  ...['BraceExpansion', 'ExtendedGlob', 'HereString', 'Coproc', 'Select', 'ArrayValue', 'FileDescriptorVariable'],
  ...['Replace', 'Slice', 'CaseModification', 'Transform', 'Names', 'Unknown'],
]);

/** Returns why a shell may read something in another way than the parser; undefined if it does not. */
export function otherwiseRead(shell: string, node: SyntaxNode, source: string): string | undefined {
  if (shell === 'bash' || !isOnlyOfBash(node, source)) return undefined;
  return `${shell} reads it otherwise than bash would`;
}

function isOnlyOfBash(node: SyntaxNode, source: string): boolean {
  if (ONLY_BASH.has(node.type)) return true;
  switch (node.type) {
    case 'Command':
      // A value assigned there splits like any word.
      return node.args.some(
        (arg) => arg.type === 'Assignment' && arg.value.type === 'Word' && textOf(arg.value).maySplit,
      );
    case 'Redirect':
      return node.operator.startsWith('&');
    case 'Pipeline':
      return node.operators.includes('|&');
    case 'CaseItem':
      return node.terminator !== undefined && node.terminator !== ';;';
    case 'Assignment':
      return node.append === true || node.index !== undefined;
    case 'Function':
      return source.startsWith('function', node.pos);
    case 'HereDocDelimiter':
      return node.text.includes('$');
    case 'ArithmeticExpansion':
      return node.text.startsWith('$[');
    case 'ParameterExpansion':
      // Quotes within braces within quotes differ between shells.
      return node.prefix === '!' || node.index !== undefined || /["'\\]/.test(node.text);
    default:
      return false;
  }
}

/** A substitution, also in the escapes of printf and echo. */
const CODE = /\$\(|`|\$\{[\s|]|\\(?:x24|0{0,2}44|u0{0,6}24|x60|0?140|u0{0,6}60)/i;

/**
 * Arithmetic and the index of an array run the substitutions in the values of variables: `x='a[$(rm x)]'; ((x))`. Looks
 * for both in one command: what evaluates values, and text that is code when it is evaluated.
 */
export class Evaluation {
  #evaluates = false;
  #holdsCode = false;
  #endsInDollar = false;
  #holdsBracket = false;

  hear(text: string): void {
    this.#holdsCode ||= CODE.test(text);
    this.#endsInDollar ||= /\$["'\\]*$/.test(text);
    this.#holdsBracket ||= text.includes('(');
  }

  see(node: SyntaxNode): void {
    this.#evaluates ||= evaluates(node);
    if (node.type === 'Word' && node.parts === undefined) this.hear(node.value);
    if (node.type === 'Literal' || node.type === 'SingleQuoted' || node.type === 'AnsiCQuoted') this.hear(node.value);
    if (node.type === 'HereDocBody' && node.parts === undefined) this.hear(node.text);
  }

  get mayRunText(): boolean {
    return this.#evaluates && (this.#holdsCode || (this.#endsInDollar && this.#holdsBracket));
  }
}

const NUMBER = /^(?:\d*|[@*])$/;
/** Variables that are numbers from the start. */
const INTEGERS = /^(?:RANDOM|SRANDOM|SECONDS|OPTIND|LINENO|HISTCMD|BASHPID|EPOCHSECONDS)$/;

function evaluates(node: SyntaxNode): boolean {
  switch (node.type) {
    case 'ArithmeticWord':
      return !NUMBER.test(node.value) || node.parts?.some(({ type }) => type !== 'Literal') === true;
    case 'ArithmeticCommand':
    case 'ArithmeticExpansion':
      return node.expression === undefined;
    case 'ParameterExpansion':
      return evaluatesParameter(node);
    case 'Assignment':
      return (node.index !== undefined && !isNumber(node.index)) || INTEGERS.test(node.name);
    case 'ArrayValue':
      return node.elements.some(({ text }) => text.startsWith('[') && !/^\[\d+\]=/.test(text));
    case 'TestBinary':
      return /^-(?:eq|ne|lt|le|gt|ge)$/.test(node.operator);
    case 'TestUnary':
      return node.operator === '-v';
    case 'FileDescriptorVariable':
      return node.name.includes('[');
    case 'Command':
      return evaluatesArguments(node);
    default:
      return false;
  }
}

function isNumber(word: Word): boolean {
  return NUMBER.test(word.value) && (word.parts === undefined || textOf(word).isKnown);
}

function evaluatesParameter({ prefix, index, operation }: ParameterExpansionPart): boolean {
  if (prefix === '!' || (index !== undefined && !isNumber(index))) return true;
  if (operation?.type !== 'Slice') return false;
  return !isNumber(operation.offset) || (operation.length !== undefined && !isNumber(operation.length));
}

/** Whether a builtin evaluates one of its words as arithmetic, or as the index of an array. */
function evaluatesArguments({ name: word, args }: Command): boolean {
  const name = word === undefined ? '' : textOf(word).text;
  const words = args.map((arg) => argumentText(arg));
  if (/^(?:let|wait|builtin|command)$/.test(name)) return true;
  if (/^(?:test|\[|\[\[)$/.test(name)) return words.some(({ text, isKnown }) => !isKnown || text === '-v');
  if (name === 'printf') return words[0]?.text.startsWith('-v') === true;
  if (!/^(?:declare|typeset|local|export|readonly|unset|read|mapfile|readarray|getopts)$/.test(name)) return false;
  return words.some(({ text, isKnown }) => !isKnown || text.includes('[') || /^[-+][a-zA-Z]*i/.test(text));
}
