import { readdirSync, readlinkSync } from 'node:fs';
import { withReserve } from '../linux/open-files.ts';
import { currentAccount, type NamedAccount } from '../process/environment.ts';
import { isDirectory, isWithin, OWN_DIRECTORIES, realOf } from './hidden.ts';
import { hidingViews, showView } from './hiding-view.ts';
import { allHomes } from './homes.ts';
import { lstatOrUndefined } from './reach.ts';

/** A home in which hidden names stay hidden, even if they are made while a command runs. */
export interface HomeView {
  readonly home: string;
  /** Options of bwrap(1). */
  readonly options: readonly string[];
  /** Nothing may be written into it once all is mounted. */
  readonly isEmptied: boolean;
  /** What is mounted in it, if each hidden path needs a mount as elsewhere. */
  readonly mounts: readonly string[];
}

interface HomeSpec {
  readonly hidden: readonly string[];
  readonly writable: readonly string[];
  readonly account?: NamedAccount | undefined;
}

/** Entries of a home that an agent which is not root shows one by one; more would cost each command 5 ms. */
const MAX_ENTRIES = 60;

/**
 * Returns the home of the user that commands run as, without what is hidden there (`outside` are the hidden paths now).
 * Root makes an overlay of it. Any other agent may mount in its sandboxes only: there the home is an empty directory
 * that shows what exists now and cannot be on the way to a secret. Undefined if it is not a home, is hidden, or is
 * writable as a whole.
 */
export function homeView({ hidden, writable, account }: HomeSpec, outside: readonly string[]): HomeView | undefined {
  const home = account?.home ?? ownHome();
  const isOrdinary = allHomes().includes(home) && !/[:,\\]/.test(home) && isDirectory(home) && realOf(home) === home;
  if (!isOrdinary || OWN_DIRECTORIES.some((own) => isWithin(own, home))) return undefined;
  if ([...writable, ...outside].some((path) => isWithin(path, home))) return undefined;
  if (process.geteuid?.() !== 0) return { home, options: shownIn(home, hidden), isEmptied: true, mounts: [] };
  const view = hidingViews.without(home, hidden, outside, account?.user ?? 0);
  if (view === undefined) return undefined;
  return { home, options: showView(view, home), isEmptied: false, mounts: view.mounts };
}

let own: string | undefined;

function ownHome(): string {
  own ??= currentAccount().home;
  return own;
}

function shownIn(home: string, patterns: readonly string[]): string[] {
  const firsts = patterns
    .filter((pattern) => pattern.startsWith('~/') || pattern.startsWith(`${home}/`))
    .map((pattern) => pattern.slice(pattern.startsWith('~/') ? 2 : home.length + 1).split('/')[0] ?? '');
  const stars = firsts.filter((first) => first.includes('*')).map((first) => new Bun.Glob(first));
  const named = new Set(firsts);
  const names = namesIn(home).filter((name) => !named.has(name) && !stars.some((star) => star.match(name)));
  const shown = names.length > MAX_ENTRIES ? [] : names;
  return ['--perms', '0555', '--tmpfs', home, ...shown.flatMap((name) => show(`${home}/${name}`))];
}

function namesIn(home: string): string[] {
  try {
    return withReserve(() => readdirSync(home));
  } catch {
    // Neither the agent nor its commands may look into it.
    return [];
  }
}

function show(path: string): string[] {
  const stat = lstatOrUndefined(path);
  if (stat === undefined) return [];
  return stat.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind-try', path, path];
}
