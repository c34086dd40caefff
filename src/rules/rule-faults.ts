import { posix } from 'node:path';
import type { Static } from '@sinclair/typebox';
import { MORE, type ruleSchema } from './rule.ts';

type StatedRule = Static<typeof ruleSchema>;

/**
 * Returns why a rule would never apply, or apply to everything, a sentence each; `name` is the rule's, as in decisions
 * (`rule 1`).
 */
export function ruleFaults(name: string, rule: StatedRule): string[] {
  const { action, command, flags, arguments: args, writes } = rule;
  if ([command, flags, args, writes].every((one) => one === undefined)) {
    return [
      `${name} has no condition (command, flags, arguments or writes): for everything else, set otherwise = "${action}"`,
    ];
  }
  return [
    ...listOf(command).filter(isSeveralWords).map(commandFault(name)),
    ...listOf(flags).filter(isNoFlag).map(flagFault(name)),
  ];
}

/** Returns which parts of a rule never apply, though the agent accepts them; a sentence each. */
export function ruleMistakes(name: string, rule: StatedRule): string[] {
  const { action, command, flags, arguments: args, writes } = rule;
  const isOfNoProgram = action === 'allow' && command === undefined && args === undefined;
  return [
    ...(action === 'allow' ? listOf(command).filter(isUnnamed).map(pathFault(name)) : []),
    ...listOf(flags)
      .filter((flag) => flag === '--')
      .map(() => `${name}: flags "--" is not a flag: it ends them`),
    ...listOf(writes).filter(isRoundabout).map(writesFault(name)),
    ...(isOfNoProgram && flags !== undefined && writes !== undefined
      ? [`${name} allows no program: with flags and writes it needs a command`]
      : []),
  ];
}

/** Returns where a rule may not mean what it says, a sentence each. */
export function ruleNotes(name: string, rule: StatedRule): string[] {
  const args = listOf(rule.arguments);
  const about = (subject: string, value: string): string => `${name}: ${subject} ${JSON.stringify(value)}`;
  return [
    ...listOf(rule.flags).flatMap((flag) => flagNotes(about('flags', flag), flag)),
    ...args
      .filter((one, at) => isSeveralArguments(one, args[at - 1]))
      .map((one) => blankNote(about('arguments', one), one)),
    ...args
      .slice(0, -1)
      .filter((one) => one === MORE)
      .map((one) => `${about('arguments', one)} only means further arguments at the end, and is ignored here`),
    ...args
      .filter((one) => one.startsWith('~'))
      .map((one) => `${about('arguments', one)} ${HOMELY}: add a rule with /root/… and one with /home/*/…`),
    ...listOf(rule.writes).flatMap((path) => writesNotes(about('writes', path), path)),
  ];
}

function listOf(given: string | readonly string[] | undefined): readonly string[] {
  return given === undefined ? [] : [given].flat();
}

/** A path may have spaces in it, but no options after it. */
function isSeveralWords(command: string): boolean {
  return /\s/.test(command) && (!command.startsWith('/') || /\s-/.test(command));
}

function commandFault(name: string): (command: string) => string {
  return (command) => {
    const [program = '', ...rest] = command.trim().split(/\s+/);
    const advice = [`command = ${JSON.stringify(program)}`, ...conditionsFor(rest)];
    return `${name}: command ${JSON.stringify(command)} is more than the name of a program: write ${advice.join(', ')}`;
  };
}

/** Returns what a rule should say instead of several words. */
function conditionsFor(words: readonly string[]): string[] {
  const flags = words.filter((word) => word.startsWith('-')).flatMap(lettersOf);
  const args = words.filter((word) => !word.startsWith('-'));
  return [
    ...(flags.length === 0
      ? []
      : [`flags = ${JSON.stringify(flags)}${flags.length > 1 ? ' (one of them is enough)' : ''}`]),
    ...(args.length === 0 ? [] : [`arguments = ${JSON.stringify(args)}`]),
  ];
}

