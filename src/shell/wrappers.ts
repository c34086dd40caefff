import { A_SHELL, type Inner } from './invocation.ts';
import type { Valued } from './options.ts';

/** How a program says what it runs: behind its options, and so many words. */
export interface Wrapper extends Valued {
  readonly words?: number;
  /** `NAME=value` may come before the command. */
  readonly assigns?: boolean;
  /** Options with which it runs in another place. */
  readonly moves?: readonly string[];
  /** Options with which paths mean something else. */
  readonly roots?: readonly string[];
  /** Options with which it opens a shell, or reads words in a way of its own. */
  readonly shells?: readonly string[];
  /** What it does without a command. */
  readonly alone?: Inner;
  /** It makes one text for a shell of all its words. */
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
