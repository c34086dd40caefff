import { posix } from 'node:path';
import { divide, hasOption, type Valued, valuesOf } from '../shell/options.ts';
import type { Invocation } from '../shell/parse.ts';
import { ANYTHING, known, since, type Text } from '../shell/words.ts';

/** Returns the files that a program writes to according to its words. */
export function outputsOf({ name, args }: Invocation): readonly Text[] {
  if (name?.isKnown !== true) return [];
  const files = WRITERS[posix.basename(name.text)]?.(args) ?? [];
  return files.length > MAX_FILES ? [ANYTHING] : files;
}

const MAX_FILES = 100;

type Writer = (args: readonly Text[]) => Text[];

function operands(valued?: Valued): Writer {
  return (args) => [...divide(args, valued).operands];
}

function values(valued: Valued): Writer {
  return (args) => divide(args, valued).values.map(([, value]) => value);
}

const COPIES: Valued = {
  letters: 'tSgmo',
  long: ['target-directory', 'suffix', 'mode', 'owner', 'group'],
};

/** Copies the first operands to the last, or into it, or into the directory of an option. */
const copies: Writer = (args) => {
  const given = divide(args, COPIES);
  if (hasOption(given, '-d', '--directory') && !hasOption(given, '-r', '-R', '-a')) return [...given.operands];
  const directories = valuesOf(given, '-t', '--target-directory');
  const targets = directories.length > 0 ? directories : given.operands.slice(-1);
  const isDeep = hasOption(given, '-r', '-R', '-a', '--recursive', '--archive');
  return targets.flatMap((target) => copiedInto(target, given.operands, isDeep));
};

/** What is copied into a directory has its own name there. */
function copiedInto(target: Text, sources: readonly Text[], isDeep: boolean): Text[] {
  const names = sources.flatMap(({ text, isKnown }) =>
    isKnown && target.isKnown ? [known(posix.join(target.text, posix.basename(text)))] : [],
  );
  return [target, ...names, ...(isDeep ? [beneath(target)] : [])];
}

