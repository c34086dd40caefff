import { divide, hasOption, type Valued, valuesOf } from './options.ts';
import { A_SHELL, type Inner, type Invocation, type Look, named } from './parse.ts';
import { ANYTHING, isNoOption, known, type Text, unknown } from './words.ts';

/** How a program names what it runs: after its options, and so many words. */
export interface Wrapper extends Valued {
  readonly words?: number;
  /** `NAME=value` may come before the command. */
  readonly assigns?: boolean;
  /** Options with which it runs in another directory or machine. */
  readonly moves?: readonly string[];
  /** Options with which paths mean something else. */
  readonly roots?: readonly string[];
  /** Options with which it opens a shell, or reads words in its own way. */
  readonly shells?: readonly string[];
  /** What it does without a command. */
  readonly alone?: Inner;
  /** Whether it joins all its words to one text for a shell. */
  readonly joins?: boolean;
}

export const WRAPPERS: Readonly<Record<string, Wrapper | undefined>> = {
  __proto__: null as unknown as Wrapper,
  sudo: {
    letters: 'CDghpRrtTuU',
    long: [
      ...['user', 'group', 'host', 'prompt', 'chdir', 'chroot', 'close-from', 'role', 'type', 'other-user'],
      'command-timeout',
    ],
    assigns: true,
    moves: ['-D', '--chdir'],
    roots: ['-R', '--chroot'],
    shells: ['-i', '-s', '--login', '--shell', '-e', '--edit'],
  },
  doas: { letters: 'uC', shells: ['-s'] },
  env: {
    letters: 'uCSa',
    long: ['unset', 'chdir', 'split-string', 'argv0'],
    assigns: true,
    moves: ['-C', '--chdir'],
    shells: ['-S', '--split-string'],
  },
  nohup: {},
  setsid: {},
  nice: { letters: 'n', long: ['adjustment'] },
  ionice: { letters: 'cnpPu', long: ['class', 'classdata', 'pid', 'pgid', 'uid'] },
  chrt: { letters: 'TPDp', words: 1 },
  choom: { letters: 'np', long: ['adjust', 'pid'] },
  taskset: { words: 1 },
  timeout: { letters: 'ks', long: ['kill-after', 'signal'], words: 1 },
  stdbuf: { letters: 'ioe', long: ['input', 'output', 'error'] },
  time: { letters: 'of', long: ['output', 'format'] },
  builtin: {},
  exec: { letters: 'a' },
  busybox: {},
  toybox: {},
  chronic: {},
  eatmydata: {},
  fakeroot: { letters: 'lsibu' },
  strace: { letters: 'abeEIopPsSuUX' },
  ltrace: { letters: 'aeDAlnopsSuwx' },
  unshare: { letters: 'SGRw', alone: A_SHELL, moves: ['-w', '--wd'], roots: ['-R', '--root'] },
  nsenter: { letters: 'tSG', alone: A_SHELL, roots: ['-t', '--target'] },
  'systemd-run': {
    letters: 'pEHMCu',
    long: [
      ...[
        'unit',
        'property',
        'description',
        'slice',
        'setenv',
        'uid',
        'gid',
        'nice',
        'working-directory',
        'service-type',
      ],
      ...['on-active', 'on-boot', 'on-calendar', 'timer-property', 'host', 'machine', 'capsule'],
    ],
    shells: ['-S', '--shell', '-H', '--host', '-M', '--machine'],
    moves: ['--working-directory'],
  },
  'systemd-inhibit': { long: ['what', 'who', 'why', 'mode'] },
  sshpass: { letters: 'fdpP' },
  gosu: { words: 1 },
  'su-exec': { words: 1 },
  chroot: { long: ['userspec', 'groups'], words: 1, alone: A_SHELL, roots: ['always'] },
  watch: { letters: 'nq', long: ['interval', 'equexit'], joins: true },
  ssh: { letters: 'BbcDEeFIiJLlmOoPpQRSWw', words: 1, joins: true, moves: ['always'] },
};

