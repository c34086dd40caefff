import { type Hazards, isHazardous, unless } from './hazards.ts';
import { isPlainly, type Look, NOTHING, RUNS_PROGRAMS, unreadable } from './look.ts';
import { valuesOf } from './options.ts';
import { known } from './words.ts';

/** Programs of containers: what they run inside is not read, but for what only looks, or starts what is there. */
const containers: Look = (args) => {
  const words = args.filter(({ text, isKnown }) => !isKnown || !text.startsWith('-'));
  const [first] = words[0]?.text === 'compose' ? words.slice(1) : words;
  if (first === undefined) return NOTHING;
  const isAtWork = first.isKnown && /^(?:up|start|restart|build|stop|down|pull)$/.test(first.text);
  const isPlain =
    isAtWork && !args.some(({ text, isKnown }) => !isKnown || /^(?:-[fv]|--(?:file|volume|build-arg|host))/.test(text));
  if (isPlain) return NOTHING;
  const goesIn = words.some(({ text }) =>
    /^(?:run|exec|create|attach|cp|debug|apply|build|up|start|buildx|builder|plugin)$/.test(text),
  );
  return goesIn || !first.isKnown || words.some(({ maySplit }) => maySplit)
    ? unreadable('it runs programs in a container')
    : NOTHING;
};

/** Runners of scripts and of packages: `npm run` runs what a file says, `npm exec` anything. */
const packages: Look = (args) => {
  const operands = args.filter(({ text, isKnown }) => !isKnown || !text.startsWith('-')).slice(0, 2);
  const isRunning = operands.some(({ text, isKnown }, index) => {
    if (!isKnown) return index === 0 || text === '';
    return (
      text === 'x' ||
      text === 'dlx' ||
      text === 'npx' ||
      (text.length > 1 && /^exe?c?$|^expl/.test(text)) ||
      text === 'dl'
    );
  });
  const sets =
    /^(?:c|config|pkg|set|set-script)$/.test(operands[0]?.text ?? '') && args.some(({ text }) => /^set/.test(text));
  const hazards: Hazards = {
    long: ['script-shell', 'node-options', 'shell', 'init-module', 'git', 'viewer', 'editor', 'call'],
  };
  const isTold = isHazardous(
    args.filter(({ isKnown }) => isKnown),
    hazards,
  );
  return isRunning || sets || isTold ? unreadable(RUNS_PROGRAMS) : NOTHING;
};

const TAR: Hazards = {
  letters: 'F',
  long: [
    'to-command',
    'checkpoint-action',
    'use-compress-program',
    'rsh-command',
    'rmt-command',
    'info-script',
    'new-volume-script',
  ],
  valued: 'fCTXbgHKLNVI',
  valuedLong: ['file', 'directory', 'exclude', 'files-from', 'exclude-from', 'transform', 'strip-components'],
};

const tar: Look = (args) => {
  const [first, ...rest] = args;
  if (first === undefined) return NOTHING;
  const isOld = first.isKnown && !first.text.startsWith('-');
  // In the old way, the values of all letters are the words that follow.
  const valued = isOld ? [...first.text].filter((letter) => (TAR.valued ?? '').includes(letter)).length : 0;
  const words = isOld ? rest.slice(valued) : args;
  const isOldHazard = isOld && (/[IF]/.test(first.text) || rest.slice(0, valued).some(({ maySplit }) => maySplit));
  const packers = valuesOf(args, 'I', []).every(({ text, isKnown }) => isKnown && PACKERS.test(text));
  return isOldHazard || !packers || isHazardous(words, TAR) ? unreadable(RUNS_PROGRAMS) : NOTHING;
};

const PACKERS =
  /^(?:(?:un)?zstd|zstdmt|pigz|gzip|p?bzip2|lbzip2|p?xz|pixz|lz4|lzip|plzip|lzop|brotli)(?: -(?:\d+|[dckT]\d*|p ?\d+))*$/;

/** A value of a variable of make that is one program, or several words, may run it. */
const HARMLESS_OF_MAKE =
  /^(?:prefix|exec_prefix|bindir|\w*dir|PREFIX|DESTDIR|V|VERBOSE|DEBUG|NDEBUG|VERSION|ARCH|BUILD\w*|ENV|TAG|IMAGE|PORT|NAME|TARGET|C(?:PP|XX)?FLAGS|LDFLAGS|JOBS)=[-\w./:+@%,=]*$/;

