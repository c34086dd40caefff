import { posix } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import type { Text } from './words.ts';

export const ACTIONS = ['allow', 'confirm', 'deny'] as const;
/** From the mildest to the strictest. */
export type Action = (typeof ACTIONS)[number];

export const actionSchema = Type.Union(ACTIONS.map((action) => Type.Literal(action)));

const pattern = Type.String({ minLength: 1, maxLength: 1000 });
const patterns = Type.Union([pattern, Type.Array(pattern, { minItems: 1, maxItems: 200 })]);

/** A rule, as the file of a profile states it. In patterns, `*` stands for any characters and `?` for one. */
export const ruleSchema = Type.Object(
  {
    action: actionSchema,
    command: Type.Optional(patterns),
    flags: Type.Optional(patterns),
    arguments: Type.Optional(patterns),
    writes: Type.Optional(patterns),
    reason: Type.Optional(Type.String({ maxLength: 300, description: 'What the model and the owner are told.' })),
  },
  { additionalProperties: false },
);

/** A rule that can be asked. */
export interface Rule {
  readonly action: Action;
  /** Undefined: every command. */
  readonly commands: readonly RegExp[] | undefined;
  /** One of them is given; undefined: whatever flags. */
  readonly flags: readonly string[] | undefined;
  readonly arguments: readonly RegExp[] | undefined;
  /** Of an `allow` with arguments: more may follow. */
  readonly isOpen: boolean;
  /** Files that redirections write to. */
  readonly writes: readonly RegExp[] | undefined;
  readonly reason: string | undefined;
  /** As the file states it, for people. */
  readonly words: string;
}

/** One program with its arguments, as it would be run, and the files that its redirections write to. */
export interface Invocation {
  /** Undefined: redirections or assignments alone. */
  readonly name: Text | undefined;
  readonly args: readonly Text[];
  readonly writes: readonly Text[];
}

/** Ends the arguments of an `allow`: any more may follow. */
const MORE = '...';

/** The rule that a file states. */
export function ruleOf(stated: Static<typeof ruleSchema>): Rule {
  const args = listOf(stated.arguments);
  return {
    action: stated.action,
    commands: listOf(stated.command)?.map(globOf),
    flags: listOf(stated.flags),
    arguments: args?.filter((one) => one !== MORE).map(globOf),
    isOpen: args?.at(-1) === MORE,
    writes: listOf(stated.writes)?.map(globOf),
    reason: stated.reason,
    words: wordsOf(stated),
  };
}

function listOf(given: string | readonly string[] | undefined): readonly string[] | undefined {
  return typeof given === 'string' ? [given] : given;
}

