import { posix } from 'node:path';
import { divide, hasOption, type Valued, valuesOf } from './options.ts';
import { A_SCRIPT, A_SHELL, CHANGES_NAMES, type Inner, type Invocation, type Look, named } from './parse.ts';
import { isSpecialVariable } from './variables.ts';
import { isNoOption, type Text } from './words.ts';
import { find, WRAPPERS, type Wrapper, xargs } from './wrappers.ts';

/** Returns what the program of an invocation runs. */
export function innerOf(invocation: Invocation): Inner {
  const { name, args } = invocation;
  if (name === undefined) return {};
  if (!name.isKnown) return { unreadable: 'the name of the command is only known when it runs' };
  if (!/^[\x21-\x7e]+$/.test(name.text)) return { unreadable: 'the name of the command has unusual characters' };
  const program = posix.basename(name.text).replace(/^-/, '');
  const asked = args.length === 1 && args[0]?.isKnown === true ? args[0].text : '';
  if (/^--(?:version|help)$/.test(asked)) return {};
  const wrapper = WRAPPERS[program];
  if (wrapper !== undefined) return wrapped(args, wrapper, invocation);
  const look = LOOKS[program];
  if (look !== undefined) return look(args, invocation);
  const runner = runnerFor(program);
  if (runner?.behind.test(args.map(({ text }) => text).join(' ')) !== true) return {};
  return { runs: runner.behind, runsWords: runner.runsWords };
}

/** The shell of a user, or the one that a program starts: what all shells read alike. */
const SOME_SHELL = 'sh';

function wrapped(args: readonly Text[], wrapper: Wrapper, invocation: Invocation): Inner {
  const given = divide(args, wrapper, true);
  const has = (names: readonly string[] = []): boolean => names.includes('always') || hasOption(given, ...names);
  if (has(wrapper.shells)) return A_SHELL;
  const { operands } = given;
  let at = 0;
  while (wrapper.assigns === true && /^(?:-$|[A-Za-z_]\w*=)/.test(operands[at]?.text ?? '')) {
    const name = operands[at++]?.text.split('=')[0] ?? '';
    if (isSpecialVariable(name)) return { unreadable: `${name} changes what commands mean` };
  }
  // sudo also takes options after these.
  if (at > 0 && /^-./.test(operands[at]?.text ?? '')) return wrapped(operands.slice(at), wrapper, invocation);
  const unset = valuesOf(given, '-u', '--unset').some(({ text }) => isSpecialVariable(text));
  if (wrapper.assigns === true && unset) return CHANGES_NAMES;
  const skipped = operands.slice(at, at + (wrapper.words ?? 0));
  const values = given.values.map(([, value]) => value);
  // A word that may be several words, or an option, may hide which word is the command.
  const isSsh = wrapper.words === 1 && wrapper.joins === true;
  const isUncertain =
    !given.isCertain ||
    [...operands.slice(0, at), ...skipped, ...values].some(({ maySplit }) => maySplit) ||
    (!isSsh && skipped.some((word) => !word.isKnown && !isNoOption(word)));
  const rest = behindHost(operands.slice(at + skipped.length), wrapper, isSsh);
  const more: Inner = {
    isElsewhere: has(wrapper.moves) || has(wrapper.roots),
    ...(isSsh ? { runs: /(?:^| )-\S*o/ } : {}),
    ...(has(wrapper.roots) ? { unreadable: 'paths mean something else there' } : {}),
  };
  if (isUncertain) return { ...more, unreadable: 'which of its words is the command is only known when it runs' };
  const [name, ...words] = rest;
  if (name === undefined) {
    if (!isSsh) return { ...more, ...wrapper.alone };
    const { input, isFed = false } = invocation;
    return input === undefined && !isFed ? more : { ...more, ...fromInput(input, SOME_SHELL) };
  }
  const isExact = wrapper.joins !== true || (!isSsh && hasOption(given, '-x', '--exec'));
  if (!isExact) return { ...more, ...joined(rest, SOME_SHELL) };
  return { ...more, invocations: [{ name: named(name), args: words, input: invocation.input }] };
}

/** ssh also takes options after its host. */
function behindHost(rest: readonly Text[], wrapper: Wrapper, isSsh: boolean): readonly Text[] {
  return isSsh && rest[0]?.text.startsWith('-') === true ? divide(rest, wrapper, true).operands : rest;
}

/** A shell that runs all of its words together. */
function joined(args: readonly Text[], shell?: string): Inner {
  if (args.some(({ isKnown }) => !isKnown)) return { unreadable: 'what it runs is only known then', joins: args };
  const text = args.map((arg) => arg.text).join(' ');
  return { scripts: [shell === undefined ? { text } : { text, shell }] };
}

function fromInput(input: Text | undefined, name: string): Inner {
  if (input?.isKnown !== true) return { unreadable: 'a shell runs what it reads' };
  return { scripts: [{ text: input.text, shell: name }] };
}