const XARGS: Valued = {
  letters: 'adEILnPs',
  long: ['arg-file', 'delimiter', 'max-args', 'max-procs', 'max-chars', 'process-slot-var'],
};

export const xargs: Look = (args, { found }) => {
  const given = divide(args, XARGS, true);
  const [name, ...rest] = given.operands;
  if (name === undefined) return {};
  const isReplaced = hasOption(given, '-I', '--replace', '-i');
  const mark = valuesOf(given, '-I', '--replace')[0]?.text ?? '{}';
  // `-ir` replaces each `r`: the letters after these are their value.
  const isBundled = args.slice(0, args.length - rest.length - 1).some(({ text }) => /^-[a-zA-Z0]*i./.test(text));
  const isUncertain = isBundled || !given.isCertain || given.values.some(([, { maySplit }]) => maySplit);
  const read =
    hasOption(given, '-0', '--null') && !hasOption(given, '-a', '--arg-file') ? (found ?? ANYTHING) : ANYTHING;
  const words = isReplaced ? given.operands.map(replaced(mark, read)) : given.operands;
  const [first = ANYTHING, ...others] = words;
  const more = { ...read, maySplit: true };
  const invocation = { name: isUncertain ? ANYTHING : named(first), args: isReplaced ? others : [...others, more] };
  return { invocations: [invocation] };
};

/** A word in which a program inserts something that it has found. */
function replaced(mark: string, found: Text): (word: Text) => Text {
  return (word) => {
    if (mark === '' || !word.text.includes(mark) || !word.isKnown) return word;
    const before = word.text.slice(0, word.text.indexOf(mark));
    return before === '' ? { ...found, end: '' } : { ...unknown(before), isBeneath: false };
  };
}

/**
 * What find(1) finds, which is below the directories it begins in; a name among these that begins with a dash is an
 * option.
 */
export function foundBy(args: readonly Text[]): Text {
  if (args.some(({ text }) => /^--$|^-files0|^-D/.test(text))) return unknown('');
  const words = args.slice(
    Math.max(
      0,
      args.findIndex(({ text }) => !/^-(?:[HLP]|O\d)$/.test(text)),
    ),
  );
  const first = words.findIndex(({ text }) => /^[-(!]/.test(text));
  const [start = known('.'), ...others] = words.slice(0, first === -1 ? words.length : first);
  const isCertain = start.isKnown && others.length === 0;
  const text = !isCertain ? '' : start.text === '.' ? './' : start.text;
  return { ...unknown(text), isBeneath: isCertain, isOperand: true };
}

/** The command after `-exec` runs with the names that are found. */
export const find: Look = (args) => {
  const found = foundBy(args);
  const invocations: Invocation[] = [];
  let isElsewhere = false;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg?.isKnown !== true || !/^-(?:exec|ok)(?:dir)?$/.test(arg.text)) continue;
    isElsewhere ||= arg.text.endsWith('dir');
    const end = endOf(args, index + 1);
    const words = args.slice(index + 1, end);
    const [name, ...rest] = words.map(
      replaced('{}', arg.text.endsWith('dir') ? { ...unknown('./'), isBeneath: true } : found),
    );
    if (name !== undefined) invocations.push({ name: named(name), args: rest });
    index = end;
  }
  // Unknown words may begin an expression that later words end.
  const isOpen =
    args.some(({ isKnown, maySplit }) => !isKnown && maySplit) || args.some((arg) => !arg.isKnown && !isNoOption(arg));
  return { invocations, isElsewhere, ...(isOpen ? { runs: /^/ } : {}) };
};

/** A `;`, or a `+` after the name of what was found. */
function endOf(args: readonly Text[], from: number): number {
  for (let at = from; at < args.length; at++) {
    const text = args[at]?.isKnown === true ? args[at]?.text : undefined;
    if (text === ';' || (text === '+' && args[at - 1]?.text === '{}')) return at;
  }
  return args.length;
}