const make: Look = (args) => {
  const hazards: Hazards = {
    letters: 'fE',
    long: ['file', 'makefile', 'eval'],
    valued: 'CIoWl',
    valuedLong: ['directory'],
  };
  const sets = args.some(
    ({ text, isKnown }) => /^[^-][^=]*=|^-.*[$(]/.test(text) && !(isKnown && HARMLESS_OF_MAKE.test(text)),
  );
  // Any other value of -j is a fault.
  const words = args.map((arg) => (arg.text === '-j' && !arg.maySplit ? known('-j') : arg));
  return sets || isHazardous(words, hazards) ? unreadable('it runs what another file says') : NOTHING;
};

/** Runs a shell or ssh to reach the other side. */
const rsync: Look = (args) => {
  const shells = valuesOf(args, 'e', ['rsh']);
  const isSsh = shells.every(({ text, isKnown }) => isKnown && /^ssh(?: -(?:p ?\d+|i ?[\w./~-]+|[46qC]))*$/.test(text));
  const hazards: Hazards = {
    long: ['rsync-path', 'config', 'dparam', 'early-input'],
    valued: 'efTB',
    letters: 'M',
    valuedLong: ['rsh', 'exclude', 'include', 'filter'],
  };
  return !isSsh || isHazardous(args, hazards) ? unreadable(RUNS_PROGRAMS) : NOTHING;
};

const aptLike: Look = (args) => {
  const settings = valuesOf(args, 'o', ['option']).every(
    ({ text, isKnown }) =>
      isKnown && /^Dpkg::Options::=--force-conf\w+$|^(?:Acquire|APT::(?:Get|Install))[\w:-]*=[\w.-]*$/i.test(text),
  );
  const hazards: Hazards = {
    letters: 'c',
    long: ['config-file'],
    valued: 'otad',
    valuedLong: ['option', 'target-release'],
    words: /^.*\.deb$|^\.?\//,
  };
  return !settings || isHazardous(args, hazards) ? unreadable(RUNS_PROGRAMS) : NOTHING;
};

/** Runs commands of its own, which begin with a dot, from its words or from what it reads. */
const sqlite: Look = (args, { input }) => {
  const commands = [
    ...args.filter(({ text }) => text.startsWith('.') || /edit\s*\(/i.test(text)),
    ...(input === undefined ? [] : [input]),
  ];
  const isHarmless = commands.every(
    ({ text, isKnown }) =>
      isKnown && !/edit\s*\(|\bload_extension/i.test(text) && text.split('\n').every(isHarmlessDot),
  );
  const reads = args.filter(({ text }) => !text.startsWith('-')).length < 2 && input === undefined;
  const hazards: Hazards = {
    long: ['cmd', 'init', 'append'],
    hasSingleDashes: true,
    valuedLong: ['separator', 'nullvalue'],
  };
  const later = args.slice(1).some((arg) => !arg.isKnown && (arg.text === '' || arg.maySplit));
  return reads || later || !isHarmless || isHazardous(args, hazards)
    ? unreadable('it may run other programs')
    : NOTHING;
};

function isHarmlessDot(line: string): boolean {
  return (
    !/^\s*\./.test(line) ||
    /^\s*\.(?:tables|schema|indexes|databases|dump|mode|headers?|help|quit|exit|version|stats|show|width)\b[^|]*$/.test(
      line,
    )
  );
}

const service: Look = (args) => {
  const isPlain = args.every(({ text, isKnown }) => isKnown && !text.includes('/') && !text.includes('..'));
  return isPlain ? NOTHING : unreadable('it runs a script');
};

const compiler = unless({ words: /^(?:-B|-specs|--specs|-fplugin|-wrapper|@|-fuse-ld=\/)/ });

/** A client of a database, which also runs what it reads. */
function client(letters: string, long: readonly string[], hazards: Hazards): Look {
  return (args, { input }) => {
    const isTold =
      valuesOf(args, letters, long).length > 0 || isPlainly(/^(?:.* )?(?:-l|--list|--version|-V|--help)$/, args);
    const isUnread = !isTold && input?.isKnown !== true;
    const words = input === undefined ? args : [...args, input];
    return isUnread || isHazardous(words, hazards) ? unreadable('it may run other programs') : NOTHING;
  };
}

const ipLook: Look = (args) => {
  const isTold = args.some(({ text, isKnown }) => (!isKnown && text === '') || /^--?b(?!r)/.test(text));
  const runs = args.some(
    ({ text }, at) => /^(?:n(?:e(?:t(?:ns?)?)?)?|v(?:rf?)?)$/.test(text) && /^e/.test(args[at + 1]?.text ?? ''),
  );
  return isTold || runs ? unreadable(RUNS_PROGRAMS) : NOTHING;
};

/** Hazards are among its subcommands: what stands before the first of them that is known may be one. */
function subcommands(pattern: RegExp): Look {
  return (args) => {
    const first = args.find(({ text }) => !text.startsWith('-'));
    const isTold = first?.isKnown !== false && !args.some(({ text, isKnown }) => isKnown && pattern.test(text));
    return isTold ? NOTHING : unreadable(RUNS_PROGRAMS);
  };
}

const MYSQL: Hazards = { words: /\\!|(?:^|;)\s*system\s|^--(?:pager|init-command)/, isAnywhere: true, valued: 'ehuDP' };

/** Tools that run other programs only when their words say so. */
export const TOOLS: Readonly<Record<string, Look | undefined>> = {
  __proto__: null as unknown as Look,
  docker: containers,
  podman: containers,
  nerdctl: containers,
  kubectl: containers,
  'docker-compose': containers,
  npm: packages,
  pnpm: packages,
  yarn: packages,
  tar,
  make,
  gmake: make,
  rsync,
  apt: aptLike,
  'apt-get': aptLike,
  'apt-cache': aptLike,
  sqlite3: sqlite,
  service,
  gcc: compiler,
  'g++': compiler,
  cc: compiler,
  ip: ipLook,
  fd: unless({ letters: 'xX', long: ['exec', 'exec-batch'] }),
  fdfind: unless({ letters: 'xX', long: ['exec', 'exec-batch'] }),
  rg: unless({
    long: ['pre', 'hostname-bin'],
    harmless: ['pretty'],
    valued: 'efgtABCm',
    valuedLong: ['regexp', 'glob'],
  }),
  cmake: unless({ letters: 'EPC', words: /^-[EPC]/ }),
  diff3: unless({ long: ['diff-program'] }),
  wget: unless({ long: ['use-askpass', 'config', 'execute'], letters: 'e', valued: 'OoPUTt' }),
  zip: unless({ letters: 'T', long: ['unzip-command', 'test'] }),
  man: unless({ letters: 'PHTXZ', long: ['pager', 'html', 'preprocessor', 'ditroff'], valued: 'sSL' }),
  split: unless({ long: ['filter'], valued: 'abCln' }),
  sort: unless({ long: ['compress-program'], valued: 'kotST' }),
  install: unless({ long: ['strip-program'], harmless: ['strip'], valued: 'gmotS' }),
  cpio: unless({ long: ['rsh-command'] }),
  iptables: unless({ letters: 'M', long: ['modprobe'] }),
  ip6tables: unless({ letters: 'M', long: ['modprobe'] }),
  hg: unless({ long: ['config'] }),
  svn: unless({ long: ['editor-cmd', 'diff-cmd', 'diff3-cmd', 'merge-cmd', 'config-option'], harmless: ['diff'] }),
  dpkg: unless({ long: ['pre-invoke', 'post-invoke', 'status-logger'], harmless: ['status'] }),
  mysql: client('e', ['execute'], MYSQL),
  mariadb: client('e', ['execute'], MYSQL),
  psql: client('c', ['command'], {
    letters: 'f',
    long: ['file'],
    words: /^\s*\\(?!d|l\b|conninfo)|\\[!go|]|program/i,
    isAnywhere: true,
    valued: 'chpUdvF',
  }),
  bundle: subcommands(/^(?:exec|console)$/),
  poetry: subcommands(/^(?:run|shell)$/),
  pipenv: subcommands(/^(?:run|shell)$/),
  uv: subcommands(/^(?:run|tool|x)$/),
  cargo: subcommands(/^(?:run|r|test|t|bench)$/),
  go: subcommands(/^(?:run|generate|test|tool)$|^-(?:exec|toolexec|vettool)/),
  systemctl: subcommands(/^edit$/),
};
