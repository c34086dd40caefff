import { ANYTHING, type Text } from './words.ts';

/** One program with its arguments, as it would be run. */
export interface Invocation {
  /** Undefined: redirections or assignments alone. */
  readonly name: Text | undefined;
  readonly args: readonly Text[];
  /** What a here-document or a here-string gives it to read. */
  readonly input?: Text | undefined;
  /** Something is piped into it, or a file is given to it. */
  readonly isFed?: boolean;
  /** What it reads are names that find(1) has found, each ended by a NUL. */
  readonly found?: Text | undefined;
}

/** What a program runs in its turn, as far as its words say. */
export interface Inner {
  readonly invocations?: readonly Invocation[];
  /** Texts that a shell runs: the one named, else the shell of the command. */
  readonly scripts?: readonly { readonly text: string; readonly shell?: string }[];
  /** Why it cannot be read. */
  readonly unreadable?: string;
  /** The words that a shell runs together, where a part of them is only known when it runs. */
  readonly joins?: readonly Text[];
  /** What it runs is run in another directory, or on another machine. */
  readonly isElsewhere?: boolean;
  /** It runs what its words say in a way of its own, behind words that fit this. */
  readonly runs?: RegExp;
  /** What it runs so are its words, not a text within one of them. */
  readonly runsWords?: boolean;
}

export const A_SHELL: Inner = { unreadable: 'it opens a shell' };
export const A_SCRIPT: Inner = { unreadable: 'it runs a script, which rules do not read' };
export const CHANGES_NAMES: Inner = { unreadable: 'it may change what commands mean' };

export type Look = (args: readonly Text[], invocation: Invocation) => Inner;

/** What cannot be read as the name of a program may be any. */
export function named(word: Text): Text {
  return word.isKnown ? word : ANYTHING;
}
