import { isNoOption, since, type Text } from './words.ts';

/** The options of a program that runs another one: what must be skipped to find that. */
export interface Options {
  /** Letters that take no value, and names of long options that take none; `name=` may take one behind the sign; `-` is for a dash alone. */
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
  /** There was a `--`: all that follows are operands. */
  readonly hasEnded: boolean;
}

/** Divides the arguments of a program by its options; undefined for what nobody can tell. */
export function parseOptions(args: readonly Text[], options: Options): Parsed | undefined {
  const given = new Map<string, Text | undefined>();
  let index = 0;
  let hasEnded = false;
  for (; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined) break;
    if (arg.isKnown && arg.text === '--') {
      index++;
      hasEnded = true;
      break;
    }
    if (arg.isKnown && arg.text === '-' && options.plain?.includes('-') === true) continue;
    if (isNoOption(arg)) break;
    if (arg.isKnown && !/^-./.test(arg.text)) break;
    const step = arg.text.startsWith('--') ? longOption(arg, options) : shortOptions(arg, options);
    if (step === undefined) return undefined;
    if (step.wantsValue) index++;
    const value = step.wantsValue ? args[index] : step.value;
    if (value?.maySplit === true) return undefined;
    for (const name of step.names) given.set(name, value);
  }
  const assignments: Text[] = [];
  while (options.assigns === true && /^[A-Za-z_]\w*=/.test(args[index]?.text ?? '')) {
    const assignment = args[index++];
    if (assignment !== undefined) assignments.push(assignment);
  }
  const operands = args.slice(index, index + (options.positional ?? 0));
  if ([...operands, ...assignments].some(({ maySplit }) => maySplit)) return undefined;
  return { given, assignments, rest: args.slice(index + operands.length), hasEnded };
}

interface Step {
  readonly names: readonly string[];
  readonly wantsValue: boolean;
  readonly value?: Text;
}

function longOption(arg: Text, { plainLong = [], valuedLong = [] }: Options): Step | undefined {
  const sign = arg.text.indexOf('=');
  const name = arg.text.slice(2, sign === -1 ? undefined : sign);
  const names = [`--${name}`];
  if (sign !== -1) {
    const takesOne = valuedLong.includes(name) || plainLong.includes(`${name}=`);
    return takesOne ? { names, wantsValue: false, value: since(arg, sign + 1) } : undefined;
  }
  if (!arg.isKnown) return undefined;
  if (plainLong.includes(name) || plainLong.includes(`${name}=`)) return { names, wantsValue: false };
  return valuedLong.includes(name) ? { names, wantsValue: true } : undefined;
}

function shortOptions(arg: Text, { plain = '', valued = '' }: Options): Step | undefined {
  const { text } = arg;
  const names: string[] = [];
  for (let at = 1; at < text.length; at++) {
    const letter = text[at] ?? '';
    names.push(`-${letter}`);
    if (valued.includes(letter)) {
      // What is unknown may be empty, and the next word the value.
      if (at + 1 === text.length) return arg.isKnown ? { names, wantsValue: true } : undefined;
      return { names, wantsValue: false, value: since(arg, at + 1) };
    }
    if (!plain.includes(letter)) return undefined;
  }
  return arg.isKnown ? { names, wantsValue: false } : undefined;
}

/** Values of an option: attached, behind `=`, or the next word; long names may be cut short. */
export function valuesOf(args: readonly Text[], letters: string, long: readonly string[]): Text[] {
  const values: Text[] = [];
  for (const [index, arg] of args.entries()) {
    if (arg.isKnown && arg.text === '--') break;
    const sign = arg.text.indexOf('=');
    const isLong = arg.text.startsWith('--');
    const name = arg.text.slice(2, sign === -1 ? undefined : sign);
    if (isLong && name !== '' && long.some((one) => one.startsWith(name))) {
      const value = sign === -1 ? args[index + 1] : since(arg, sign + 1);
      if (value !== undefined) values.push(value);
    }
    if (isLong || !arg.text.startsWith('-')) continue;
    const at = [...arg.text].findIndex((letter, place) => place > 0 && letters.includes(letter));
    if (at === -1) continue;
    const value = at + 1 === arg.text.length && arg.isKnown ? args[index + 1] : since(arg, at + 1);
    if (value !== undefined) values.push(value);
  }
  return values;
}
