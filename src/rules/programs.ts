import { posix } from 'node:path';
import { awk } from './awk.ts';
import {
  alias,
  assigns,
  changesNames,
  command,
  enable,
  hash,
  jobs,
  letLook,
  mapfile,
  names,
  printf,
  set,
  shopt,
  trap,
  unset,
} from './builtins.ts';
import { git } from './git.ts';
import { byPattern } from './launchers.ts';
import { A_SCRIPT, A_SHELL, type Fed, type Inner, isPlainly, joined, type Look, NOTHING, unreadable } from './look.ts';
import { sed } from './sed.ts';
import { runsMinusC, shell } from './shells.ts';
import { TOOLS } from './tools.ts';
import { find, flock, scp, ssh, watch, wraps, xargs } from './wrappers.ts';

/** What the program of an invocation runs in its turn. */
export function innerOf(invocation: Fed): Inner {
  const { name, args } = invocation;
  if (name === undefined) return {};
  if (!name.isKnown) return { unreadable: 'the name of the command is only known when it runs' };
  if (!/^[\x21-\x7e]+$/.test(name.text)) return { unreadable: 'the name of the command has unusual characters' };
  const program = posix.basename(name.text).replace(/^-/, '');
  const look = KNOWN[program] ?? TOOLS[program] ?? byPattern(program);
  return look?.(args, invocation) ?? NOTHING;
}

const reads: Look = () => A_SCRIPT;

const SU = {
  plain: 'lmpPf',
  plainLong: ['login', 'preserve-environment', 'pty'],
  valued: 'cgGsuwC',
  valuedLong: ['command', 'session-command', 'group', 'supp-group', 'shell', 'user'],
};

/** Of the programs that run others, or code. Others do what their name says. */
const KNOWN: Readonly<Record<string, Look | undefined>> = {
  __proto__: null as unknown as Look,
  sh: shell('sh'),
  bash: shell('bash'),
  rbash: shell('bash'),
  'bash-static': shell('bash'),
  dash: shell('dash'),
  ash: shell('ash'),
  hush: shell('ash'),
  'static-sh': shell('sh'),
  env: wraps(
    {
      plain: 'i0v-',
      plainLong: ['ignore-environment', 'null', 'debug'],
      valued: 'uC',
      valuedLong: ['unset', 'chdir'],
      assigns: true,
    },
    { moves: ['-C', '--chdir'] },
  ),
  sudo: wraps(
    {
      plain: 'AbEHkKnPBSNlv',
      plainLong: [
        'non-interactive',
        'stdin',
        'preserve-env',
        'set-home',
        'background',
        'list',
        'validate',
        'reset-timestamp',
      ],
      valued: 'CDghpRrtTuU',
      valuedLong: [
        'user',
        'group',
        'host',
        'prompt',
        'chdir',
        'chroot',
        'close-from',
        'role',
        'type',
        'other-user',
        'command-timeout',
      ],
      assigns: true,
    },
    { moves: ['-D', '--chdir'], roots: ['-R', '--chroot'] },
  ),
  doas: wraps({ plain: 'n', valued: 'uC' }),
  nohup: wraps({}),
  setsid: wraps({ plain: 'cfw', plainLong: ['ctty', 'fork', 'wait'] }),
  nice: wraps({ plain: '0123456789', valued: 'n', valuedLong: ['adjustment'] }),
  ionice: wraps({ plain: 't', valued: 'cnpPu', valuedLong: ['class', 'classdata', 'pid'] }),
  chrt: wraps({ plain: 'bfiorRamv', valued: 'TPD', positional: 1 }),
  choom: wraps({ valued: 'np', valuedLong: ['adjust', 'pid'] }),
  taskset: wraps({ plain: 'acp', positional: 1 }),
  timeout: wraps({
    plain: 'fpv',
    plainLong: ['foreground', 'preserve-status', 'verbose'],
    valued: 'ks',
    valuedLong: ['kill-after', 'signal'],
    positional: 1,
  }),
  stdbuf: wraps({ valued: 'ioe', valuedLong: ['input', 'output', 'error'] }),
  time: wraps({
    plain: 'pvaq',
    valued: 'of',
    plainLong: ['portability', 'verbose', 'append', 'quiet'],
    valuedLong: ['output', 'format'],
  }),
  command,
  builtin: wraps({}),
  exec: wraps({ plain: 'cl', valued: 'a' }),
  busybox: wraps({ plainLong: ['list', 'list-full', 'help'] }),
  toybox: wraps({ plainLong: ['long', 'help', 'version'] }),
  flock,
  chroot: wraps(
    { valuedLong: ['userspec', 'groups'], plainLong: ['skip-chdir'], positional: 1 },
    { alone: A_SHELL, moves: ['always'], roots: ['always'] },
  ),
  watch,
  xargs,
  find,
  ssh,
  scp,
  sftp: scp,
  su: runsMinusC(SU, true),
  runuser: (args, invocation) => {
    const hasUser = args[0]?.isKnown === true && /^(?:-u|--user)/.test(args[0].text);
    return hasUser
      ? wraps({ valued: 'uggG', valuedLong: ['user', 'group', 'supp-group'] })(args, invocation)
      : runsMinusC(SU, true)(args, invocation);
  },
  script: runsMinusC(
    {
      plain: 'aefqt',
      plainLong: ['append', 'return', 'quiet', 'flush'],
      valued: 'cOBIEmoT',
      valuedLong: ['command'],
    },
    false,
  ),
  eval: (args) => joined(args.filter(({ text }, index) => index > 0 || text !== '--')),
  trap,
  source: reads,
  '.': reads,
  alias,
  hash,
  enable,
  complete: changesNames,
  compgen: changesNames,
  bind: changesNames,
  fc: changesNames,
  coproc: changesNames,
  mapfile,
  readarray: mapfile,
  declare: assigns,
  typeset: assigns,
  local: assigns,
  export: assigns,
  readonly: assigns,
  read: names,
  getopts: (args, invocation) => names(args.slice(1, 2), invocation),
  wait: (args, invocation) => (args.some(({ text }) => text.startsWith('-p')) ? names(args, invocation) : NOTHING),
  unset,
  let: letLook,
  set,
  shopt,
  jobs,
  printf,
  sed,
  awk,
  gawk: awk,
  mawk: awk,
  nawk: awk,
  'original-awk': awk,
  git,
  crontab: (args) =>
    isPlainly(/^(?:-l|-u \w[\w-]*|-l -u \w[\w-]*|-u \w[\w-]* -l)$/, args) && args.some(({ text }) => text === '-l')
      ? NOTHING
      : unreadable('it schedules commands that rules do not read'),
};
