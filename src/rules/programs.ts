import { posix } from 'node:path';
import {
  A_SHELL,
  type Fed,
  type Inner,
  interprets,
  isSpecialVariable,
  joined,
  type Look,
  launches,
  NOTHING,
  RUNS_PROGRAMS,
  runsMinusC,
  shell,
  unless,
  unreadable,
  wraps,
} from './look.ts';
import {
  assigns,
  awk,
  changesNames,
  command,
  containers,
  find,
  git,
  NO_INVOCATION,
  packageRunners,
  reads,
  sed,
  trap,
  xargs,
} from './looks.ts';
import { type Options, parseOptions } from './options.ts';
import type { Text } from './words.ts';

/** What the program of an invocation runs in its turn. */
export function innerOf(invocation: Fed, cwd: string | undefined): Inner {
  const { name, args } = invocation;
  if (name === undefined) return {};
  if (!name.isKnown) return { unreadable: 'the name of the command is only known when it runs' };
  if (!/^[\x21-\x7e]+$/.test(name.text)) return { unreadable: 'the name of the command has unusual characters' };
  if (name.text.includes('/') && !isOfSystem(name.text, cwd))
    return { unreadable: `${name.text} is a program outside of the directories of the system` };
  const program = posix.basename(name.text).replace(/^-/, '');
  return KNOWN[program]?.(args, invocation) ?? byPattern(program, args);
}

/** Programs that a package put there: what they are is known. */
const SYSTEM = /^(?:\/usr(?:\/local)?)?\/s?bin\/[^/]+$|^\/(?:usr\/games|snap\/bin)\/[^/]+$/;

function isOfSystem(path: string, cwd: string | undefined): boolean {
  if (!path.startsWith('/') && cwd === undefined) return false;
  return SYSTEM.test(posix.resolve(cwd ?? '/', path));
}

const SUDO: Options = {
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
};

