import { posix } from 'node:path';
import type { Invocation } from './rule.ts';
import { ANYTHING, known, since, type Text } from './words.ts';

/** The files that a program writes to because its words say so, as far as they tell. */
export function outputsOf(invocation: Invocation): readonly Text[] {
  const files = filesOf(invocation);
  return files.length > MAX_FILES ? [ANYTHING] : files;
}

/** More than these are not compared one by one. */
const MAX_FILES = 100;

function filesOf({ name, args }: Invocation): Text[] {
  if (name?.isKnown !== true) return [];
  const program = posix.basename(name.text);
  if (program === 'dd') return args.filter(({ text }) => text.startsWith('of=')).map((arg) => since(arg, 3));
  if (OPERANDS.test(program) || (program === 'sed' && args.some(isInPlace))) return operandsOf(args);
  if (COPIES.test(program)) return copiesOf(args);
  const options = NAMED[program];
  return options === undefined ? [] : valuesOf(args, options.letters, options.long);
}

/** All operands are written to. */
const OPERANDS = /^(?:tee|truncate|script|shred)$/;
const COPIES = /^(?:cp|mv|install|ln)$/;
const NAMED: Readonly<Record<string, { readonly letters: string; readonly long: readonly string[] }>> = {
  __proto__: null as unknown as { letters: string; long: string[] },
  sort: { letters: 'o', long: ['output'] },
  curl: { letters: 'oDc', long: ['output', 'dump-header', 'cookie-jar'] },
  wget: { letters: 'Oo', long: ['output-document', 'output-file'] },
  gcc: { letters: 'o', long: [] },
  cc: { letters: 'o', long: [] },
  ld: { letters: 'o', long: ['output'] },
  tcpdump: { letters: 'w', long: [] },
};

function isInPlace({ text }: Text): boolean {
  return /^-[a-zA-Z]*i|^--in/.test(text);
}

function operandsOf(args: readonly Text[]): Text[] {
  const end = args.findIndex(({ text, isKnown }) => isKnown && text === '--');
  return args.filter((arg, index) => (end !== -1 && index > end) || !arg.text.startsWith('-'));
}

/** What is copied into a directory has its own name there. */
function copiesOf(args: readonly Text[]): Text[] {
  const operands = operandsOf(args);
  const directories = valuesOf(args, 't', ['target-directory']);
  const targets = directories.length > 0 ? directories : operands.slice(-1);
  return targets.flatMap((target) => [
    target,
    ...operands.map(({ text, isKnown }) =>
      isKnown && target.isKnown ? known(posix.join(target.text, posix.basename(text))) : target,
    ),
  ]);
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
