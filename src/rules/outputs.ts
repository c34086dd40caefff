import { posix } from 'node:path';
import { givenTo, hasOption, type Valued, valuesOfOption } from './given.ts';
import { valuesOf } from './options.ts';
import type { Invocation } from './rule.ts';
import {
  copiesInto,
  withAllBeneath,
  writtenByPatch,
  writtenByRsync,
  writtenByTar,
  writtenByUnzip,
} from './unpacked.ts';
import { ANYTHING, since, type Text } from './words.ts';

/** The files that a program writes to because its words say so, as far as they tell. */
export function outputsOf({ name, args }: Invocation): readonly Text[] {
  if (name?.isKnown !== true) return [];
  const files = WRITERS[posix.basename(name.text)]?.(args) ?? [];
  return files.length > MAX_FILES ? [ANYTHING] : files;
}

/** More than these are not compared one by one. */
const MAX_FILES = 100;

type Writer = (args: readonly Text[]) => Text[];

/** All operands are written to. */
function operands(valued?: Valued): Writer {
  return (args) => [...givenTo(args, valued).operands];
}

/** The values of options are written to: of short ones by their letters, of long ones by their names. */
function values(letters: string, ...long: readonly string[]): Writer {
  return (args) => valuesOf(args, letters, long);
}

/** Copies the first operands to the last, or into it, or into the directory of an option. */
function copies(letters: string, recursive: readonly string[] = []): Writer {
  return (args) => {
    const given = givenTo(args, { letters, long: ['target-directory', 'suffix', 'mode', 'owner', 'group'] });
    const directories = valuesOfOption(given, '-t', '--target-directory');
    const targets = directories.length > 0 ? directories : given.operands.slice(-1);
    return targets.flatMap((target) => copiesInto(target, given.operands, hasOption(given, ...recursive)));
  };
}

const install: Writer = (args) => {
  const makesDirectories = hasOption(givenTo(args, { letters: 'gmotS' }), '-d', '--directory');
  return makesDirectories ? operands({ letters: 'gmotS' })(args) : copies('gmotS')(args);
};

const sed: Writer = (args) => (args.some(({ text }) => /^-[a-zA-Z]*i|^--in/.test(text)) ? operands()(args) : []);

/** Programs whose words name files that they write to. */
export const WRITERS: Readonly<Record<string, Writer | undefined>> = {
  __proto__: null as unknown as Writer,
  tee: operands(),
  cp: copies('tS', ['-r', '-R', '-a', '--recursive', '--archive']),
  mv: copies('tS'),
  install,
  ln: copies('tS'),
  dd: (args) => args.filter(({ text }) => text.startsWith('of=')).map((arg) => since(arg, 3)),
  truncate: operands({ letters: 'sr', long: ['size', 'reference'] }),
  touch: operands({ letters: 'drt', long: ['date', 'reference', 'time'] }),
  shred: operands({ letters: 'ns', long: ['iterations', 'size', 'random-source'] }),
  script: operands(),
  sed,
  sort: values('o', 'output'),
  curl: (args) => [
    ...values('oDc', 'output', 'dump-header', 'cookie-jar')(args),
    ...valuesOf(args, '', ['output-dir']).flatMap(withAllBeneath),
  ],
  wget: (args) => [
    ...values('Oo', 'output-document', 'output-file')(args),
    ...valuesOf(args, 'P', ['directory-prefix']).flatMap(withAllBeneath),
  ],
  gcc: values('o'),
  cc: values('o'),
  ld: values('o', 'output'),
  tcpdump: values('w'),
  rsync: writtenByRsync,
  tar: writtenByTar,
  unzip: writtenByUnzip,
  patch: writtenByPatch,
};
