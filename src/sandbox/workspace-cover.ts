import { accessSync, constants, fstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { openName } from '../linux/descriptors.ts';
import { withReserve } from '../linux/open-files.ts';
import { SandboxFault } from '../process/beginning.ts';
import type { NamedAccount } from '../process/environment.ts';
import type { Descriptors } from '../process/start.ts';
import { isClosedBy, isWithin, makerOf, outermost } from './hidden.ts';
import { allHomes } from './homes.ts';
import { MAX_MATCHES } from './pattern-tree.ts';
import type { OpenWorkspace } from './workspace.ts';

/** What hides paths within a workspace. */
export interface Cover {
  /** Directories that are bound on themselves: no command that has a mount point can move or remove it. */
  readonly pins: readonly { readonly path: string; readonly fd: number }[];
  /** Files and directories that are covered. */
  readonly masks: readonly { readonly path: string; readonly isDirectory: boolean }[];
}

const MAX_PINS = 64;
const MAX_MASKS = 200;

/** Names on the way to something hidden; `*` matches part of a name. */
interface Names {
  readonly below: Map<string, Names>;
  isHidden: boolean;
}

/**
 * Returns what has to be covered in a workspace so that `patterns` are hidden there, whatever its commands do now and
 * in later calls. Every directory on the way to a hidden name is pinned, even if the name does not exist: otherwise one
 * call moves the directory and the next one finds nothing to hide. A link on that way, which a command could change,
 * and an unreadable path are refused: both throw `SandboxFault`. `found` are hidden paths in the workspace that links
 * from outside lead to. The descriptors belong to `descriptors`.
 */
export function coverWorkspace(
  workspace: OpenWorkspace,
  patterns: readonly string[],
  found: readonly string[],
  account: NamedAccount | undefined,
  descriptors: Descriptors,
): Cover {
  const pins = new Map<string, number>();
  const masks = new Map<string, boolean>();
  const root = namesIn(workspace.path, [...patterns, ...found.filter((path) => isWithin(workspace.path, path))]);

  const walk = (directory: { readonly path: string; readonly fd: number }, names: Names): void => {
    for (const [name, below] of names.below) {
      if (!name.includes('*')) visit(directory, name, below);
      else {
        const fitting = namesLike(directory, name);
        if (fitting === undefined) {
          if (directory.path === workspace.path)
            throw new SandboxFault(
              `what is hidden in ${workspace.path} is unknown: it may not be listed, or has more than ${MAX_MATCHES} names like ${name}`,
            );
          masks.set(directory.path, true);
          return;
        }
        for (const one of fitting) visit(directory, one, below);
      }
    }
  };
  const visit = (above: { readonly path: string; readonly fd: number }, name: string, names: Names): void => {
    const path = `${above.path}/${name}`;
    const known = pins.get(path);
    const fd = known ?? openName(above.fd, name);
    if (fd === undefined) return;
    if (known === undefined) descriptors.add(fd);
    const stat = fstatSync(fd);
    if (stat.isSymbolicLink()) requireHarmlessLink(path);
    else if (names.isHidden || (stat.isDirectory() && isClosed(fd, stat, account))) masks.set(path, stat.isDirectory());
    else if (stat.isDirectory()) {
      pins.set(path, fd);
      if (pins.size > MAX_PINS) throw new SandboxFault(tooMany(workspace.path, MAX_PINS, 'directories'));
      walk({ path, fd }, names);
      return;
    }
    if (known === undefined) descriptors.close(fd);
  };

  walk(workspace, root);
  const covered = outermost([...masks.keys()]);
  if (covered.length > MAX_MASKS) throw new SandboxFault(tooMany(workspace.path, MAX_MASKS, 'paths'));
  return {
    pins: [...pins]
      .filter(([path]) => !covered.some((mask) => isWithin(mask, path)))
      .map(([path, fd]) => ({ path, fd }))
      .sort((one, other) => (one.path < other.path ? -1 : 1)),
    masks: covered.map((path) => ({ path, isDirectory: masks.get(path) === true })),
  };
}

function tooMany(workspace: string, most: number, what: string): string {
  return `more than ${most} ${what} would have to be covered in ${workspace} for what is hidden there`;
}

/** Returns the hidden names below a workspace, as a tree. */
function namesIn(workspace: string, patterns: readonly string[]): Names {
  const root: Names = { below: new Map(), isHidden: false };
  const homes = allHomes().filter((home) => isWithin(home, workspace) || isWithin(workspace, home));
  const literal = patterns.flatMap((pattern) =>
    pattern.startsWith('~/') ? homes.map((home) => `${home}/${pattern.slice(2)}`) : [pattern],
  );
  for (const pattern of literal) {
    let at = root;
    for (const name of within(workspace, pattern)) {
      const next = at.below.get(name) ?? { below: new Map(), isHidden: false };
      at.below.set(name, next);
      at = next;
    }
    if (at !== root) at.isHidden = true;
  }
  return root;
}

/** Returns the names of a pattern below a directory; empty if it does not lead there. */
function within(directory: string, pattern: string): readonly string[] {
  // This excludes most combinations of homes and patterns.
  if (!pattern.includes('*') && !pattern.startsWith(`${directory}/`)) return [];
  const names = pattern.split('/').filter((name) => name !== '');
  const above = directory.split('/').filter((name) => name !== '');
  const leads = above.every((name, at) => name === names[at] || new Bun.Glob(names[at] ?? '').match(name));
  return leads ? names.slice(above.length) : [];
}

/**
 * Returns the names in an open directory that `part` matches; undefined if it may not be listed, or there are too many.
 */
function namesLike({ fd }: { readonly fd: number }, part: string): readonly string[] | undefined {
  try {
    const glob = new Bun.Glob(part);
    const fitting = withReserve(() => readdirSync(`/proc/self/fd/${fd}`)).filter((name) => glob.match(name));
    return fitting.length > MAX_MATCHES ? undefined : fitting;
  } catch {
    return undefined;
  }
}

/** Whether the user that makes the sandbox cannot mount in a directory: then it is covered itself. */
function isClosed(fd: number, stat: Stats, account: NamedAccount | undefined): boolean {
  const maker = makerOf(account);
  if (maker !== undefined) return isClosedBy(stat, maker);
  try {
    accessSync(`/proc/self/fd/${fd}`, constants.X_OK);
    return false;
  } catch {
    return true;
  }
}

/** A link to a device, such as /dev/null, has nothing to hide. */
function requireHarmlessLink(path: string): void {
  if (leadsToDevice(path)) return;
  throw new SandboxFault(
    `${path} is a symbolic link, or leads through one, in a directory that its commands may write to, and must stay hidden: hide what it leads to by its own path, or replace the link by that`,
  );
}

function leadsToDevice(path: string): boolean {
  try {
    return statSync(path).isCharacterDevice();
  } catch {
    return false;
  }
}
