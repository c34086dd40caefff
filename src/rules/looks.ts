import {
  A_SCRIPT,
  type Fed,
  isSpecialVariable,
  joined,
  type Look,
  launches,
  NOTHING,
  unreadable,
  wraps,
} from './look.ts';
import { type Options, parseOptions } from './options.ts';
import type { Invocation } from './rule.ts';
import { ANYTHING, type Text } from './words.ts';

export const find: Look = (args) => {
  const invocations: Invocation[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg?.isKnown !== true) continue;
    if (!/^-(?:exec|execdir|ok|okdir)$/.test(arg.text)) continue;
    const end = args.findIndex(({ text }, at) => at > index && (text === ';' || text === '+'));
    const [name, ...rest] = args.slice(index + 1, end === -1 ? undefined : end).map(replaced('{}'));
    if (name !== undefined) invocations.push({ name: name.maySplit ? ANYTHING : name, args: rest, writes: [] });
    index = end === -1 ? args.length : end;
  }
  // The words of an expression may be among those that are not known.
  const isOpen = args.some(({ maySplit }) => maySplit);
  return isOpen ? { invocations, unreadable: 'its expression is only known when it runs' } : { invocations };
};

/** A word in which a program puts something that it has found. */
export function replaced(mark: string): (word: Text) => Text {
  return (word) =>
    word.isKnown && word.text.includes(mark)
      ? { text: word.text.slice(0, word.text.indexOf(mark)), isKnown: false, maySplit: false }
      : word;
}

export const XARGS: Options = {
  plain: '0rtpxo',
  plainLong: ['null', 'no-run-if-empty', 'verbose', 'interactive', 'exit', 'open-tty'],
  valued: 'adEILnPs',
  valuedLong: [
    'arg-file',
    'delimiter',
    'max-lines',
    'max-args',
    'max-procs',
    'max-chars',
    'process-slot-var',
    'replace',
  ],
};

export const xargs: Look = (args) => {
  const parsed = parseOptions(args, XARGS);
  if (parsed === undefined) return unreadable('its options cannot be told');
  const mark = parsed.given.get('-I') ?? parsed.given.get('--replace');
  const words = parsed.rest.map(replaced(mark?.text ?? '{}'));
  const [name, ...rest] = words;
  if (name === undefined) return NOTHING;
  return { invocations: [{ name, args: [...rest, ANYTHING], writes: [] }] };
};

/** A builtin that gives variables new values. */
export const assigns: Look = (args) => {
  const special = args.find(
    ({ text, isKnown }) => isSpecialVariable(text.split('=')[0] ?? '') || (!isKnown && !text.includes('=')),
  );
  if (special !== undefined) return unreadable('it may change what commands mean');
  return args.some(({ text }) => /^[-+][a-zA-Z]*n/.test(text))
    ? unreadable('it may change what commands mean')
    : NOTHING;
};

export const trap: Look = (args) => {
  const [first] = args.filter(({ text }) => text !== '--');
  if (first === undefined || /^(?:-[lp]?|)$/.test(first.text))
    return first?.isKnown === false ? joined([first]) : NOTHING;
  return joined([first]);
};

export const changesNames: Look = () => unreadable('it may change what commands mean');
export const reads: Look = () => A_SCRIPT;

export const command: Look = (args, invocation) => {
  if (/^-p?[vV]/.test(args[0]?.text ?? '')) return NOTHING;
  return wraps({ plain: 'p' })(args, invocation);
};

export const sed: Look = (args) =>
  args.some(({ text, isKnown }, index) => {
    if (/^(?:-[a-zA-Z]*f|--file)/.test(text)) return true;
    const isScript =
      index === args.findIndex((arg) => !arg.text.startsWith('-')) ||
      /^(?:-[a-zA-Z]*e|--expression)$/.test(args[index - 1]?.text ?? '');
    // The command e, and the flag e of s///, run what is in the line.
    return (
      (isScript && !isKnown) ||
      /(?:^|[;{}\n\d$/!])\s*e(?:\s|$|;)|(?:[^\w\s])[gpiImM0-9w]*e[gpiImM0-9]*\s*(?:$|[;}\n])/.test(isScript ? text : '')
    );
  })
    ? unreadable('a command of its script may run a program')
    : NOTHING;

export const awk: Look = (args) =>
  args.some(({ text, isKnown }, index) => {
    if (/^(?:-[fEeil]|--(?:file|exec|source|include|load))/.test(text)) return true;
    const isFirst = index === args.findIndex((arg) => !arg.text.startsWith('-') || !arg.isKnown);
    if (isFirst && !isKnown) return true;
    return /system|getline|\||@|close\s*\(/.test(text.replace(/\|\|/g, ''));
  })
    ? unreadable('its program may run other programs')
    : NOTHING;

export const UNKNOWN = '‹unknown›';

export const git: Look = (args) => {
  const text = args.map((arg) => (arg.isKnown ? arg.text : UNKNOWN)).join(' ');
  const isRunning =
    /(?:^| )(?:-c|--config-env|--exec-path=|--upload-pack|--receive-pack|--exec|-x|--extcmd|ext::)/.test(text) ||
    /^(?:-\S+ )*(?:filter-branch|difftool|mergetool|daemon|instaweb|bisect run|submodule foreach)\b/.test(text) ||
    /\bconfig\b.*(?:alias\.|\.(?:pager|editor|sshcommand|fsmonitor|hookspath|cmd|command|helper|clean|smudge|program)\b|‹unknown›)/i.test(
      text,
    );
  // An unknown first word may be an alias for anything.
  return isRunning || args[0]?.isKnown === false ? unreadable('it may run other programs') : NOTHING;
};

export const containers: Look = (args) => {
  const isInside = args.some(
    ({ text, isKnown }) => !isKnown || /^(?:run|exec|create|start|attach|cp|build|up|debug)$/.test(text),
  );
  return isInside ? unreadable('it runs programs in a container') : NOTHING;
};

export const packageRunners: Look = (args) =>
  /^(?:exec|x|dlx|explore|npx)$/.test(args[0]?.text ?? '') || args[0]?.isKnown === false
    ? launches(args, NO_INVOCATION)
    : NOTHING;
export const NO_INVOCATION: Fed = { name: undefined, args: [], writes: [], input: undefined };
