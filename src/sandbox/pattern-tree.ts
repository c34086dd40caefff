import type { Evidence } from './evidence.ts';
import { type Listing, listDirectory, type Names } from './listing.ts';
import { lstatOrUndefined } from './reach.ts';

/**
 * With more matches in one directory, all of it is hidden: a user who may write to a home decides on the names in it.
 */
export const MAX_MATCHES = 30;

/** Never hidden as a whole: nothing would run, or nothing would be left to look at. */
export const KEPT = /^\/(?:$|(?:etc|usr|var|bin|sbin|lib\w*|boot|dev|proc|sys)$)/;

interface Candidates {
  readonly names: readonly (readonly [name: string, tree: Tree])[];
  /** Of the matches of a star. */
  readonly areTooMany: boolean;
}

/** Patterns as a tree of names: of hundreds, most begin in a directory that does not exist. */
export class Tree {
  readonly below = new Map<string, Tree>();
  isHidden = false;
  #hasStars: boolean | undefined;
  readonly #candidates = new WeakMap<Names, Candidates>();

  add(pattern: string): void {
    let at: Tree = this;
    for (const part of pattern.split('/').filter((one) => one !== '')) {
      const next = at.below.get(part) ?? new Tree();
      at.below.set(part, next);
      at = next;
    }
    at.isHidden = true;
  }

  /** Returns the names in a directory that patterns continue with. */
  candidatesIn(names: Names): Candidates {
    const known = this.#candidates.get(names);
    if (known !== undefined) return known;
    const parts = [...this.below];
    const starred = parts.flatMap(([part, tree]) =>
      part.includes('*') ? names.like(part).map((name) => [name, tree] as const) : [],
    );
    const named = parts.filter(([part]) => !part.includes('*') && names.has(part));
    const candidates = { names: [...named, ...starred], areTooMany: starred.length > MAX_MATCHES };
    this.#candidates.set(names, candidates);
    return candidates;
  }

  get hasStars(): boolean {
    this.#hasStars ??= [...this.below.keys()].some((part) => part.includes('*'));
    return this.#hasStars;
  }
}

/** Fewer names than this are looked for one by one. */
const WORTH_LISTING = 4;

/**
 * Passes every existing path that a tree matches in a directory (empty for /) to `add`, and links that lead nowhere;
 * the directory itself if there are too many. `evidence` gets the directories that it reads.
 */
export function search(
  directory: string,
  known: Listing,
  tree: Tree,
  evidence: Evidence,
  add: (path: string) => void,
): void {
  evidence.addDirectory(directory || '/');
  const isWorth = tree.hasStars || tree.below.size >= WORTH_LISTING;
  const names = known ?? (isWorth ? listed(directory || '/') : undefined);
  if (names === undefined || (names === 'large' && !tree.hasStars)) {
    for (const [name, below] of tree.below) {
      const path = `${directory}/${name}`;
      if (!name.includes('*') && lstatOrUndefined(path) !== undefined) follow(path, below, evidence, add);
    }
    return;
  }
  const found = names === 'large' ? undefined : tree.candidatesIn(names);
  if (found === undefined || (found.areTooMany && !KEPT.test(directory || '/'))) add(directory);
  else for (const [name, below] of found.names) follow(`${directory}/${name}`, below, evidence, add);
}

function follow(path: string, tree: Tree, evidence: Evidence, add: (path: string) => void): void {
  if (tree.isHidden) add(path);
  else search(path, undefined, tree, evidence, add);
}

export interface Trees {
  readonly inHomes: Tree;
  readonly fromRoot: Tree;
}

const ids = new Map<string, number>();
const idsOfLists = new WeakMap<readonly string[], number>();
const trees = new Map<number, Trees>();
const MAX_LISTS = 500;

/**
 * Returns a number for a list of patterns, equal for equal lists. Joining hundreds of them for each command costs 0.1
 * ms.
 */
export function idOf(patterns: readonly string[]): number {
  const known = idsOfLists.get(patterns);
  if (known !== undefined) return known;
  const key = patterns.join('\0');
  if (ids.size >= MAX_LISTS) ids.clear();
  const id = ids.get(key) ?? nextId++;
  ids.set(key, id);
  idsOfLists.set(patterns, id);
  return id;
}

let nextId = 1;

/** Returns the trees of patterns: in every home (`~/`), and from / on. The same objects for the same patterns. */
export function treesOf(patterns: readonly string[]): Trees {
  const id = idOf(patterns);
  const known = trees.get(id);
  if (known !== undefined) return known;
  const made = { inHomes: new Tree(), fromRoot: new Tree() };
  for (const pattern of patterns)
    if (pattern.startsWith('~/')) made.inHomes.add(pattern.slice(2));
    else made.fromRoot.add(pattern);
  if (trees.size >= MAX_LISTS) trees.clear();
  trees.set(id, made);
  return made;
}

/** Directories that cannot be hidden as a whole are listed, however long that takes: they are root's. */
export function listed(directory: string): Listing {
  return KEPT.test(directory) ? listDirectory(directory, Number.POSITIVE_INFINITY) : listDirectory(directory);
}
