import { posix } from 'node:path';
import { type Given, givenTo, hasOption, type Valued, valuesOfOption } from './given.ts';
import { ANYTHING, known, type Text } from './words.ts';

/** What is written somewhere below a directory: its names stand in an archive, or in another directory. */
export function beneath(directory: Text): Text {
  const text = directory.text === '' ? './' : directory.text.replace(/\/*$/, '/');
  if (directory.isKnown) return { text, isKnown: false, maySplit: false, isAlike: true, isBeneath: true, end: '' };
  return { ...directory, end: '' };
}

/** A directory with all that may be below it. */
export function withAllBeneath(directory: Text): Text[] {
  return [directory, beneath(directory)];
}

const HERE = known('.');

const TAR: Valued = {
  letters: 'fCTXbgHKLNVIF',
  long: ['file', 'directory', 'files-from', 'exclude-from', 'exclude', 'use-compress-program', 'transform', 'owner'],
};

/** The archive that tar makes or changes, or the directory that it unpacks into. */
export function writtenByTar(args: readonly Text[]): Text[] {
  const given = givenTo(asDashed(args), TAR);
  const unpacks = hasOption(given, '-x', '--extract', '--get') && !hasOption(given, '-O', '--to-stdout');
  if (unpacks) return unpackedByTar(given);
  if (!hasOption(given, ...['-c', '-r', '-u', '-A', '--create', '--append', '--update', '--concatenate', '--delete']))
    return [];
  // An archive on another machine is no file of this one; one of which nothing is known is not asked about.
  return valuesOfOption(given, '-f', '--file').filter(
    ({ text }) => text !== '' && text !== '-' && !/^[^/]+:/.test(text),
  );
}

function unpackedByTar(given: Given): Text[] {
  if (hasOption(given, '-P', '--absolute-names')) return [ANYTHING];
  const directories = valuesOfOption(given, '-C', '--directory');
  return (directories.length === 0 ? [HERE] : directories).flatMap(withAllBeneath);
}

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

/** The directory that unzip unpacks into. */
export function writtenByUnzip(args: readonly Text[]): Text[] {
  const given = givenTo(args, { letters: 'dPx' });
  if (given.operands.length === 0 || hasOption(given, '-l', '-v', '-t', '-z', '-p', '-c', '-Z')) return [];
  const directories = valuesOfOption(given, '-d');
  return (directories.length === 0 ? [HERE] : directories).flatMap(withAllBeneath);
}

const PATCH: Valued = {
  letters: 'BDFVYdgioprz',
  long: ['directory', 'output', 'input', 'strip', 'fuzz', 'reject-file', 'prefix', 'suffix', 'ifdef'],
};

/** The file that patch changes; where no word names it, the patch does: any below its directory. */
export function writtenByPatch(args: readonly Text[]): Text[] {
  const given = givenTo(args, PATCH);
  const [directory = HERE] = valuesOfOption(given, '-d', '--directory').slice(-1);
  const named = [...valuesOfOption(given, '-o', '--output', '-r', '--reject-file'), ...given.operands.slice(0, 1)];
  const files = named.map((file) => within(directory, file));
  return given.operands.length === 0 && !hasOption(given, '-o', '--output')
    ? [...files, ...withAllBeneath(directory)]
    : files;
}

function within(directory: Text, file: Text): Text {
  if (file.text.startsWith('/')) return file;
  return directory.isKnown && file.isKnown ? known(posix.join(directory.text, file.text)) : beneath(directory);
}

const RSYNC: Valued = {
  letters: 'efTBM@',
  long: [
    ...['rsh', 'exclude', 'include', 'filter', 'exclude-from', 'include-from', 'files-from', 'log-file', 'temp-dir'],
    ...['backup-dir', 'suffix', 'bwlimit', 'timeout', 'port', 'password-file', 'chown', 'chmod', 'rsync-path'],
    ...['partial-dir', 'compare-dest', 'copy-dest', 'link-dest', 'max-size', 'min-size', 'out-format', 'info', 'debug'],
  ],
};

/** The last of several operands, when it is of this machine, with all below it when rsync(1) goes into directories. */
export function writtenByRsync(args: readonly Text[]): Text[] {
  const given = givenTo(args, RSYNC);
  const logs = valuesOfOption(given, '--log-file');
  const target = given.operands.at(-1);
  if (target === undefined || given.operands.length < 2 || isElsewhere(target)) return logs;
  return [...logs, ...copiesInto(target, given.operands, hasOption(given, '-r', '-a', '--recursive', '--archive'))];
}

/** `host:path`, `host::module` and `rsync://host/path`. */
function isElsewhere({ text, isKnown, end }: Text): boolean {
  return /^[^/]*:/.test(text) || (!isKnown && end.includes(':'));
}

/** What is copied into a directory has its own name there. */
export function copiesInto(target: Text, sources: readonly Text[], isDeep: boolean): Text[] {
  const names = sources.map(({ text, isKnown }) =>
    isKnown && target.isKnown ? known(posix.join(target.text, posix.basename(text))) : target,
  );
  return [target, ...names, ...(isDeep ? [beneath(target)] : [])];
}
