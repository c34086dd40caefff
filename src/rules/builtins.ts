import { asksAboutItself, CHANGES_NAMES, joined, type Look, NOTHING, unreadable } from './look.ts';
import { isSpecialVariable, namesIn } from './variables.ts';
import { isNoOption, type Text } from './words.ts';
import { wraps } from './wrappers.ts';

/** Whether a word, as the name of a variable, may be one that changes what commands mean. */
function mayBeSpecial({ text, isKnown, maySplit }: Text): boolean {
  if (!isKnown && (maySplit || !text.includes('='))) return true;
  const [, name = text, value] = /^([^=]*?)\+?=(.*)$/s.exec(text) ?? [];
  return isSpecialVariable(name, isKnown ? value : undefined);
}

/** A builtin that gives variables new values. */
export const assigns: Look = (args) => {
  const isReferring = args.some(({ text }) => /^[-+][a-zA-Z]*n/.test(text));
  return isReferring || args.some(mayBeSpecial) ? CHANGES_NAMES : NOTHING;
};

/** A builtin whose words may be names of variables, also attached to an option: `-aPATH`. */
export const names: Look = (args) => {
  const isSpecial = (arg: Text): boolean =>
    !arg.isKnown || isSpecialVariable(arg.text) || (arg.text.startsWith('-') && hidesName(arg.text));
  return args.some(isSpecial) ? CHANGES_NAMES : NOTHING;
};

/** Longer ones are none that a builtin has. */
const LONGEST_OPTION = 64;

function hidesName(option: string): boolean {
  if (option.length > LONGEST_OPTION) return true;
  for (let at = 2; at < option.length; at++) if (isSpecialVariable(option.slice(at))) return true;
  return false;
}

export const letLook: Look = (args) =>
  args.some(({ text, isKnown }) => !isKnown || namesIn(text).some((name) => isSpecialVariable(name)))
    ? CHANGES_NAMES
    : NOTHING;

export const printf: Look = (args) => {
  const [first] = args;
  if (first === undefined || isNoOption(first) || (first.isKnown && !first.text.startsWith('-v'))) return NOTHING;
  return first.isKnown
    ? names(args.slice(0, 2), { name: undefined, args: [], input: undefined })
    : printsAnything(first);
};

/** A format that is not known may be an option, which names a variable. */
function printsAnything(format: Text): ReturnType<Look> {
  return format.maySplit || format.text.startsWith('-') ? CHANGES_NAMES : NOTHING;
}

export const mapfile: Look = (args, invocation) =>
  args.some(({ text, isKnown }) => !isKnown || /^-[a-zA-Z]*C/.test(text))
    ? unreadable('one of its options runs a command')
    : names(args, invocation);

/** `set -k`, and the history, change what words mean. */
export const set: Look = (args) => {
  let isName = false;
  for (const arg of args) {
    const { text, isKnown } = arg;
    if (!isKnown) return isNoOption(arg) ? NOTHING : CHANGES_NAMES;
    if (isName && /^(?:posix|history|histexpand|keyword)$/.test(text)) return CHANGES_NAMES;
    if (text === '--' || text === '-') return NOTHING;
    if (!isName && !/^[-+]./.test(text)) return NOTHING;
    if (!isName && /^[-+].*[kH]/.test(text)) return CHANGES_NAMES;
    isName = !isName && /^[-+].*o$/.test(text);
  }
  return NOTHING;
};

export const jobs: Look = (args) =>
  args.every(({ text, isKnown }) => isKnown && !/^-[a-z]*x/.test(text)) ? NOTHING : wrapsJobs;
const wrapsJobs = unreadable('one of its options runs a command');

export const unset: Look = (args, invocation) =>
  args.some(({ text }) => text.startsWith('-f')) && args.every(({ isKnown }) => isKnown)
    ? NOTHING
    : names(args, invocation);

export const trap: Look = (args) => {
  const [first, ...rest] = args[0]?.isKnown === true && args[0].text === '--' ? args.slice(1) : args;
  if (first === undefined) return NOTHING;
  if (first.isKnown && (/^(?:-[lp]?|)$/.test(first.text) || (rest.length === 0 && first.text !== '--'))) return NOTHING;
  return joined([first]);
};

export const command: Look = (args, invocation) => {
  if (args[0]?.isKnown === true && /^-p?[vV]+$/.test(args[0].text)) return NOTHING;
  return wraps({ plain: 'p' })(args, invocation);
};

export const alias: Look = (args) =>
  args.some(({ text, isKnown }) => !isKnown || text.includes('='))
    ? unreadable('an alias changes what commands mean')
    : NOTHING;

export const hash: Look = (args) =>
  args.length === 0 || args.every(({ text, isKnown }) => isKnown && text === '-r') ? NOTHING : CHANGES_NAMES;

export const changesNames: Look = (args) => (asksAboutItself(args) ? NOTHING : CHANGES_NAMES);

export const enable: Look = (args) => (args.length === 0 ? NOTHING : CHANGES_NAMES);

export const shopt: Look = (args) =>
  args.every(({ text, isKnown }) => isKnown && !/^(?:expand_aliases|autocd|cdable_vars|assoc_expand_once)$/.test(text))
    ? NOTHING
    : CHANGES_NAMES;
