import { posix } from 'node:path';
import { type Options, parseOptions } from './options.ts';
import type { Invocation } from './rule.ts';
import { ANYTHING, type Text } from './words.ts';

/** What a program runs in its turn, as far as its words tell. */
export interface Inner {
  readonly invocations?: readonly Invocation[];
  /** Text that a shell runs. */
  readonly scripts?: readonly string[];
  /** Why rules cannot tell what it does. */
  readonly unreadable?: string;
}

/** An invocation, with what a here-document or a here-string gives it to read. */
export interface Fed extends Invocation {
  readonly input: Text | undefined;
}

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

type Look = (args: readonly Text[], invocation: Fed) => Inner;

const NOTHING: Inner = {};
const unreadable = (reason: string): Inner => ({ unreadable: reason });

/** What words a program is only asked about itself with. */
const ASKS = /^(?:--?version|-v|-V|--?help|-h)$/;

function asksAboutItself(args: readonly Text[]): boolean {
  return args.length > 0 && args.every(({ text, isKnown }) => isKnown && ASKS.test(text));
}

/** A program whose arguments are a program of another language. */
const interprets: Look = (args) =>
  asksAboutItself(args) ? NOTHING : unreadable('it runs a program that rules cannot read');

/** Starts other programs, in ways that its words do not plainly tell. */
const launches: Look = (args) =>
  asksAboutItself(args) ? NOTHING : unreadable('it runs other programs in its own way');

/** A program that runs the rest of its words. */
function wraps(
  options: Options,
  more: { readonly alone?: Inner; readonly when?: (has: Has) => Inner | undefined } = {},
): Look {
  return (args) => {
    const parsed = parseOptions(args, options);
    if (parsed === undefined) return asksAboutItself(args) ? NOTHING : unreadable('its options cannot be told');
    const special = parsed.assignments.find(({ text }) => isSpecialVariable(text.slice(0, text.indexOf('='))));
    if (special !== undefined) return unreadable(`${special.text.split('=')[0]} changes what commands mean`);
    const otherwise = more.when?.((name) => parsed.given.has(name));
    if (otherwise !== undefined) return otherwise;
    const [name, ...rest] = parsed.rest;
    if (name === undefined) return more.alone ?? NOTHING;
    return { invocations: [{ name: name.maySplit ? ANYTHING : name, args: rest, writes: [] }] };
  };
}
type Has = (name: string) => boolean;

const A_SHELL = unreadable('it opens a shell');

/** A shell that speaks the language of the parser. */
const shell: Look = (args, { input }) => {
  if (asksAboutItself(args)) return NOTHING;
  let isCommand = false;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined || !arg.isKnown || arg.maySplit) return unreadable('what the shell runs is only known then');
    const { text } = arg;
    if (/^[-+][oO]$/.test(text)) index++;
    else if (/^--(?:login|norc|noprofile|posix|noediting|verbose)$/.test(text)) continue;
    else if (/^-[a-zA-Z]*c[a-zA-Z]*$/.test(text)) isCommand = true;
    else if (/^[-+][abefhklmnptuvxBCEHPT]+$/.test(text)) continue;
    else if (/^-/.test(text) && text !== '--' && text !== '-') return unreadable('its options cannot be told');
    else if (text === '--' || text === '-') {
      const next = args[index + 1];
      if (isCommand && next?.isKnown === true) return { scripts: [next.text] };
      return next === undefined ? fromInput(input) : A_SCRIPT;
    } else return isCommand ? { scripts: [text] } : A_SCRIPT;
  }
  return isCommand ? unreadable('what the shell runs is only known then') : fromInput(input);
};

const A_SCRIPT = unreadable('it runs a script, which rules do not read');

function fromInput(input: Text | undefined): Inner {
  return input?.isKnown === true ? { scripts: [input.text] } : unreadable('a shell runs what it reads');
}

/** The value of `-c` is a script for a shell; without one there is a shell for whoever has the input. */
const runsMinusC =
  (options: Options): Look =>
  (args) => {
    const parsed = parseOptions(args, options);
    const script = parsed?.given.get('-c') ?? parsed?.given.get('--command');
    if (script?.isKnown === true) return { scripts: [script.text] };
    return asksAboutItself(args) ? NOTHING : A_SHELL;
  };

function joined(args: readonly Text[]): Inner {
  if (args.some(({ isKnown }) => !isKnown)) return unreadable('what it runs is only known then');
  return { scripts: [args.map(({ text }) => text).join(' ')] };
}

