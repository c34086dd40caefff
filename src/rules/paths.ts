import { posix } from 'node:path';
import type { Invocation } from '../shell/parse.ts';
import type { Text } from '../shell/words.ts';
import type { Glob } from './rule.ts';

/** Whether something is so; `maybe` if only running the command would show it. */
export type Answer = 'yes' | 'no' | 'maybe';

export function all(questions: readonly (() => Answer)[]): Answer {
  let answer: Answer = 'yes';
  for (const ask of questions) {
    const one = ask();
    if (one === 'no') return 'no';
    if (one === 'maybe') answer = 'maybe';
  }
  return answer;
}

export function some<T>(list: readonly T[], ask: (one: T) => Answer): Answer {
  let answer: Answer = 'no';
  for (const item of list) {
    const one = ask(item);
    if (one === 'yes') return 'yes';
    if (one === 'maybe') answer = 'maybe';
  }
  return answer;
}

/** The directories that relative paths may start from; undefined: unknown. */
export type Where = readonly string[] | undefined;

/** Programs that a package has installed: what they are is known. */
const SYSTEM = /^(?:\/usr(?:\/local)?)?\/s?bin\/[^/]+$|^\/(?:usr\/games|snap\/bin)\/[^/]+$/;

/** Where a shell finds programs by their names. */
const SYSTEM_DIRECTORIES = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
  '/usr/games',
  '/snap/bin',
];

/** Whether a path leads to a program of the system, from wherever it is named. */
export function isOfSystem(path: string, where: Where): boolean {
  if (path.startsWith('/')) return SYSTEM.test(posix.normalize(path));
  return where?.every((directory) => SYSTEM.test(posix.resolve(directory, path))) === true;
}

/** Returns the paths that a program of the system may have. */
export function pathsOfProgram(program: string): string[] {
  return SYSTEM_DIRECTORIES.map((directory) => `${directory}/${program}`);
}

/** Returns the paths of a name with a slash in it. */
export function absolute(path: string, where: Where): readonly string[] {
  if (path.startsWith('/')) return [posix.normalize(path)];
  return where?.map((directory) => posix.resolve(directory, path)) ?? [];
}

/** Whether a word may be a path that a pattern is about. */
export function isPath(one: Glob, word: Text, where: Where): Answer {
  const path = word.text;
  if (!word.isKnown) return mayBecome(one, word, where);
  if (one.test(posix.normalize(path))) return 'yes';
  if (!one.isAbsolute || path.startsWith('-')) return 'no';
  if (path.startsWith('~')) return mayBeOfHome(one, path);
  if (path.startsWith('/')) return covers(one, posix.normalize(path));
  return where === undefined ? 'maybe' : some(where, (directory) => covers(one, posix.resolve(directory, path)));
}

/**
 * Whether a file that is written to may be one that a pattern is about. A pattern that begins with a star is about
 * absolute paths too.
 */
export function isFile(one: Glob, file: Text, where: Where): Answer {
  const answer = isPath(one, file, where);
  const { text, isKnown } = file;
  if (answer === 'yes' || !one.text.startsWith('*') || !isKnown || text.startsWith('~')) return answer;
  const paths = text.startsWith('/')
    ? [posix.normalize(text)]
    : where?.map((directory) => posix.resolve(directory, text));
  if (paths === undefined) return one.mayFit('/', posix.basename(text)) ? 'maybe' : answer;
  return some(paths, (path) => covers(one, path));
}

/** `/etc/*` is also about `/etc`. */
function covers(one: Glob, path: string): Answer {
  const plain = path.replace(/(?<=.)\/$/, '');
  if (one.test(plain) || one.test(`${plain}/`)) return 'yes';
  return OTHER_NAMES.test(plain) ? 'maybe' : 'no';
}

/** The kernel's other names of files. */
const OTHER_NAMES =
  /^\/proc\/[^/]+\/(?:root|cwd|fd|task\/[^/]+\/(?:root|cwd|fd))(?:\/|$)|^\/dev\/fd\/.*\/|^\/proc\/self$/;

/** Directories that contain homes. */
const HOMES = ['/root/', '/home/', '/var/', '/srv/', '/opt/', '/usr/', '/run/', '/tmp/', '/nonexistent/'];

function mayBeOfHome(one: Glob, path: string): Answer {
  const [user = '', ...rest] = path.split('/');
  const isOwn = user === '~' && !rest.includes('..') && !one.mayFit(`/${rest.join('/')}`, '');
  return isOwn && !HOMES.some((home) => one.mayFit(home, '')) ? 'no' : 'maybe';
}

function mayBecome(one: Glob, word: Text, where: Where): Answer {
  if (!word.isAlike) return 'maybe';
  const isRelative = word.isBeneath && !word.text.startsWith('/');
  if (!(isRelative && one.isAbsolute) && one.mayFit(word.text, word.end)) return 'maybe';
  if (!one.isAbsolute || word.text.startsWith('-')) return 'no';
  if (word.text.startsWith('~')) return word.isBeneath ? mayBeOfHome(one, word.text) : 'maybe';
  if (!word.isBeneath) return 'maybe';
  if (where === undefined && isRelative) return 'maybe';
  return some(where ?? ['/'], (directory) => {
    const path = posix.resolve(directory, `${word.text}x`).slice(0, -1);
    return one.mayFit(path, word.end) || OTHER_NAMES.test(path) ? 'maybe' : 'no';
  });
}

/** With more directories, they count as unknown. */
const MAX_DIRECTORIES = 8;

/**
 * Returns the directories that a command may be in: where it begins, and wherever its `cd` lead, whichever of them
 * succeed. `repeats`: they may run in another order, or more often.
 */
export function directoriesOf(cwd: string, parts: readonly Invocation[], repeats: boolean): Where {
  const targets: string[] = [];
  for (const { name, args } of parts) {
    if (name === undefined) continue;
    if (!name.isKnown || /^(?:pushd|popd|chdir)$/.test(name.text)) return undefined;
    if (name.text !== 'cd') continue;
    const [target, ...more] = args[0]?.text === '--' ? args.slice(1) : args;
    // Without a word it goes home; `cd -` goes back, to one of these.
    if (target?.isKnown === true && target.text === '-' && more.length === 0) continue;
    if (target?.isKnown !== true || more.length > 0 || /^[-~+]|^$/.test(target.text)) return undefined;
    if (repeats && !target.text.startsWith('/')) return undefined;
    targets.push(target.text);
  }
  let directories = new Set([posix.resolve(cwd)]);
  for (const target of targets) {
    const next = new Set(directories);
    for (const directory of directories) next.add(posix.resolve(directory, target));
    if (next.size > MAX_DIRECTORIES) return undefined;
    directories = next;
  }
  return [...directories];
}