/** Of the programs that run others, or code. Others do what their name says. */
const KNOWN: Readonly<Record<string, Look>> = {
  __proto__: null as unknown as Look,
  sh: shell,
  bash: shell,
  dash: shell,
  ash: shell,
  rbash: shell,
  ksh: shell,
  mksh: shell,
  zsh: interprets,
  fish: interprets,
  csh: interprets,
  tcsh: interprets,
  env: wraps({
    plain: 'i0v',
    plainLong: ['ignore-environment', 'null', 'debug'],
    valued: 'uC',
    valuedLong: ['unset', 'chdir'],
    assigns: true,
  }),
  sudo: wraps(SUDO),
  doas: wraps({ plain: 'n', valued: 'uC' }),
  nohup: wraps({}),
  setsid: wraps({ plain: 'cfw', plainLong: ['ctty', 'fork', 'wait'] }),
  nice: wraps({ plain: '0123456789', valued: 'n', valuedLong: ['adjustment'] }),
  ionice: wraps({ plain: 't', valued: 'cnpPu', valuedLong: ['class', 'classdata', 'pid'] }),
  chrt: wraps({ plain: 'bfiorRamv', valued: 'TPD', positional: 1 }),
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
  flock: wraps({
    plain: 'sxenouFv',
    plainLong: ['shared', 'exclusive', 'nonblock', 'nb', 'unlock', 'close', 'no-fork', 'verbose'],
    valued: 'wE',
    valuedLong: ['timeout', 'wait', 'conflict-exit-code'],
    positional: 1,
  }),
  chroot: wraps({ valuedLong: ['userspec', 'groups'], plainLong: ['skip-chdir'], positional: 1 }, { alone: A_SHELL }),
  watch: (args) => {
    const parsed = parseOptions(args, {
      plain: 'bcCdegprtwx',
      valued: 'nq',
      plainLong: ['beep', 'color', 'differences', 'errexit', 'chgexit', 'precise', 'no-title', 'no-wrap', 'exec'],
      valuedLong: ['interval', 'equexit'],
    });
    return parsed === undefined ? unreadable('its options cannot be told') : joined(parsed.rest);
  },
  xargs,
  find,
  fd: unless(/^(?:-[a-zA-Z]*[xX]|--exec)/, RUNS_PROGRAMS),
  su: runsMinusC({
    plain: 'lmpPf',
    plainLong: ['login', 'preserve-environment'],
    valued: 'cgGsuw',
    valuedLong: ['command', 'session-command', 'group', 'shell', 'user'],
  }),
  runuser: runsMinusC({
    plain: 'lmpPf',
    plainLong: ['login'],
    valued: 'cgGsuw',
    valuedLong: ['command', 'user', 'group', 'shell'],
  }),
  script: runsMinusC({
    plain: 'aefqt',
    plainLong: ['append', 'return', 'quiet', 'flush'],
    valued: 'cOBIEmoT',
    valuedLong: ['command'],
  }),
  eval: (args) => joined(args.filter(({ text }, index) => index > 0 || text !== '--')),
  trap,
  source: reads,
  '.': reads,
  alias: (args) =>
    args.some(({ text, isKnown }) => !isKnown || text.includes('='))
      ? unreadable('an alias changes what commands mean')
      : NOTHING,
  hash: (args) =>
    args.length === 0 || args.every(({ text }) => text === '-r')
      ? NOTHING
      : unreadable('it may change what commands mean'),
  enable: changesNames,
  complete: changesNames,
  compgen: changesNames,
  bind: changesNames,
  fc: changesNames,
  coproc: changesNames,
  mapfile: unless(/^-[a-zA-Z]*C/, RUNS_PROGRAMS),
  readarray: unless(/^-[a-zA-Z]*C/, RUNS_PROGRAMS),
  declare: assigns,
  typeset: assigns,
  local: assigns,
  export: assigns,
  readonly: assigns,
  read: (args) =>
    args.some(({ text, isKnown }) => !isKnown || isSpecialVariable(text))
      ? unreadable('it may change what commands mean')
      : NOTHING,
  getopts: (args) =>
    args.some(({ text }) => isSpecialVariable(text)) ? unreadable('it may change what commands mean') : NOTHING,
  printf: (args) =>
    /^-v/.test(args[0]?.text ?? '') &&
    args.slice(0, 2).some(({ text, isKnown }) => !isKnown || isSpecialVariable(text.replace(/^-v/, '')))
      ? unreadable('it may change what commands mean')
      : NOTHING,
  sed,
  awk,
  gawk: awk,
  mawk: awk,
  nawk: awk,
  git,
  docker: containers,
  podman: containers,
  nerdctl: containers,
  kubectl: containers,
  'docker-compose': containers,
  npm: packageRunners,
  pnpm: packageRunners,
  yarn: packageRunners,
  tar: unless(/^(?:--(?:to-c|checkpoint-a|use-|rsh|rmt|info|new-v)|-[a-zA-Z]*[IF])/, RUNS_PROGRAMS),
  rsync: unless(/^(?:-[a-zA-Z]*e|--rsh|--rsync-path)/, RUNS_PROGRAMS),
  ssh: unless(/^-[a-zA-Z]*[oF]/, RUNS_PROGRAMS),
  scp: unless(/^-[a-zA-Z]*[oFS]/, RUNS_PROGRAMS),
  sftp: unless(/^-[a-zA-Z]*[oFS]/, RUNS_PROGRAMS),
  make: unless(/^(?:-[a-zA-Z]*[fE]|--(?:file|makefile|eval)|SHELL=)/, 'it runs what another file says'),
  apt: unless(/^(?:-[a-zA-Z]*[oc]|--option|--config)/, RUNS_PROGRAMS),
  'apt-get': unless(/^(?:-[a-zA-Z]*[oc]|--option|--config)/, RUNS_PROGRAMS),
  zip: unless(/^(?:-[a-zA-Z]*T|--unzip)/, RUNS_PROGRAMS),
  man: unless(/^(?:-[a-zA-Z]*[PH]|--pager|--html)/, RUNS_PROGRAMS),
  crontab: (args) =>
    args.every(({ text }) => /^-[lu]$/.test(text) || !text.startsWith('-')) && args.some(({ text }) => text === '-l')
      ? NOTHING
      : unreadable('it schedules commands that rules do not read'),
  split: unless(/^--f/, RUNS_PROGRAMS),
  sort: unless(/^--comp/, RUNS_PROGRAMS),
  ip: unless(/^(?:exec|-b|-batch)$/, RUNS_PROGRAMS),
  install: unless(/^--strip-p/, RUNS_PROGRAMS),
  bundle: unless(/^(?:exec|console)$/, RUNS_PROGRAMS),
  poetry: unless(/^(?:run|shell)$/, RUNS_PROGRAMS),
  pipenv: unless(/^(?:run|shell)$/, RUNS_PROGRAMS),
  uv: unless(/^(?:run|tool|x)$/, RUNS_PROGRAMS),
  cargo: unless(/^(?:run|r|test|t|bench)$/, RUNS_PROGRAMS),
  go: unless(/^(?:run|generate|test)$/, RUNS_PROGRAMS),
  hg: unless(/^--config/, RUNS_PROGRAMS),
  svn: unless(/-cmd|^--editor/, RUNS_PROGRAMS),
  mysql: unless(/\\!|^system |^-[a-zA-Z]*e.*\bsystem /, RUNS_PROGRAMS),
  mariadb: unless(/\\!|^system /, RUNS_PROGRAMS),
  psql: unless(/\\[!go|]|^-[a-zA-Z]*f|program/i, RUNS_PROGRAMS),
  sqlite3: unless(/^\s*\.|^-(?:cmd|init)/m, RUNS_PROGRAMS),
  dpkg: unless(/-invoke/, RUNS_PROGRAMS),
  systemctl: unless(/^edit$/, RUNS_PROGRAMS),
};

