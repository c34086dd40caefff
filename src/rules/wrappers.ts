import { isHazardous } from './hazards.ts';
import {
  asksAboutItself,
  type Inner,
  joined,
  type Look,
  NOTHING,
  OPTIONS_UNTOLD,
  RUNS_PROGRAMS,
  SOME_SHELL,
  unreadable,
} from './look.ts';
import { type Options, parseOptions, valuesOf } from './options.ts';
import type { Invocation } from './rule.ts';
import { fromInput } from './shells.ts';
import { isSpecialVariable } from './variables.ts';
import { ANYTHING, type Text, unknown } from './words.ts';

/** A program that runs the rest of its words. */
export function wraps(
  options: Options,
  more: { readonly alone?: Inner; readonly moves?: readonly string[]; readonly roots?: readonly string[] } = {},
): Look {
  return (args) => {
    const parsed = parseOptions(args, options);
    if (parsed === undefined) return asksAboutItself(args) ? NOTHING : OPTIONS_UNTOLD;
    const special = parsed.assignments.find(({ text }) =>
      isSpecialVariable(text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)),
    );
    if (special !== undefined) return unreadable(`${special.text.split('=')[0]} changes what commands mean`);
    const unset = parsed.given.get('-u') ?? parsed.given.get('--unset');
    if (options.assigns === true && unset !== undefined && (!unset.isKnown || isSpecialVariable(unset.text)))
      return unreadable('it takes away a variable that changes what commands mean');
    const [name, ...rest] = parsed.rest;
    if (name === undefined) return more.alone ?? NOTHING;
    const has = (names: readonly string[] = []): boolean =>
      names.some((option) => option === 'always' || parsed.given.has(option));
    const inner = { invocations: [invocationOf(name, rest)], isElsewhere: has(more.moves) || has(more.roots) };
    return has(more.roots) ? { ...inner, ...unreadable('paths mean something else there') } : inner;
  };
}

export function invocationOf(name: Text, args: readonly Text[]): Invocation {
  return { name: name.isKnown ? name : ANYTHING, args };
}

export const find: Look = (args) => {
  const invocations: Invocation[] = [];
  const starts = startsOf(args);
  const place = starts.every(({ text, isKnown }) => isKnown && text !== '') ? commonBeginning(starts) : '';
  const found = unknown(place);
  const values = valuesOfTests(args);
  let isElsewhere = false;
  // The words of an expression may be among those that are not known.
  const untold = args.filter((arg, index) => !arg.isKnown && !values.has(arg) && !isStart(arg, index, starts));
  // One word alone is no command: that needs its name, and an end.
  let isTold = untold.length === 0 || (untold.length === 1 && untold[0]?.maySplit === false);
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg?.isKnown !== true || !/^-(?:exec|execdir|ok|okdir)$/.test(arg.text)) {
      if (arg?.isKnown === true && /^[;+]$/.test(arg.text)) isTold = false;
      continue;
    }
    isElsewhere ||= arg.text.endsWith('dir');
    const end = endOf(args, index + 1);
    if (end === undefined) isTold = false;
    const [name, ...rest] = args
      .slice(index + 1, end)
      .map(replaced('{}', arg.text.endsWith('dir') ? unknown('./') : found));
    if (name !== undefined) invocations.push(invocationOf(name, rest));
    index = end ?? args.length;
  }
  return isTold
    ? { invocations, isElsewhere }
    : { invocations, isElsewhere, ...unreadable('its expression is only known when it runs') };
};

/** A `;`, or a `+` behind the name of what was found. */
function endOf(args: readonly Text[], from: number): number | undefined {
  for (let at = from; at < args.length; at++) {
    const text = args[at]?.isKnown === true ? args[at]?.text : undefined;
    if (text === ';' || (text === '+' && args[at - 1]?.text === '{}')) return at;
  }
  return undefined;
}

