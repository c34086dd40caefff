import { accessSync, constants, realpathSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { SandboxFault } from '../process/beginning.ts';
import type { NamedAccount } from '../process/environment.ts';
import { Evidence } from './evidence.ts';
import { allHomes } from './homes.ts';
import type { Listing } from './listing.ts';
import { idOf, KEPT, listed, search, treesOf } from './pattern-tree.ts';
import { statOrUndefined } from './reach.ts';

/** Empty, and the command's own. /run has the sockets of programs. */
export const OWN_DIRECTORIES = ['/tmp', '/var/tmp', '/run'];

/** Each is a mount of every sandbox (0.05 ms, and more the more there are), and up to six of bwrap's 9,000 words. */
const MAX_HIDDEN = 200;
/** Homes that are searched; the others are hidden with their parent directory. */
const MAX_HOMES = 500;

/** Hidden paths, none of them within another. */
export interface HiddenPaths {
  /** Those in directories that nothing can be written to. */
  readonly outside: readonly string[];
  /** Those of them that are directories. */
  readonly directories: ReadonlySet<string>;
  /** Those in directories that can be written to. */
  readonly inside: readonly string[];
}

/** What is hidden, and from which user. */
export interface HidingSpec {
  readonly hidden: readonly string[];
  readonly writable: readonly string[];
  readonly account?: NamedAccount | undefined;
}

/**
 * Returns the paths that are hidden now: existing paths that match the patterns (`~/` for every home, `*` for part of a
 * name), with links followed, as far as `account` can reach them. If too many are outside, parent directories replace
 * them. Returns the same object until something changes. Throws `SandboxFault` if even those are too many.
 */
export function hiddenNow(spec: HidingSpec): HiddenPaths {
  const { hidden, writable, account } = spec;
  const key = [idOf(hidden), account?.user, account?.groups, ...writable].join('\0');
  const homes = allHomes();
  const before = known.get(key);
  if (before !== undefined && before.homes === homes && before.evidence.holds()) return before.paths;
  const evidence = new Evidence();
  const paths = derive(spec, evidence);
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(key, { paths, homes, evidence });
  return paths;
}

const MAX_KNOWN = 100;
const known = new Map<
  string,
  { readonly paths: HiddenPaths; readonly homes: readonly string[]; readonly evidence: Evidence }
>();

function derive({ hidden, writable, account }: HidingSpec, evidence: Evidence): HiddenPaths {
  const paths = expand(hidden, account, evidence);
  const isInside = (path: string): boolean => writable.some((root) => path !== root && isWithin(root, path));
  const outside = fold(
    paths.filter((path) => !isInside(path)),
    MAX_HIDDEN,
  );
  for (const path of outside) evidence.addTarget(path);
  return { outside, directories: new Set(outside.filter(isDirectory)), inside: paths.filter(isInside) };
}

/** Whether patterns hide this path or a parent by name, even if it does not exist. */
export function isHiddenName(patterns: readonly string[], path: string): boolean {
  const inHomes = allHomes().flatMap((home) => (isWithin(home, path) ? [path.slice(home.length)] : []));
  return patterns.some((pattern) =>
    pattern.startsWith('~/') ? inHomes.some((rest) => fits(pattern.slice(1), rest)) : fits(pattern, path),
  );
}

/** Whether the names of a path, or of a parent, match a pattern. */
function fits(pattern: string, path: string): boolean {
  if (!pattern.includes('*')) return isWithin(pattern, path);
  const names = path.split('/');
  return pattern.split('/').every((part, at) => new Bun.Glob(part).match(names[at] ?? ''));
}

/** Returns a sentence for each hidden file with a second name that is not hidden. */
export function hardLinkNotes(spec: HidingSpec): string[] {
  const { outside, inside } = hiddenNow(spec);
  return [...outside, ...inside].flatMap((path) => {
    const stat = statOrUndefined(path);
    if (stat?.isFile() !== true || stat.nlink < 2) return [];
    return [`${path} has ${stat.nlink} names (hard links), and only this one is hidden`];
  });
}

function expand(patterns: readonly string[], account: NamedAccount | undefined, evidence: Evidence): string[] {
  const found = new Set<string>();
  const maker = makerOf(account);
  const add = (path: string): void => {
    evidence.addTarget(path);
    const real = realOf(path);
    for (const directory of real === undefined ? [] : directoriesAbove(real)) evidence.addDirectory(directory);
    if (real !== path) evidence.addWay(path);
    // The content of such a directory is not visible anyway.
    if (real === undefined || OWN_DIRECTORIES.some((own) => isWithin(own, real))) return;
    const hidden = maker === undefined ? real : closedAbove(maker, real);
    if (!isDenied(hidden, account)) found.add(hidden);
  };
  const { homes, crowds } = homesNow(evidence);
  const looked = homes.flatMap((home) => look(home, evidence));
  for (const path of crowds) add(path);
  const { inHomes, fromRoot } = treesOf(patterns);
  for (const home of looked) search(home.directory, home.names, inHomes, evidence, add);
  search('', undefined, fromRoot, evidence, add);
  return outermost([...found]);
}

interface Looked {
  readonly directory: string;
  /** Its content; undefined if it may be entered but not listed. */
  readonly names: Listing;
}

/** Whether `path` is `root` or is below it. */
export function isWithin(root: string, path: string): boolean {
  return path === root || path.startsWith(root === '/' ? root : `${root}/`);
}

/** Returns each path once, in order, without those that are within another. */
export function outermost(paths: readonly string[]): string[] {
  const all = new Set(paths);
  const isInner = (path: string): boolean => {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
      if (all.has(path.slice(0, end))) return true;
    return path !== '/' && all.has('/');
  };
  return [...all].filter((path) => !isInner(path)).sort();
}

/**
 * Reduces paths to at most `most`: the directories that contain the most of them replace them, again and again. Throws
 * `SandboxFault` if that is not enough.
 */
export function fold(paths: readonly string[], most: number): readonly string[] {
  let left = paths;
  while (left.length > most) {
    const fullest = fullestFirst(left);
    if (fullest.length === 0) throw new SandboxFault(`${left.length} paths would have to be hidden, more than ${most}`);
    let surplus = left.length - most;
    const chosen = fullest.filter(([, count]) => {
      const isNeeded = surplus > 0;
      surplus -= count - 1;
      return isNeeded;
    });
    left = outermost([...left, ...chosen.map(([above]) => above)]);
  }
  return left;
}

/** Returns the directories of paths that may be hidden, with the number of paths in each. */
function fullestFirst(paths: readonly string[]): [above: string, count: number][] {
  const counts = new Map<string, number>();
  for (const path of paths) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  return [...counts].filter(([above]) => !KEPT.test(above)).sort(([, one], [, other]) => other - one);
}

/** Returns the existing homes that are searched, and directories that contain too many of them. */
function homesNow(evidence: Evidence): { readonly homes: readonly string[]; readonly crowds: readonly string[] } {
  let homes = existingHomes(evidence);
  const crowds: string[] = [];
  while (homes.length > MAX_HOMES) {
    const [fullest] = fullestFirst(homes);
    if (fullest === undefined) throw new SandboxFault(`there are ${homes.length} homes, more than ${MAX_HOMES}`);
    const [crowd] = fullest;
    crowds.push(crowd);
    homes = homes.filter((home) => !isWithin(crowd, home));
  }
  return { homes, crowds };
}

/** A machine may have tens of thousands: which of so many exist is read again after a second. */
const FEW_HOMES = 200;
const FRESH_MS = 1000;
let seenHomes: { readonly all: readonly string[]; readonly existing: readonly string[]; readonly lookedMs: number } = {
  all: [],
  existing: [],
  lookedMs: 0,
};

function existingHomes(evidence: Evidence): readonly string[] {
  const all = allHomes();
  const now = performance.now();
  if (all.length <= FEW_HOMES) for (const home of all) evidence.addTarget(home);
  if (seenHomes.all !== all || all.length <= FEW_HOMES || now - seenHomes.lookedMs > FRESH_MS)
    seenHomes = { all, existing: all.filter((home) => isDirectory(home)), lookedMs: now };
  if (all.length > FEW_HOMES) evidence.endsAt(seenHomes.lookedMs + FRESH_MS);
  return seenHomes.existing;
}

/** A home that its owner has closed to us is closed to our commands as well. */
function look(directory: string, evidence: Evidence): Looked[] {
  evidence.addDirectory(directory);
  const names = listed(directory);
  if (names !== undefined) return [{ directory, names }];
  try {
    accessSync(directory, constants.X_OK);
    return [{ directory, names }];
  } catch {
    return [];
  }
}

/**
 * Returns the first directory above a path whose modes lock out a user, who then cannot mount inside; else the path.
 * That directory itself is hidden then: an access control list may open it.
 */
function closedAbove(account: Maker, path: string): string {
  return directoriesAbove(path).find((directory) => isClosedTo(account, directory)) ?? path;
}

/** Returns the directories above an absolute path except the root, outermost first. */
function directoriesAbove(path: string): string[] {
  const names = path.split('/').slice(1, -1);
  return names.map((_, depth) => `/${names.slice(0, depth + 1).join('/')}`);
}

/**
 * Whether the kernel denies commands every access to a path, so that no mount is needed: another user owns it, and only
 * the owner has access. (The bits of the group are the mask of an access control list, which grants nothing then.)
 */
function isDenied(path: string, account: NamedAccount | undefined): boolean {
  const stat = statOrUndefined(path);
  return stat !== undefined && stat.uid !== (account?.user ?? process.geteuid?.()) && (stat.mode & 0o077) === 0;
}

function isClosedTo(maker: Maker, directory: string): boolean {
  const stat = statOrUndefined(directory);
  return stat !== undefined && isClosedBy(stat, maker);
}

/** The user by whose rights a sandbox is made. */
type Maker = Pick<NamedAccount, 'user' | 'groups'>;

/**
 * Returns the user that makes a sandbox, if it is not the agent as it is: `account`, or root in a user namespace, to
 * which modes apply as to everybody. Undefined if the agent itself sees what it can enter.
 */
export function makerOf(account: NamedAccount | undefined): Maker | undefined {
  if (account !== undefined || process.geteuid?.() !== 0) return account;
  return { user: 0, groups: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])] };
}

/** Whether the modes of a directory prevent a user from entering it. */
export function isClosedBy({ uid, gid, mode }: Stats, { user, groups }: Maker): boolean {
  const bit = uid === user ? 0o100 : groups.includes(gid) ? 0o010 : 0o001;
  return (mode & bit) === 0;
}

export function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

export function isDirectory(path: string): boolean {
  return statOrUndefined(path)?.isDirectory() === true;
}
