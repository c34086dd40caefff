import { posix } from 'node:path';
import type { SimpleCommand } from '../shell/script.ts';
import { isNoOption, since, type Text } from '../shell/words.ts';
import { outputsOf } from './outputs.ts';
import { type Answer, absolute, all, isFile, isOfSystem, isPath, pathsOfProgram, some, type Where } from './paths.ts';
import type { Glob, Rule } from './rule.ts';

/** Whether a rule is about what is run, wherever relative paths lead. */
export function matches(rule: Rule, part: SimpleCommand, where: Where): Answer {
  if (rule.action === 'allow') return isAllowed(rule, part, where);
  const answer = isAbout(rule, part, where);
  return answer === 'maybe' && needsMoreWords(rule, part, where) ? 'no' : answer;
}

/** Whether a rule asks for more, besides what is known, than there are words left: each word can be one thing. */
function needsMoreWords({ flags = [], arguments: args = [] }: Rule, part: SimpleCommand, where: Where): boolean {
  const words = [...part.args, ...part.reads];
  const open = words.filter(({ isKnown }) => !isKnown);
  if (open.some(({ maySplit }) => maySplit)) return false;
  const told = words.filter(({ isKnown }) => isKnown);
  const isOpen = (one: Glob): boolean => some(told, (arg) => isArgument(one, arg, where)) === 'no';
  const beginnings = args.filter(isOpen).map(({ text }) => text.slice(0, 1));
  const toldArgs = part.args.filter(({ isKnown }) => isKnown);
  if (flags.length > 0 && some(flags, (flag) => hasFlag(flag, toldArgs, part.name)) === 'no') beginnings.push('-');
  const isDistinct = new Set(beginnings).size === beginnings.length && !beginnings.some((one) => /[*?]/.test(one));
  return isDistinct && beginnings.length > open.length;
}

function isAbout(rule: Rule, part: SimpleCommand, where: Where): Answer {
  return all([
    () => (rule.commands === undefined ? 'yes' : isCommand(rule.commands, part.name, where)),
    () => (rule.flags === undefined ? 'yes' : some(rule.flags, (flag) => hasFlag(flag, part.args, part.name))),
    () => {
      const words = [...part.args, ...part.reads];
      return all((rule.arguments ?? []).map((one) => () => some(words, (arg) => isArgument(one, arg, where))));
    },
    () => {
      const { writes } = rule;
      if (writes === undefined) return 'yes';
      const files = [...part.writes, ...part.around, ...outputsOf(part)];
      return some(files, (file) => some(writes, (one) => isFile(one, file, where)));
    },
  ]);
}

/**
 * Whether a rule is about a file that a redirection writes to. A rule that allows a program does not allow it to write.
 */
export function matchesWrite(rule: Rule, part: SimpleCommand, file: Text, where: Where): Answer {
  const { writes } = rule;
  if (writes === undefined) return 'no';
  const answer = some(writes, (one) => isFile(one, file, where));
  const isWriteAlone = rule.commands === undefined && rule.flags === undefined && rule.arguments === undefined;
  if (isWriteAlone || answer === 'no') return answer;
  return matches(rule, part, where);
}

/** An `allow` with files is about commands that write to these and to no other. */
function isAllowed(rule: Rule, part: SimpleCommand, where: Where): Answer {
  const files = [...part.writes, ...part.around];
  return all([
    () => (rule.commands === undefined ? 'yes' : isAllowedProgram(rule.commands, part.name, where)),
    () => (rule.flags === undefined ? 'yes' : some(rule.flags, (flag) => hasFlag(flag, part.args, part.name))),
    () => (rule.arguments === undefined ? 'yes' : areExactly(rule.arguments, rule.isOpen, part.args)),
    () => {
      const { writes } = rule;
      if (writes === undefined) return 'yes';
      // A rule with nothing but files is about these, not about what is run.
      if (rule.commands === undefined && rule.arguments === undefined) return 'no';
      if (files.length === 0) return 'no';
      return all(files.map((file) => () => some(writes, (one) => isFile(one, file, where))));
    },
  ]);
}