/** A shell by its name, with the language of its scripts. */
function shell(name: string): Look {
  return (args, { input }) => {
    let isCommand = false;
    let isInteractive = false;
    for (let index = 0; index < args.length; index++) {
      const arg = args[index];
      if (arg?.isKnown !== true)
        return { unreadable: 'what the shell runs is only known then', joins: arg === undefined ? [] : [arg] };
      const { text } = arg;
      if (/^[-+][oO]$/.test(text)) {
        if (!/^[a-z_]+$/.test(args[++index]?.text ?? '') || CHANGING.test(args[index]?.text ?? ''))
          return CHANGES_NAMES;
      } else if (/^[-+][a-zA-Z]/.test(text)) {
        // Others change what words mean, or take a value.
        if (!/^[-+][abcefilmnprstuvxBCEPT]+$/.test(text)) return A_SHELL;
        isCommand ||= text.includes('c');
        isInteractive ||= text.includes('i');
      } else if (/^--(?:norc|noprofile|noediting|verbose|login)$/.test(text)) continue;
      else if (/^--./.test(text)) return A_SHELL;
      else if (!/^--?$/.test(text)) {
        const script = { scripts: [{ text, shell: name }] };
        return !isCommand ? A_SCRIPT : isInteractive ? { ...script, ...CHANGES_NAMES } : script;
      }
    }
    return fromInput(input, name);
  };
}

/** Settings of a shell with which words mean something else. */
const CHANGING = /^(?:posix|history|histexpand|keyword|expand_aliases|autocd|cdable_vars|progcomp_alias)$/;

/** The value of `-c` is a script; without one, it starts a shell. */
function minusC(valued: Valued): Look {
  return (args) => {
    const [script, ...more] = valuesOf(divide(args, valued), '-c', '--command', '--session-command');
    if (script?.isKnown !== true || more.length > 0)
      return script === undefined ? A_SHELL : { ...A_SHELL, joins: [script] };
    return { scripts: [{ text: script.text, shell: SOME_SHELL }], isElsewhere: true };
  };
}

const SU: Valued = {
  letters: 'cgGsuwCT',
  long: ['command', 'session-command', 'group', 'supp-group', 'shell', 'user', 'whitelist-environment'],
};

/** `flock FILE -c SCRIPT`, or a program with its words. */
const flock: Look = (args, { input }) => {
  const given = divide(args, { letters: 'wEc', long: ['timeout', 'wait', 'conflict-exit-code', 'command'] }, true);
  const [file, name, ...rest] = given.operands;
  const isScript = name?.isKnown === true && /^(?:-c|--command)$/.test(name.text);
  const script = isScript ? rest[0] : valuesOf(given, '-c', '--command')[0];
  if (script !== undefined) return joined([script], SOME_SHELL);
  if (file?.maySplit === true) return { unreadable: 'which of its words is the command is only known when it runs' };
  return name === undefined ? {} : { invocations: [{ name: named(name), args: rest, input }] };
};

const command: Look = (args, invocation) => (/^-p?[vV]/.test(args[0]?.text ?? '') ? {} : wrapped(args, {}, invocation));

const trap: Look = (args) => {
  const [first, ...rest] = args[0]?.isKnown === true && args[0].text === '--' ? args.slice(1) : args;
  return first === undefined || rest.length === 0 || /^-[lp]?$/.test(first.text) ? {} : joined([first]);
};

/** The text of an alias is run with the words after it. */
const alias: Look = (args) => {
  const given = args.filter(({ text, isKnown }) => !isKnown || text.includes('='));
  if (given.some(({ isKnown }) => !isKnown)) return CHANGES_NAMES;
  return { scripts: given.map(({ text }) => ({ text: `${text.slice(text.indexOf('=') + 1)} $@` })) };
};

/** Unreadable when one of the words matches. */
function when(pattern: RegExp): Look {
  return (args) => (args.some(({ text }) => pattern.test(text)) ? CHANGES_NAMES : {});
}

const crontab: Look = (args) =>
  args.some(({ text }) => /^-[a-z]*[lr]/.test(text))
    ? {}
    : { unreadable: 'it schedules commands that rules do not read' };
/** Without a command of its own, it runs what it reads. */
const parallel: Look = (args) =>
  divide(args, { letters: 'jPNnLIaSCd', long: ['jobs', 'arg-file', 'max-args'] }, true).operands.length === 0
    ? { unreadable: 'a shell runs what it reads' }
    : { runs: /^/, runsWords: true };
const schedules: Look = () => ({ unreadable: 'it schedules commands that rules do not read' });