function startsOf(args: readonly Text[]): readonly Text[] {
  const first = args.findIndex(({ text }) => /^[-(!]/.test(text));
  const starts = first === -1 ? args : args.slice(0, first);
  return starts.length === 0 ? [{ ...unknown('.'), isKnown: true }] : starts;
}

/** A directory to begin in, which cannot be a word of the expression. */
function isStart(arg: Text, index: number, starts: readonly Text[]): boolean {
  return index < starts.length && !arg.maySplit && arg.text !== '';
}

const TESTS =
  /^-(?:i?name|i?path|i?regex|newer\w*|mtime|mmin|atime|ctime|size|user|group|perm|maxdepth|mindepth|type)$/;

/** The values of tests, as of `-name *.log`: the words that these may become are values, or make find fail. */
function valuesOfTests(args: readonly Text[]): ReadonlySet<Text> {
  const values = new Set<Text>();
  for (let index = 0; index < args.length; index++) {
    const test = args[index];
    const value = args[index + 1];
    if (test?.isKnown !== true || !TESTS.test(test.text) || value === undefined) continue;
    const isNamed = value.isAlike && value.isBeneath && value.text + value.end !== '' && value.text !== '-';
    if (!value.maySplit || isNamed) values.add(value);
    index++;
  }
  return values;
}

function commonBeginning(starts: readonly Text[]): string {
  const [first = '', ...rest] = starts.map(({ text }) => text);
  let length = first.length;
  for (const other of rest) while (!other.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}

/** A word in which a program puts something that it has found. */
export function replaced(mark: string, found: Text): (word: Text) => Text {
  return (word) => {
    if (mark === '' || !word.text.includes(mark) || !word.isKnown) return word;
    return { ...unknown(word.text.slice(0, word.text.indexOf(mark)) + (word.text.startsWith(mark) ? found.text : '')) };
  };
}

const XARGS: Options = {
  plain: '0rtpxoeil',
  plainLong: [
    'null',
    'no-run-if-empty',
    'verbose',
    'interactive',
    'exit',
    'open-tty',
    'replace=',
    'max-lines=',
    'eof=',
  ],
  valued: 'adEILnPs',
  valuedLong: ['arg-file', 'delimiter', 'max-args', 'max-procs', 'max-chars', 'process-slot-var'],
};

export const xargs: Look = (args) => {
  const parsed = parseOptions(args, XARGS);
  if (parsed === undefined) return asksAboutItself(args) ? NOTHING : OPTIONS_UNTOLD;
  const marks = ['-I', '--replace', '-i'].filter((name) => parsed.given.has(name));
  const mark = parsed.given.get(marks[0] ?? '')?.text ?? '{}';
  // A letter behind these would be their value.
  const isBundled = args.slice(0, args.length - parsed.rest.length).some(({ text }) => /^-[a-zA-Z0]*[eil]./.test(text));
  if (marks.length > 1 || isBundled) return OPTIONS_UNTOLD;
  const words = parsed.rest.map(replaced(marks.length === 0 ? '' : mark, unknown('')));
  const [name, ...rest] = words;
  if (name === undefined) return NOTHING;
  return { invocations: [invocationOf(name, marks.length === 0 ? [...rest, ANYTHING] : rest)] };
};

/** `flock FILE -c SCRIPT`, or a program with its words. */
export const flock: Look = (args, invocation) => {
  const parsed = parseOptions(args, FLOCK);
  const [option, script, ...more] = parsed?.rest ?? [];
  if (option?.isKnown === true && option.text.startsWith('-')) {
    if (!/^(?:-c|--command)$/.test(option.text) || script?.isKnown !== true || more.length > 0) return OPTIONS_UNTOLD;
    return { scripts: [{ text: script.text, shell: SOME_SHELL }] };
  }
  if (parsed?.given.has('-c') === true) return OPTIONS_UNTOLD;
  return wraps(FLOCK)(args, invocation);
};

const FLOCK: Options = {
  plain: 'sxenouFv',
  plainLong: ['shared', 'exclusive', 'nonblock', 'nb', 'unlock', 'close', 'no-fork', 'verbose'],
  valued: 'wE',
  valuedLong: ['timeout', 'wait', 'conflict-exit-code'],
  positional: 1,
};

export const watch: Look = (args) => {
  const parsed = parseOptions(args, {
    plain: 'bcCdegprtwx',
    valued: 'nq',
    plainLong: ['beep', 'color', 'differences', 'errexit', 'chgexit', 'precise', 'no-title', 'no-wrap', 'exec'],
    valuedLong: ['interval', 'equexit'],
  });
  if (parsed === undefined) return asksAboutItself(args) ? NOTHING : OPTIONS_UNTOLD;
  const [name, ...rest] = parsed.rest;
  const isExact = parsed.given.has('-x') || parsed.given.has('--exec');
  return isExact && name !== undefined ? { invocations: [invocationOf(name, rest)] } : joined(parsed.rest, SOME_SHELL);
};

/** Runs words in a shell on another machine: what rules forbid here is asked about there too. */
export const ssh: Look = (args, { input }) => {
  const parsed = parseOptions(args, { plain: '46AaCfGgKkMNnqsTtVvXxYy', valued: 'BbcDEeiJLlmOopQRSWw' });
  if (parsed === undefined) return asksAboutItself(args) ? NOTHING : OPTIONS_UNTOLD;
  if (hasHazardOfSsh(args.slice(0, args.length - parsed.rest.length))) return unreadable(RUNS_PROGRAMS);
  const [, ...words] = parsed.rest;
  // Options may also stand behind the name of the machine.
  if (words[0]?.text.startsWith('-') === true) return OPTIONS_UNTOLD;
  const isSilent = ['-N', '-V', '-G', '-O', '-Q'].some((option) => parsed.given.has(option));
  if (words.length === 0 && isSilent) return NOTHING;
  if (words.length === 0) return { ...fromInput(input, SOME_SHELL), isElsewhere: true };
  return { ...joined(words, SOME_SHELL), isElsewhere: true };
};

/** Copies over ssh. */
export const scp: Look = (args) => {
  if (isHazardous(args, { letters: 'FSD', valued: 'cilPXoJ' })) return unreadable(RUNS_PROGRAMS);
  return hasHazardOfSsh(args) ? unreadable(RUNS_PROGRAMS) : NOTHING;
};

function hasHazardOfSsh(args: readonly Text[]): boolean {
  return valuesOf(args, 'o', []).some(({ text, isKnown }) => !isKnown || !HARMLESS_OF_SSH.test(text));
}

/** Settings that run nothing. */
const HARMLESS_OF_SSH =
  /^(?:StrictHostKeyChecking|ConnectTimeout|BatchMode|UserKnownHostsFile|LogLevel|ServerAlive\w+|PasswordAuthentication|Port|User|IdentitiesOnly|ConnectionAttempts|PreferredAuthentications|TCPKeepAlive|Compression)[= ][^ ]*$/i;