function wordsOf({ action, command, flags, arguments: args, writes }: Static<typeof ruleSchema>): string {
  const parts = Object.entries({ command, flags, arguments: args, writes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${listOf(value)?.join(', ')}`);
  return `${action} ${parts.join(', ') || 'everything'}`;
}

/** `*` stands for any characters, `?` for one. */
function globOf(text: string): RegExp {
  const source = text
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '[^]*')
    .replace(/\?/g, '[^]');
  return new RegExp(`^${source}$`, 'u');
}

/** Whether something holds, or only running the command would tell. */
export type Answer = 'yes' | 'no' | 'maybe';

/** Whether a rule is about an invocation in `cwd`; undefined: nobody knows which directory it will be. */
export function matches(rule: Rule, invocation: Invocation, cwd: string | undefined): Answer {
  const isExact = rule.action === 'allow';
  return all([
    () => (rule.commands === undefined ? 'yes' : isCommand(rule.commands, invocation.name)),
    () => (rule.flags === undefined ? 'yes' : some(rule.flags, (flag) => hasFlag(flag, invocation.args))),
    () => {
      if (rule.arguments === undefined) return 'yes';
      if (isExact) return areExactly(rule.arguments, rule.isOpen, invocation.args);
      return all(rule.arguments.map((one) => () => some(invocation.args, (arg) => isArgument(one, arg, cwd))));
    },
    () => {
      if (rule.writes === undefined) return 'yes';
      const patternsOfFiles = rule.writes;
      return some(invocation.writes, (file) => some(patternsOfFiles, (one) => isFile(one, file, cwd)));
    },
  ]);
}

function all(questions: readonly (() => Answer)[]): Answer {
  let answer: Answer = 'yes';
  for (const ask of questions) {
    const one = ask();
    if (one === 'no') return 'no';
    if (one === 'maybe') answer = 'maybe';
  }
  return answer;
}

function some<T>(list: readonly T[], ask: (one: T) => Answer): Answer {
  let answer: Answer = 'no';
  for (const item of list) {
    const one = ask(item);
    if (one === 'yes') return 'yes';
    if (one === 'maybe') answer = 'maybe';
  }
  return answer;
}

/** By its path, where the pattern is one, else by the last part of it. */
function isCommand(commands: readonly RegExp[], name: Text | undefined): Answer {
  if (name === undefined) return 'no';
  if (!name.isKnown) return 'maybe';
  const path = name.text.includes('/') ? posix.normalize(name.text) : name.text;
  const last = path.slice(path.lastIndexOf('/') + 1);
  return some(commands, (one) => (one.test(last) || one.test(path) ? 'yes' : 'no'));
}

/** A long option may be cut short (`--recurs`); a short one may stand among others (`-rf`), or end with its value. */
function hasFlag(flag: string, args: readonly Text[]): Answer {
  let answer: Answer = 'no';
  for (const { text, isKnown, maySplit } of args) {
    if (isKnown && text === '--') return answer;
    if (isFlag(flag, text, isKnown)) return 'yes';
    if (!isKnown && (maySplit || text === '' || text.startsWith('-'))) answer = 'maybe';
  }
  return answer;
}

/** Shorter beginnings of a long option are ambiguous in most programs. */
const SHORTEST_ABBREVIATION = 3;

function isFlag(flag: string, text: string, isKnown: boolean): boolean {
  if (flag.startsWith('--')) {
    const [name = ''] = text.split('=');
    const isWhole = isKnown || text.includes('=');
    return isWhole && name.length >= SHORTEST_ABBREVIATION && name.startsWith('--') && flag.startsWith(name);
  }
  if (text === flag && isKnown) return true;
  return flag.length === 2 && /^-[^-]/.test(text) && text.includes(flag.slice(1), 1);
}

/** As it stands, and as the path that it may be. */
function isArgument(one: RegExp, arg: Text, cwd: string | undefined): Answer {
  if (!arg.isKnown) return 'maybe';
  if (one.test(arg.text)) return 'yes';
  // --file=/etc/passwd and of=/dev/sda name a file behind the sign.
  const value = arg.text.slice(arg.text.indexOf('=') + 1);
  return some(value === arg.text ? [arg.text] : [arg.text, value], (path) => isPath(one, path, cwd));
}

function isFile(one: RegExp, file: Text, cwd: string | undefined): Answer {
  return file.isKnown ? isPath(one, file.text, cwd) : 'maybe';
}

/** Pattern and path are compared as absolute paths, when the pattern is about one. */
function isPath(one: RegExp, path: string, cwd: string | undefined): Answer {
  const isAboutPaths = one.source.startsWith('^\\/') || one.source.startsWith('^/');
  if (one.test(posix.normalize(path))) return 'yes';
  if (!isAboutPaths || path.startsWith('-')) return 'no';
  if (path.startsWith('~')) return 'maybe';
  if (path.startsWith('/')) return one.test(posix.normalize(path).replace(/(?<=.)\/$/, '')) ? 'yes' : 'no';
  if (cwd === undefined) return 'maybe';
  return one.test(posix.resolve(cwd, path)) ? 'yes' : 'no';
}

/** An `allow` covers what it names, from the first argument on, and no more. */
function areExactly(expected: readonly RegExp[], isOpen: boolean, args: readonly Text[]): Answer {
  if (args.length < expected.length || (args.length > expected.length && !isOpen)) return 'no';
  return expected.every((one, index) => {
    const arg = args[index];
    return arg?.isKnown === true && one.test(arg.text);
  })
    ? 'yes'
    : 'no';
}