/** Programs that only show information about the programs in their words. */
const LOOKERS =
  /^(?:ls|stat|file|which|whereis|type|command|dpkg|dpkg-query|rpm|ldd|md5sum|sha\d+sum|du|test|\[|readlink|realpath|echo|printf|man|whatis|grep|rg)$/;

/** Returns the programs of the system that other words name, which may get other names: `cp /bin/rm x`. */
export function programsNamed({ name, args, reads }: SimpleCommand, where: Where): Text[] {
  if (name?.isKnown !== true || LOOKERS.test(posix.basename(name.text))) return [];
  return [...args, ...reads].flatMap((word) => {
    const value = word.text.replace(/^-[^=]*=|^if=/, '');
    const isProgram = absolute(value, where).some((path) => isOfSystem(path, where));
    return isProgram ? [{ ...word, text: posix.basename(value) }] : [];
  });
}

/** Whether a rule is against one of these programs. */
export function isAgainst({ action, commands }: Rule, programs: readonly Text[]): boolean {
  if (action === 'allow' || commands === undefined) return false;
  const named = commands.filter(({ text }) => !/^\*?$/.test(text));
  return programs.some(({ text, isKnown }) =>
    named.some((one) => (isKnown ? isSameName(one, text) : one.mayFit(text, ''))),
  );
}

function isSameName(one: Glob, last: string): boolean {
  return one.test(last) || posix.basename(one.text) === last;
}

/** By its name, as every program of the system has several paths; else by its path. */
function isCommand(commands: readonly Glob[], name: Text | undefined, where: Where): Answer {
  if (name === undefined) return 'no';
  if (!name.isKnown) return 'maybe';
  const { text } = name;
  const last = text.slice(text.lastIndexOf('/') + 1);
  return some(commands, (one) => {
    if (one.test(last)) return 'yes';
    // Only a pattern with a path in it is about paths.
    if (!one.text.includes('/')) return 'no';
    const paths = [posix.normalize(text), ...absolute(text, where), ...pathsOfProgram(last)];
    return posix.basename(one.text) === last || paths.some((path) => one.test(path)) ? 'yes' : 'no';
  });
}

/** A program that has the name, and is one of the system, or that is where the rule says. */
function isAllowedProgram(commands: readonly Glob[], name: Text | undefined, where: Where): Answer {
  if (name?.isKnown !== true) return 'no';
  const { text } = name;
  if (!text.includes('/')) return some(commands, (one) => (one.test(text) ? 'yes' : 'no'));
  const isSystem = isOfSystem(text, where);
  return some(commands, (one) => {
    if (isSystem && one.test(posix.basename(text))) return 'yes';
    return isNamedByPath(one, text, where) ? 'yes' : 'no';
  });
}

function isNamedByPath(one: Glob, path: string, where: Where): boolean {
  const paths = absolute(path, where);
  return one.isAbsolute && paths.length > 0 && paths.every((each) => one.test(each));
}

const SEARCHED_CHARS = 100_000;

/**
 * Whether a text that a program interprets itself names what a rule is against: its program, and after that one of its
 * flags and all of its arguments.
 */
export function isNamedIn(text: string, { action, commands, flags, arguments: args, writes }: Rule): boolean {
  if (action === 'allow' || commands === undefined || writes !== undefined) return false;
  const words = text.slice(0, SEARCHED_CHARS).match(/[\w./+@-]+/g) ?? [];
  const at = words.findIndex((word) => {
    const name = isOfSystem(word, undefined) ? posix.basename(word) : word;
    return commands.some((one) => !/^\*?$/.test(one.text) && isSameName(one, name));
  });
  if (at === -1) return false;
  const rest = words.slice(at + 1);
  const hasFlags = flags === undefined || flags.some((flag) => rest.some((word) => isFlag(flag, word, true)));
  return hasFlags && (args ?? []).every((one) => rest.some((word) => one.test(word)));
}

/** A long option may be shortened (`--recurs`); a short one may be among others (`-rf`), or end with its value. */
function hasFlag(flag: string, args: readonly Text[], name: Text | undefined): Answer {
  let answer: Answer = 'no';
  // After `--` there are no options, unless it is the value of one.
  let hasEnded = false;
  for (const [index, arg] of args.entries()) {
    if (!hasEnded && endsOptions(name, arg, args[index - 1])) return answer;
    if (isFlag(flag, arg.text, arg.isKnown)) {
      if (!hasEnded) return 'yes';
      answer = 'maybe';
    }
    if (arg.isKnown && arg.text === '--') hasEnded = true;
    if (!hasEnded && !arg.isKnown && !isNoOption(arg)) answer = 'maybe';
  }
  return answer;
}

/** Programs whose options have no values, except for long ones, and that have no options after `--`. */
const PLAIN_OPTIONS = /^(?:rm|rmdir|unlink|cat|tee|chmod|chown|chgrp)$/;

/** Whether what follows a word is certainly not an option. */
function endsOptions(name: Text | undefined, arg: Text, before: Text | undefined): boolean {
  if (!arg.isKnown || arg.text !== '--' || name?.isKnown !== true) return false;
  const mayBeValue = before?.text.startsWith('--') === true || (before?.isKnown === false && !isNoOption(before));
  return PLAIN_OPTIONS.test(posix.basename(name.text)) && !mayBeValue;
}

/** Shorter beginnings of a long option are ambiguous in most programs. */
const SHORTEST_ABBREVIATION = 3;

function isFlag(flag: string, text: string, isKnown: boolean): boolean {
  if (flag.startsWith('--')) {
    const [name = ''] = text.split('=', 1);
    const isWhole = isKnown || text.includes('=');
    return isWhole && name.length >= SHORTEST_ABBREVIATION && name.startsWith('--') && flag.startsWith(name);
  }
  if (text === flag && isKnown) return true;
  return flag.length === 2 && /^-[^-]/.test(text) && text.includes(flag.slice(1), 1);
}

/** Compares a word literally, and as the path that it may be, or that may be in it. */
function isArgument(one: Glob, arg: Text, where: Where): Answer {
  if (arg.isKnown && one.test(arg.text)) return 'yes';
  const sign = /^[\w-]+=(?=\/)/.exec(one.text)?.[0];
  if (sign !== undefined) {
    if (arg.text.startsWith(sign)) return isPath(one.since(sign.length), since(arg, sign.length), where);
    return arg.isKnown ? 'no' : isPath(one, arg, where);
  }
  return some(pathsIn(arg), (path) => isPath(one, path, where));
}

/** --file=/etc/passwd, of=/dev/sda, -t/etc, @/etc/passwd and file:///etc/passwd name a file. */
function pathsIn(arg: Text): Text[] {
  const { text } = arg;
  const starts = new Set([0, text.indexOf('=') + 1]);
  if (/^(?:-|@|file:)/.test(text)) {
    starts.add(text.indexOf('@') + 1);
    if (text.includes('/')) starts.add(text.indexOf('/'));
  }
  if (/^-[^-]/.test(text)) starts.add(2);
  return [...starts].filter((at) => at <= text.length).map((at) => (at === 0 ? arg : since(arg, at)));
}

/** An `allow` covers what it names, from the first argument on, and no more. */
function areExactly(expected: readonly Glob[], isOpen: boolean, args: readonly Text[]): Answer {
  if (args.length < expected.length || (args.length > expected.length && !isOpen)) return 'no';
  return expected.every((one, index) => {
    const arg = args[index];
    return arg?.isKnown === true && one.test(arg.text);
  })
    ? 'yes'
    : 'no';
}

/** Names that are not files, or that mean a file that is open already. */
export function isHarmless(file: Text): boolean {
  return file.isKnown && /^\/dev\/(?:null|stdout|stderr|tty|fd\/\d+)$/.test(file.text);
}
