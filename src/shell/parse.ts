import { forEachChild, type ParsedScript, parse, type SyntaxNode } from 'unbash';
import { ANYTHING, type Text, textOf } from './words.ts';

/** One program with its arguments, as it would be run. */
export interface Invocation {
  /** Undefined: only redirections or assignments. */
  readonly name: Text | undefined;
  readonly args: readonly Text[];
  /** The content of a here-document or a here-string that it reads. */
  readonly input?: Text | undefined;
  /** Whether something is piped into it, or it gets a file as input. */
  readonly isFed?: boolean;
  /** If it reads names that find(1) has found, each ended by a NUL. */
  readonly found?: Text | undefined;
}

/** What a program runs in turn, according to its words. */
export interface Inner {
  readonly invocations?: readonly Invocation[];
  /** Texts that a shell runs: the named one, else the shell of the command. */
  readonly scripts?: readonly { readonly text: string; readonly shell?: string }[];
  readonly unreadable?: string;
  /** The words that a shell runs together, if a part of them is only known when it runs. */
  readonly joins?: readonly Text[];
  /** Whether this runs in another directory, or on another machine. */
  readonly isElsewhere?: boolean;
  /** If it interprets its words itself: what the words before them match. */
  readonly runs?: RegExp;
  /** Whether it runs its words, not a text within one of them. */
  readonly runsWords?: boolean;
}

export const A_SHELL: Inner = { unreadable: 'it opens a shell' };
export const A_SCRIPT: Inner = { unreadable: 'it runs a script, which rules do not read' };
export const CHANGES_NAMES: Inner = { unreadable: 'it may change what commands mean' };

export type Look = (args: readonly Text[], invocation: Invocation) => Inner;

/** Returns a word as the name of a program; if it cannot be read, it may be any. */
export function named(word: Text): Text {
  return word.isKnown ? word : ANYTHING;
}

/**
 * The most that a call may have; the parser takes 5 ms for plain commands of this size, 120 ms for 25,000 of one
 * letter.
 */
const MOST_CHARS = 100_000;
/** The time of the parser is quadratic in their number: 50 ms for 2,000. */
const MOST_DOCUMENTS = 1000;
/** Shells within shells, and substitutions within substitutions: each is parsed again, at the cost of all within it. */
const MOST_DEPTH = 8;

/** Statements, words and their parts: so many take up to 50 ms, in which the agent answers nobody. */
const MOST_PIECES = 10_000;

/** No part of a longer text that cannot be parsed is examined. */
const LONGEST_BROKEN = 10_000;

const TOO_DEEP = 'it has shells, commands or substitutions within each other more than 8 deep';

/** Parses a script at a depth of shells within shells; returns why if it cannot be parsed. */
export function parseScript(text: string, depth: number): ParsedScript | string {
  if (text.length > MOST_CHARS) return `it has more than ${MOST_CHARS} characters`;
  if (text.split('<<', MOST_DOCUMENTS + 2).length > MOST_DOCUMENTS + 1)
    return `it has more than ${MOST_DOCUMENTS} here-documents`;
  if (isTooDeep(depth)) return TOO_DEEP;
  try {
    const script = parse(text);
    const [error] = script.errors ?? [];
    // An unclosed part is parsed again within itself.
    if (error !== undefined && text.length > LONGEST_BROKEN) return `it cannot be parsed: ${error.message}`;
    return faultOf(script) ?? script;
  } catch (error) {
    return `it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Whether a text has a command whose name is only known when it runs. */
export function namesUnknown(text: string): boolean {
  if (!text.includes('$')) return false;
  const script = parseScript(text, 0);
  return typeof script === 'string' || hasUnknownName(script);
}

function hasUnknownName(node: SyntaxNode): boolean {
  let isUnknown = node.type === 'Command' && node.name !== undefined && !textOf(node.name).isKnown;
  forEachChild(node, (child) => {
    isUnknown ||= hasUnknownName(child);
  });
  return isUnknown;
}

/** Whether nothing is examined at this depth. */
export function isTooDeep(depth: number): boolean {
  return depth > MOST_DEPTH;
}

const HOLDS_TEXT =
  /^(?:CommandExpansion|ProcessSubstitution|ArithmeticCommandExpansion|ArithmeticExpansion|ParameterExpansion)$/;

/** Parses substitutions, which the parser reads on demand, as far as that takes bounded time. */
function faultOf(script: ParsedScript): string | undefined {
  let pieces = 0;
  const look = (node: SyntaxNode, depth: number): string | undefined => {
    if (++pieces > MOST_PIECES) return `it has more than ${MOST_PIECES} words and parts of words`;
    const holdsText = HOLDS_TEXT.test(node.type);
    if (holdsText && depth >= MOST_DEPTH) return TOO_DEEP;
    let fault: string | undefined;
    forEachChild(node, (child) => {
      fault ??= look(child, holdsText ? depth + 1 : depth);
    });
    return fault;
  };
  return look(script, 0);
}
