import type { Command, Word } from 'unbash';
import type { Invocation } from '../shell/invocation.ts';
import { isTooDeep } from '../shell/parse.ts';
import { innerOf } from '../shell/programs.ts';
import { argumentText, type Text } from '../shell/words.ts';
import { WRAPPERS } from '../shell/wrappers.ts';

/** A program that a command runs, by itself or through another. */
export interface Invoked {
  /** Without its directory. */
  readonly name: string;
  readonly args: readonly string[];
  /** Its words, as they are written. */
  readonly words: readonly Word[];
  /** It is named by its path. */
  readonly isPath: boolean;
  /** It may run a part of its words, or what it reads. */
  readonly runs: boolean;
}

/** The programs of a command, the one that runs another before it: `sudo`, `passwd`. */
export function invokedBy(node: Command, isFunction: (name: string) => boolean): readonly Invoked[] {
  if (node.name === undefined || isFunction(node.name.value)) return [];
  const words = new Map<Text, Word>();
  for (const word of [node.name, ...node.args]) if (word.type === 'Word') words.set(argumentText(word), word);
  const [name, ...args] = [...words.keys()];
  return through({ name, args }, words, 0);
}

function through(invocation: Invocation, words: ReadonlyMap<Text, Word>, depth: number): Invoked[] {
  const { name, args } = invocation;
  if (name?.isKnown !== true || isTooDeep(depth)) return [];
  const { invocations = [], scripts = [], unreadable, runs } = innerOf(invocation);
  const program = name.text.replace(/^.*\//, '');
  const one = {
    name: program,
    args: args.map(({ text }) => text),
    words: args.flatMap((arg) => words.get(arg) ?? []),
    isPath: program !== name.text,
    runs: unreadable !== undefined || scripts.length > 0 || runs !== undefined,
  };
  if (one.words.length !== args.length) return [];
  return [
    one,
    ...(WRAPPERS[program] === undefined ? [] : invocations.flatMap((inner) => through(inner, words, depth + 1))),
  ];
}

/** The parts of a word that are written out, without their quotes, up to the first that names files. */
export function literals({ pos, end: last, parts }: Word): { readonly pos: number; readonly end: number }[] {
  if (parts === undefined) return [{ pos, end: last }];
  const end = parts.findIndex(({ type }) => /^(?:Glob|ExtendedGlob|BraceExpansion)$/.test(type));
  return parts.slice(0, end === -1 ? parts.length : end).flatMap((part) => {
    if (part.type === 'Literal') return [{ pos: part.pos, end: part.end }];
    if (part.type === 'SingleQuoted') return [{ pos: part.pos + 1, end: part.end - 1 }];
    if (part.type === 'AnsiCQuoted') return [{ pos: part.pos + 2, end: part.end - 1 }];
    if (part.type !== 'DoubleQuoted' && part.type !== 'LocaleString') return [];
    return part.parts.filter(({ type }) => type === 'Literal');
  });
}