/** Programs and builtins that run others in a readable way, or that change what commands mean. */
const LOOKS: Readonly<Record<string, Look | undefined>> = {
  __proto__: null as unknown as Look,
  sh: shell('sh'),
  bash: shell('bash'),
  rbash: shell('bash'),
  dash: shell('dash'),
  ash: shell('ash'),
  hush: shell('ash'),
  ...Object.fromEntries(
    ['zsh', 'ksh', 'mksh', 'fish', 'csh', 'tcsh', 'yash'].map((name): [string, Look] => [name, shell(name)]),
  ),
  find,
  xargs,
  flock,
  command,
  su: minusC(SU),
  runuser: (args, invocation) =>
    /^(?:-u|--user)/.test(args[0]?.text ?? '')
      ? wrapped(args, { ...SU, words: 0 }, invocation)
      : minusC(SU)(args, invocation),
  script: (args, invocation) => ({
    ...minusC({ letters: 'cOBIEmoT', long: ['command'] })(args, invocation),
    isElsewhere: false,
  }),
  eval: (args) => joined(args.filter(({ text }, index) => index > 0 || text !== '--')),
  source: () => A_SCRIPT,
  '.': () => A_SCRIPT,
  trap,
  alias,
  hash: when(/^-[a-z]*p/),
  enable: when(/./),
  set: when(/^[-+][a-zA-Z]*[kH]|^(?:posix|history|histexpand|keyword)$/),
  shopt: when(CHANGING),
  crontab,
  at: schedules,
  parallel,
  sem: parallel,
  batch: schedules,
};

/** Programs that run some of their words, each in its own way; they are not read. */
interface Runner {
  readonly programs: RegExp;
  /** What the words before a command match. */
  readonly behind: RegExp;
  /** Its words are a command, not a text within one of them. */
  readonly runsWords: boolean;
}

const RUNNERS: readonly Runner[] = (
  [
    [
      /^git$/,
      /(?:^| )(?:-c *\S+=|--exe[a-z-]*|config |bisect run|submodule fo\S*|rebase .*-\w*x|filter-branch|difftool|mergetool|--upload|--receive|-u|-O|--open\S*?=|--config-env)/,
      false,
    ],
    [
      /^(?:docker|podman|nerdctl|kubectl|docker-compose|buildah|crictl|lxc|incus|ip)$/,
      /(?:^| )(?:run|e|ex|exe|exec|debug)(?= )/,
      true,
    ],
    [
      /^(?:npm|pnpm|yarn|cargo|go|bundle|poetry|pipenv|uv|conda|mamba|nix|mise|direnv|vagrant)$/,
      /(?:^| )(?:exe|exec|x|dlx|run|dev\w*|shell|-c)(?= )/,
      true,
    ],
    [
      /^(?:npx|pnpx|bunx|uvx|pipx|valgrind|perf|setpriv|prlimit|systemd-nspawn|machinectl|run-parts|start-stop-daemon|capsh|pkexec|screen|tmux|byobu|dtach|abduco|dbus-\w+|proot|firejail|bwrap|ssh-agent|xvfb-run|unbuffer|rlwrap|socat|ncat|nc|netcat|cgexec|numactl|setarch|linux(?:32|64)|i386|x86_64|aa-exec|runcon|sg|newgrp|chpst|softlimit|daemonize|daemon|cpulimit|entr|flatpak|snap|ld\.so|ld-linux.*|ld-musl.*|logsave|faketime|dumb-init|tini|setuidgid|env(?:u)?dir|setlock|ifne|mispipe|annotate-output|torify|torsocks|tsocks|proxychains\d?|trickle|rr|hyperfine|openvt|xinit|systemd-cat|ansible|pdsh|salt|certbot|logrotate|tcpdump|crash|debugfs|pee|coreutils|cttyhack|dpkg-architecture|run0|agent3|inotifywait|update-alternatives)$/,
      /^/,
      true,
    ],
    [
      /^(?:python|pypy|ipython|perl|ruby|jruby|irb|node|nodejs|deno|bun|php|lua|luajit|tclsh|wish|expect|Rscript|R|groovy|scala|guile|ocaml|julia|octave|gnuplot|pwsh|nu|xonsh|gdb|lldb|ed|ex|vi|vim|view|nvim|rvim|vimdiff|emacs|nano|m4|dc|bpftrace|stap|[gmno]?awk|original-awk|sed)(?:[-.\d][\w.+-]*)?$/,
      /^/,
      false,
    ],
    [
      /^(?:tar|make|gmake|cmake|rsync|scp|sftp|apt|apt-get|dpkg|sqlite3|psql|mysql|mariadb|service|gcc|g\+\+|cc|fd|fdfind|rg|diff3|wget|zip|man|less|split|sort|install|cpio|iptables|ip6tables|hg|svn|mapfile|readarray|jobs|compgen|complete|bind|fc)$/,
      /^/,
      false,
    ],
  ] as readonly (readonly [RegExp, RegExp, boolean])[]
).map(([programs, behind, runsWords]) => ({ programs, behind, runsWords }));

/** Returns how a program runs some of its words; undefined if it is not known to do so. */
function runnerFor(program: string): Runner | undefined {
  return RUNNERS.find(({ programs }) => programs.test(program));
}
