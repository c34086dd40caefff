import { since, type Text } from './words.ts';

/** Which options of a program take a value: letters of short ones, names of long ones. All others take none. */
export interface Valued {
  readonly letters?: string;
  readonly long?: readonly string[];
}

export interface Given {
  /** The given options, a letter or a name each: `-x`, `--extract`. */
  readonly options: readonly string[];
  /** Values, each with the full name of its option. */
  readonly values: readonly (readonly [option: string, value: Text])[];
  readonly operands: readonly Text[];
  /** Whether all options are known: none may take the next word as its value, or be several. */
  readonly isCertain: boolean;
}

/**
 * Divides words as getopt_long(3) does; with `leading`, only up to the first operand, as programs that run others do.
 */
export function divide(args: readonly Text[], valued: Valued = {}, leading = false): Given {
  const options: string[] = [];
  const values: (readonly [string, Text])[] = [];
  const operands: Text[] = [];
  let isCertain = true;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined) break;
    const isEnd = arg.isKnown && arg.text === '--';
    const isDash = arg.isKnown && arg.text === '-';
    if (isEnd || (leading && (!arg.text.startsWith('-') || isDash))) {
      operands.push(...args.slice(isEnd ? index + 1 : index));
      break;
    }
    if (!arg.text.startsWith('-')) operands.push(arg);
    else if (!isDash) {
      const read = arg.text.startsWith('--') ? longOf(arg, valued) : shortOf(arg, valued);
      options.push(...read.names);
      isCertain &&= arg.isKnown || (read.value !== undefined && !arg.maySplit);
      const value = read.wantsValue ? args[++index] : read.value;
      const name = read.names.at(-1);
      if (value !== undefined && name !== undefined) values.push([name, value]);
    }
  }
  return { options, values, operands, isCertain };
}

interface Read {
  readonly names: readonly string[];
  readonly wantsValue: boolean;
  readonly value: Text | undefined;
}

/** Names may be shortened. */
function longOf(arg: Text, { long = [] }: Valued): Read {
  const sign = arg.text.indexOf('=');
  const given = arg.text.slice(2, sign === -1 ? undefined : sign);
  const name = long.find((one) => one === given) ?? long.find((one) => given !== '' && one.startsWith(given));
  const names = [`--${name ?? given}`];
  if (sign !== -1) return { names, wantsValue: false, value: since(arg, sign + 1) };
  return { names, wantsValue: name !== undefined, value: undefined };
}

function shortOf(arg: Text, { letters = '' }: Valued): Read {
  const given = [...arg.text].slice(1);
  const at = given.findIndex((letter) => letters.includes(letter));
  const names = given.slice(0, at === -1 ? undefined : at + 1).map((letter) => `-${letter}`);
  if (at === -1) return { names, wantsValue: false, value: undefined };
  const isLast = at + 1 === given.length && arg.isKnown;
  return { names, wantsValue: isLast, value: isLast ? undefined : since(arg, at + 2) };
}

/** Returns the values of one option, by its letter or its names. */
export function valuesOf({ values }: Given, ...names: readonly string[]): Text[] {
  return values.filter(([name]) => names.includes(name)).map(([, value]) => value);
}

/** Whether one of the options is given; long ones may be shortened. */
export function hasOption({ options }: Given, ...names: readonly string[]): boolean {
  return options.some((one) => names.some((name) => one === name || (/^--./.test(one) && name.startsWith(one))));
}