const find: Look = (args) => {
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
function replaced(mark: string): (word: Text) => Text {
  return (word) =>
    word.isKnown && word.text.includes(mark)
      ? { text: word.text.slice(0, word.text.indexOf(mark)), isKnown: false, maySplit: false }
      : word;
}

const XARGS: Options = {
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

const xargs: Look = (args) => {
  const parsed = parseOptions(args, XARGS);
  if (parsed === undefined) return unreadable('its options cannot be told');
  const mark = parsed.given.get('-I') ?? parsed.given.get('--replace');
  const words = parsed.rest.map(replaced(mark?.text ?? '{}'));
  const [name, ...rest] = words;
  if (name === undefined) return NOTHING;
  return { invocations: [{ name, args: [...rest, ANYTHING], writes: [] }] };
};

/** Unreadable when one of its words says so. */
function unless(pattern: RegExp, reason: string): Look {
  return (args) => {
    const isTold = args.some(({ text }) => pattern.test(text));
    return isTold ? unreadable(reason) : NOTHING;
  };
}

const RUNS_PROGRAMS = 'one of its options runs another program';

/** Variables of which another value changes what commands mean, or runs some. */
export function isSpecialVariable(name: string): boolean {
  return /^(?:PATH|IFS|ENV|BASH_ENV|BASH_FUNC_.*|BASH_CMDS|BASH_ALIASES|SHELL|SHELLOPTS|BASHOPTS|PS[0-4]|PROMPT_COMMAND|CDPATH|EXECIGNORE|GLOBIGNORE|LD_.*|PYTHON.*|PERL5?.*|RUBY.*|NODE_.*|BUN_.*|GIT_.*|.*PAGER|EDITOR|VISUAL|FCEDIT|LESS.*|MAKEFLAGS|SUDO_ASKPASS|SSH_ASKPASS|TAR_OPTIONS|GCONV_PATH|AWK.*|BROWSER)$/.test(
    name,
  );
}

/** A builtin that gives variables new values. */
const assigns: Look = (args) => {
  const special = args.find(
    ({ text, isKnown }) => isSpecialVariable(text.split('=')[0] ?? '') || (!isKnown && !text.includes('=')),
  );
  if (special !== undefined) return unreadable('it may change what commands mean');
  return args.some(({ text }) => /^[-+][a-zA-Z]*n/.test(text))
    ? unreadable('it may change what commands mean')
    : NOTHING;
};

const trap: Look = (args) => {
  const [first] = args.filter(({ text }) => text !== '--');
  if (first === undefined || /^(?:-[lp]?|)$/.test(first.text))
    return first?.isKnown === false ? joined([first]) : NOTHING;
  return joined([first]);
};

const changesNames: Look = () => unreadable('it may change what commands mean');
const reads: Look = () => A_SCRIPT;

const command: Look = (args, invocation) => {
  if (/^-p?[vV]/.test(args[0]?.text ?? '')) return NOTHING;
  return wraps({ plain: 'p' })(args, invocation);
};

const sed: Look = (args) =>
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

const awk: Look = (args) =>
  args.some(({ text, isKnown }, index) => {
    if (/^(?:-[fEeil]|--(?:file|exec|source|include|load))/.test(text)) return true;
    const isFirst = index === args.findIndex((arg) => !arg.text.startsWith('-') || !arg.isKnown);
    if (isFirst && !isKnown) return true;
    return /system|getline|\||@|close\s*\(/.test(text.replace(/\|\|/g, ''));
  })
    ? unreadable('its program may run other programs')
    : NOTHING;

const UNKNOWN = '‹unknown›';

const git: Look = (args) => {
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

const containers: Look = (args) => {
  const isInside = args.some(
    ({ text, isKnown }) => !isKnown || /^(?:run|exec|create|start|attach|cp|build|up|debug)$/.test(text),
  );
  return isInside ? unreadable('it runs programs in a container') : NOTHING;
};

const packageRunners: Look = (args) =>
  /^(?:exec|x|dlx|explore|npx)$/.test(args[0]?.text ?? '') || args[0]?.isKnown === false
    ? launches(args, NO_INVOCATION)
    : NOTHING;
const NO_INVOCATION: Fed = { name: undefined, args: [], writes: [], input: undefined };

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
  systemctl: unless(/^edit$/, RUNS_PROGRAMS),
};

/** Programs that are there in several versions, and those that only start others. */
function byPattern(program: string, args: readonly Text[]): Inner {
  if (INTERPRETERS.test(program)) return interprets(args, NO_INVOCATION);
  return LAUNCHERS.test(program) ? launches(args, NO_INVOCATION) : NOTHING;
}

const INTERPRETERS =
  /^(?:python|pypy|perl|ruby|irb|node|nodejs|deno|bun|php|lua|luajit|tclsh|wish|expect|Rscript|R|ghci|runghc|erl|elixir|iex|groovy|scala|jshell|java|guile|racket|sbcl|clisp|ocaml|julia|pwsh|powershell|gdb|lldb|ed|ex|vi|vim|view|nvim|rvim|vimdiff|emacs|nano|pico|mc|m4|dc|bpftrace|stap|jq-repl)[-.\d]*(?:\.\w+)?$/;

const LAUNCHERS =
  /^(?:parallel|sem|strace|ltrace|valgrind|perf|setpriv|prlimit|unshare|nsenter|systemd-run|systemd-nspawn|machinectl|run-parts|start-stop-daemon|capsh|pkexec|at|batch|screen|tmux|byobu|dtach|abduco|dbus-run-session|dbus-launch|fakeroot|proot|firejail|bwrap|ssh-agent|xvfb-run|unbuffer|rlwrap|socat|ncat|nc|netcat|cgexec|numactl|setarch|linux32|linux64|i386|x86_64|aa-exec|runcon|sg|newgrp|chpst|softlimit|daemonize|supervise|cpulimit|catchsegv|entr|inotifywait-run|npx|pnpx|bunx|uvx|pipx|corepack|lxc|lxc-attach|lxc-execute|incus|ld\.so|ld-linux.*|ld-musl.*|agent3|expect_unbuffer|look|logsave|tcpdump|crash|debugfs|ionotify|vipw|vigr|visudo|sudoedit|sensible-editor|sensible-pager|select-editor|editor|pager|more|less|most|w3m|lynx|ftp|telnet|mail|mailx|mutt)$/;
