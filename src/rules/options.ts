import type { Text } from './words.ts';

/** The options of a program that runs another one: what must be skipped to find that. */
export interface Options {
  /** Letters that take no value, and names of long options that take none. */
  readonly plain?: string;
  readonly plainLong?: readonly string[];
  /** Letters that take a value, and names of long options that take one. */
  readonly valued?: string;
  readonly valuedLong?: readonly string[];
  /** `NAME=value` may come before the command. */
  readonly assigns?: boolean;
  /** Words that come before the command: the duration of timeout(1). */
  readonly positional?: number;
}

/** A program's words, divided. */
export interface Parsed {
  /** Names and values of the options that were given: `-n`, `--name`. */
  readonly given: ReadonlyMap<string, Text | undefined>;
  readonly assignments: readonly Text[];
  readonly rest: readonly Text[];
}

/** Divides the arguments of a program by its options; undefined for what nobody can tell. */
export function parseOptions(args: readonly Text[], options: Options): Parsed | undefined {
  const given = new Map<string, Text | undefined>();
  let index = 0;
  for (; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined || !arg.isKnown) return undefined;
    if (arg.text === '--') {
      index++;
      break;
    }
    if (!/^-./.test(arg.text)) break;
    const step = arg.text.startsWith('--') ? longOption(arg.text, options) : shortOptions(arg.text, options);
    if (step === undefined) return undefined;
    if (step.wantsValue) index++;
    for (const name of step.names) given.set(name, step.value ?? (step.wantsValue ? args[index] : undefined));
  }
  const assignments: Text[] = [];
  while (options.assigns === true && /^[A-Za-z_]\w*=/.test(args[index]?.text ?? '')) {
    const assignment = args[index++];
    if (assignment !== undefined) assignments.push(assignment);
  }
  const rest = args.slice(index + (options.positional ?? 0));
  if (args.slice(index, index + (options.positional ?? 0)).some(({ maySplit }) => maySplit)) return undefined;
  return { given, assignments, rest };
}

interface Step {
  readonly names: readonly string[];
  readonly wantsValue: boolean;
  readonly value?: Text;
}

function longOption(text: string, { plainLong = [], valuedLong = [] }: Options): Step | undefined {
  const sign = text.indexOf('=');
  const name = sign === -1 ? text.slice(2) : text.slice(2, sign);
  const names = [`--${name}`];
  if (sign !== -1 && valuedLong.includes(name))
    return { names, wantsValue: false, value: { text: text.slice(sign + 1), isKnown: true, maySplit: false } };
  if (plainLong.includes(name)) return { names, wantsValue: false };
  return valuedLong.includes(name) ? { names, wantsValue: true } : undefined;
}

function shortOptions(text: string, { plain = '', valued = '' }: Options): Step | undefined {
  const names: string[] = [];
  for (let at = 1; at < text.length; at++) {
    const letter = text[at] ?? '';
    names.push(`-${letter}`);
    if (valued.includes(letter)) {
      const value = text.slice(at + 1);
      return value === ''
        ? { names, wantsValue: true }
        : { names, wantsValue: false, value: { text: value, isKnown: true, maySplit: false } };
    }
    if (!plain.includes(letter)) return undefined;
  }
  return { names, wantsValue: false };
}