/** A file somewhere below a directory: its name is in an archive, or in another directory. */
function beneath(directory: Text): Text {
  const text = directory.text === '' ? './' : directory.text.replace(/\/*$/, '/');
  if (directory.isKnown) return { text, isKnown: false, maySplit: false, isAlike: true, isBeneath: true, end: '' };
  return { ...directory, end: '' };
}

/** Returns the directories with all that may be below them; without any, the one that it runs in. */
function unpackedInto(directories: readonly Text[]): Text[] {
  return (directories.length === 0 ? [known('.')] : directories).flatMap((one) => [one, beneath(one)]);
}

const TAR: Valued = {
  letters: 'fCTXbgHKLNVIF',
  long: ['file', 'directory', 'files-from', 'exclude-from', 'exclude', 'use-compress-program', 'transform', 'owner'],
};

const tar: Writer = (args) => {
  const given = divide(asDashed(args), TAR);
  if (hasOption(given, '-x', '--extract', '--get')) {
    if (hasOption(given, '-O', '--to-stdout')) return [];
    if (hasOption(given, '-P', '--absolute-names')) return [ANYTHING];
    return unpackedInto(valuesOf(given, '-C', '--directory'));
  }
  const makes = ['-c', '-r', '-u', '-A', '--create', '--append', '--update', '--concatenate', '--delete'];
  if (!hasOption(given, ...makes)) return [];
  // An archive on another machine is not a file of this one; an unknown one is not asked about.
  return valuesOf(given, '-f', '--file').filter(({ text }) => text !== '' && text !== '-' && !/^[^/]+:/.test(text));
};

/** `tar cf FILE` is `tar -c -f FILE`: the values of all letters are the words that follow. */
function asDashed(args: readonly Text[]): readonly Text[] {
  const [first, ...rest] = args;
  if (first?.isKnown !== true || first.text.startsWith('-')) return args;
  const words = [...first.text].flatMap((letter) => {
    const value = TAR.letters?.includes(letter) === true ? rest.splice(0, 1) : [];
    return [known(`-${letter}`), ...value];
  });
  return [...words, ...rest];
}

const unzip: Writer = (args) => {
  const given = divide(args, { letters: 'dPx' });
  const isRead = given.operands.length === 0 || hasOption(given, '-l', '-v', '-t', '-z', '-p', '-c', '-Z');
  return isRead ? [] : unpackedInto(valuesOf(given, '-d'));
};

/** The file that patch changes; if no word names it, the patch does. */
const patch: Writer = (args) => {
  const given = divide(args, {
    letters: 'BDFVYdgioprz',
    long: ['directory', 'output', 'input', 'strip', 'reject-file'],
  });
  const directories = valuesOf(given, '-d', '--directory').slice(-1);
  const [directory = known('.')] = directories;
  const named = [...valuesOf(given, '-o', '--output', '-r', '--reject-file'), ...given.operands.slice(0, 1)];
  const files = named.map((file) =>
    file.text.startsWith('/') || !directory.isKnown || !file.isKnown
      ? file
      : known(posix.join(directory.text, file.text)),
  );
  const isNamed = given.operands.length > 0 || hasOption(given, '-o', '--output');
  return isNamed ? files : [...files, ...unpackedInto(directories)];
};

const RSYNC: Valued = {
  letters: 'efTBM@',
  long: [
    ...['rsh', 'exclude', 'include', 'filter', 'exclude-from', 'include-from', 'files-from', 'log-file', 'temp-dir'],
    ...['backup-dir', 'suffix', 'bwlimit', 'timeout', 'port', 'password-file', 'chown', 'chmod', 'rsync-path'],
    ...['partial-dir', 'compare-dest', 'copy-dest', 'link-dest', 'max-size', 'min-size', 'out-format', 'info', 'debug'],
  ],
};

/** The last of several operands, if it is on this machine, with all below it if rsync(1) works on directories. */
const rsync: Writer = (args) => {
  const given = divide(args, RSYNC);
  const logs = valuesOf(given, '--log-file');
  const target = given.operands.at(-1);
  // `host:path`, `host::module` and `rsync://host/path`
  const isElsewhere =
    target === undefined || /^[^/]*:/.test(target.text) || (!target.isKnown && target.end.includes(':'));
  if (given.operands.length < 2 || isElsewhere) return logs;
  const isDeep = hasOption(given, '-r', '-a', '--recursive', '--archive');
  return [...logs, ...copiedInto(target, given.operands, isDeep)];
};

/** The values of some options are files, those of others are directories. */
function downloads(files: Valued, ...directories: readonly string[]): Writer {
  return (args) => {
    const given = divide(args, {
      ...files,
      long: [...(files.long ?? []), ...directories.filter((one) => one.startsWith('--')).map((one) => one.slice(2))],
    });
    return given.values.flatMap(([name, value]) => (directories.includes(name) ? unpackedInto([value]) : [value]));
  };
}

/** Programs whose words name files that they write to. */
export const WRITERS: Readonly<Record<string, Writer | undefined>> = {
  __proto__: null as unknown as Writer,
  tee: operands(),
  cp: copies,
  mv: copies,
  install: copies,
  ln: copies,
  dd: (args) => args.filter(({ text }) => text.startsWith('of=')).map((arg) => since(arg, 3)),
  truncate: operands({ letters: 'sr', long: ['size', 'reference'] }),
  // An empty directory with an unknown name is harmless.
  mkdir: (args) => divide(args, { letters: 'm', long: ['mode'] }).operands.filter(({ isKnown }) => isKnown),
  touch: operands({ letters: 'drt', long: ['date', 'reference', 'time'] }),
  shred: operands({ letters: 'ns', long: ['iterations', 'size', 'random-source'] }),
  script: operands({ letters: 'cOBIEmoT', long: ['command'] }),
  sed: (args) => (args.some(({ text }) => /^-[a-zA-Z]*i|^--in/.test(text)) ? operands()(args) : []),
  sort: values({ letters: 'o', long: ['output'] }),
  curl: downloads({ letters: 'oDc', long: ['output', 'dump-header', 'cookie-jar'] }, '--output-dir'),
  wget: downloads({ letters: 'OoP', long: ['output-document', 'output-file'] }, '-P', '--directory-prefix'),
  gcc: values({ letters: 'o' }),
  cc: values({ letters: 'o' }),
  ld: values({ letters: 'o', long: ['output'] }),
  tcpdump: values({ letters: 'w' }),
  rsync,
  tar,
  unzip,
  patch,
};