/** Programs that are there in several versions, and those that only start others. */
function byPattern(program: string, args: readonly Text[]): Inner {
  if (INTERPRETERS.test(program)) return interprets(args, NO_INVOCATION);
  return LAUNCHERS.test(program) ? launches(args, NO_INVOCATION) : NOTHING;
}

const INTERPRETERS =
  /^(?:python|pypy|perl|ruby|irb|node|nodejs|deno|bun|php|lua|luajit|tclsh|wish|expect|Rscript|R|ghci|runghc|erl|elixir|iex|groovy|scala|jshell|java|guile|racket|sbcl|clisp|ocaml|julia|pwsh|powershell|gdb|lldb|ed|ex|vi|vim|view|nvim|rvim|vimdiff|emacs|nano|pico|mc|m4|dc|bpftrace|stap)(?:[-.\d][\w.+-]*)?$/;

const LAUNCHERS =
  /^(?:parallel|sem|strace|ltrace|valgrind|perf|setpriv|prlimit|unshare|nsenter|systemd-run|systemd-nspawn|machinectl|run-parts|start-stop-daemon|capsh|pkexec|at|batch|screen|tmux|byobu|dtach|abduco|dbus-run-session|dbus-launch|fakeroot|proot|firejail|bwrap|ssh-agent|xvfb-run|unbuffer|rlwrap|socat|ncat|nc|netcat|cgexec|numactl|setarch|linux32|linux64|i386|x86_64|aa-exec|runcon|sg|newgrp|chpst|softlimit|daemonize|supervise|cpulimit|catchsegv|entr|inotifywait-run|npx|pnpx|bunx|uvx|pipx|corepack|lxc|lxc-attach|lxc-execute|incus|ld\.so|ld-linux.*|ld-musl.*|agent3|logsave|faketime|eatmydata|dumb-init|tini|gosu|su-exec|setuidgid|envdir|envuidgid|setlock|chronic|ifne|mispipe|annotate-output|torify|torsocks|tsocks|proxychains\d?|trickle|rr|hyperfine|daemon|openvt|startx|xinit|flatpak|snap|nix-shell|nix|guix|direnv|mise|asdf|rvm|nvm|conda|mamba|vagrant|multipass|buildah|crictl|ctr|tsp|nq|run0|systemd-cat|systemd-inhibit|systemd-socket-activate|ansible|pdsh|salt|salt-call|certbot|ssh-keygen|logrotate|tcpdump|crash|debugfs|ionotify|vipw|vigr|visudo|sudoedit|sensible-\w+|select-\w+|editor|pager|more|less|most|w3m|lynx|ftp|telnet|mail|mailx|mutt)$/;
