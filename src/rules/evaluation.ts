import type { Command, ParameterExpansionPart, SyntaxNode, Word } from 'unbash';
import { argumentText, textOf } from './words.ts';

/**
 * Arithmetic and the index of an array run the substitutions that are in the values of variables: `x='a[$(rm x)]'; ((x))`.
 * Watches for both in one command: what evaluates values, and text that is code when it is evaluated.
 */
export class Evaluation {
  #evaluates = false;
  #holdsCode = false;
  #endsInDollar = false;
  #holdsBracket = false;

  /** A text that may become the value of a variable. */
  hear(text: string): void {
    if (CODE.test(text)) this.#holdsCode = true;
    if (/\$["'\\]*$/.test(text)) this.#endsInDollar = true;
    if (text.includes('(')) this.#holdsBracket = true;
  }

  see(node: SyntaxNode): void {
    if (evaluates(node)) this.#evaluates = true;
    switch (node.type) {
      case 'Word':
        if (node.parts === undefined) this.hear(node.value);
        return;
      case 'Literal':
      case 'SingleQuoted':
      case 'AnsiCQuoted':
        this.hear(node.value);
        return;
      case 'HereDocBody':
        if (node.parts === undefined) this.hear(node.text);
        return;
      default:
    }
  }

  /** What else a command may read. */
  get mayRunText(): boolean {
    return this.#evaluates && (this.#holdsCode || (this.#endsInDollar && this.#holdsBracket));
  }
}

/** A substitution, also in the escapes of printf and echo. */
const CODE = /\$\(|`|\$\{[\s|]|\\(?:x24|0{0,2}44|u0{0,6}24|x60|0?140|u0{0,6}60)/i;

const NUMBER = /^(?:\d*|[@*])$/;

function evaluates(node: SyntaxNode): boolean {
  switch (node.type) {
    case 'ArithmeticWord':
      return !NUMBER.test(node.value) || node.parts?.some(({ type }) => type !== 'Literal') === true;
    case 'ArithmeticCommand':
      return node.expression === undefined;
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
    case 'Command':
      return evaluatesArguments(node);
    default:
      return false;
  }
}

/** Variables that are numbers from the start. */
const INTEGERS = /^(?:RANDOM|SRANDOM|SECONDS|OPTIND|LINENO|HISTCMD|BASHPID|EPOCHSECONDS)$/;

function isNumber(word: Word): boolean {
  return NUMBER.test(word.value) && (word.parts === undefined || textOf(word).isKnown);
}

function evaluatesParameter({ prefix, index, operation }: ParameterExpansionPart): boolean {
  if (prefix === '!' || (index !== undefined && !isNumber(index))) return true;
  if (operation?.type !== 'Slice') return false;
  return !isNumber(operation.offset) || (operation.length !== undefined && !isNumber(operation.length));
}

function evaluatesArguments(node: Command): boolean {
  const name = node.name === undefined ? '' : textOf(node.name).text;
  const words = [...node.args].map((word) => argumentText(word));
  if (/^(?:let|wait|builtin|command)$/.test(name)) return true;
  if (/^(?:test|\[|\[\[)$/.test(name)) return words.some(({ text, isKnown }) => !isKnown || text === '-v');
  if (name === 'printf') return words[0]?.text.startsWith('-v') === true;
  if (!/^(?:declare|typeset|local|export|readonly|unset|read|mapfile|readarray|getopts)$/.test(name)) return false;
  return words.some(({ text, isKnown }) => !isKnown || text.includes('[') || /^[-+][a-zA-Z]*i/.test(text));
}