/** Several letters after one dash: `-rf` only matches itself, `-r` and `-f` also match among others. */
const LETTERS = /^-[A-Za-z]{2,3}$/;

function lettersOf(flag: string): string[] {
  return LETTERS.test(flag) ? [...flag.slice(1)].map((letter) => `-${letter}`) : [flag];
}

/** An `allow` is about programs of the system by their names, and about others by their absolute paths. */
function isUnnamed(command: string): boolean {
  if (isSeveralWords(command) || !command.includes('/')) return false;
  return !command.startsWith('/') || isRoundabout(command);
}

function pathFault(name: string): (command: string) => string {
  return (command) => {
    const example = command.startsWith('/') ? posix.normalize(command) : `/srv/app/${posix.basename(command)}`;
    return `${name}: command ${JSON.stringify(command)} is not the path of a program: an allow needs its plain absolute path, such as command = ${JSON.stringify(example)}`;
  };
}

function isNoFlag(flag: string): boolean {
  return !flag.startsWith('-') || /\s/.test(flag);
}

function flagFault(name: string): (flag: string) => string {
  return (flag) => {
    const advice = flagAdvice(flag.trim().split(/\s+/));
    return `${name}: flags ${JSON.stringify(flag)} is not a flag, which begins with - and has no space in it: write ${advice}, or arguments for other words`;
  };
}

function flagAdvice(words: readonly string[]): string {
  const flags = `flags = ${JSON.stringify(words.flatMap(dashed))}`;
  const [only = '', ...more] = words;
  // Three letters may be as many flags, or the name of one.
  return more.length === 0 && /^[A-Za-z]{2,3}$/.test(only) ? `${flags} or flags = ["--${only}"]` : flags;
}

function dashed(word: string): string[] {
  if (word.startsWith('-')) return lettersOf(word);
  return word.length > 3 ? [`--${word}`] : lettersOf(`-${word}`);
}

/** Paths are compared without `.` and `..`. */
function isRoundabout(path: string): boolean {
  return path !== posix.normalize(path);
}

function writesFault(name: string): (path: string) => string {
  return (path) => {
    const plain = posix.normalize(path);
    const advice = plain.startsWith('/')
      ? JSON.stringify(plain)
      : `the absolute path, or ${JSON.stringify(`*/${plain}`)}`;
    return `${name}: writes ${JSON.stringify(path)} matches no path, because paths are compared in their plain form: write ${advice}`;
  };
}

function flagNotes(subject: string, flag: string): string[] {
  return [
    ...(LETTERS.test(flag)
      ? [
          `${subject} only matches itself: for these letters in any order and among others write flags = ${JSON.stringify(lettersOf(flag))}, of which one is enough`,
        ]
      : []),
    ...(flag.startsWith('--') && flag.includes('=') ? [`${subject} also matches any other value`] : []),
    ...(flag.includes('*') ? [`${subject}: a star in flags only matches a star`] : []),
  ];
}

/** Plain words with spaces between them; the word after an option may be its value, such as a commit message. */
function isSeveralArguments(argument: string, before: string | undefined): boolean {
  return /^[-\w./:@%+,=*?]+(?: +[-\w./:@%+,=*?]+)+$/.test(argument) && before?.startsWith('-') !== true;
}

function blankNote(subject: string, argument: string): string {
  const words = argument.split(/ +/);
  const meant = argument.startsWith('-') ? conditionsFor(words).join(', ') : `arguments = ${JSON.stringify(words)}`;
  return `${subject} is one argument with a space in it: if several are meant, write ${meant}`;
}

const HOMELY = 'only matches what is also written with ~';

function writesNotes(subject: string, path: string): string[] {
  if (path.startsWith('~')) return [`${subject} ${HOMELY}: add /root/… and /home/*/…`];
  if (/^[/*]/.test(path) || isRoundabout(path)) return [];
  return [
    `${subject} only matches what is written in the same way, wherever the command runs: begin it with /, or with */ for any directory`,
  ];
}
