import { fstatSync, realpathSync, type Stats } from 'node:fs';
import { openName, openRoot } from '../linux/descriptors.ts';
import { SandboxFault } from '../process/beginning.ts';
import type { NamedAccount } from '../process/environment.ts';
import { Descriptors } from '../process/start.ts';
import { statOrUndefined } from './reach.ts';

/** The directory of a workspace, held open. */
export interface OpenWorkspace {
  readonly path: string;
  /** O_PATH: this directory is bound, whatever has its name by then. */
  readonly fd: number;
}

/** Returns who may own or change the way to a workspace: root, and the user that its commands run as. */
function trustedIn(account: NamedAccount | undefined): ReadonlySet<number> {
  return new Set([0, account === undefined ? (process.geteuid?.() ?? 0) : account.user]);
}

/**
 * Opens the directory of a workspace from / on, one name after the other, so that no link is followed and nothing can
 * be swapped between look and mount. The descriptor belongs to `descriptors`. Throws `SandboxFault` if it is not a
 * directory, is or is below a link, or if others than root and the user of its commands could put another directory in
 * its place. They can if they own a directory on the way, or may write to one without the sticky bit (or with it, if
 * they own its content). An access control list counts: its mask shows as the mode of the group.
 */
export function openWorkspace(
  path: string,
  account: NamedAccount | undefined,
  descriptors: Descriptors,
): OpenWorkspace {
  const trusted = trustedIn(account);
  let fd = descriptors.add(openRoot());
  let above = '/';
  let stat = fstatSync(fd);
  for (const name of path.split('/').slice(1)) {
    const next = openName(fd, name);
    if (next === undefined) throw new SandboxFault(`the directory ${path} does not exist`);
    descriptors.add(next);
    const inside = fstatSync(next);
    if (inside.isSymbolicLink()) throw new SandboxFault(describeLink(path));
    if (!inside.isDirectory()) throw new SandboxFault(`the directory ${path} does not exist`);
    requireStable(path, above, stat, inside, trusted);
    descriptors.close(fd);
    above = above === '/' ? `/${name}` : `${above}/${name}`;
    fd = next;
    stat = inside;
  }
  return { path, fd };
}

/** Returns why the directory of a workspace cannot be used; undefined if it can. */
export function workspaceFault(path: string, account: NamedAccount | undefined): string | undefined {
  try {
    using descriptors = new Descriptors();
    openWorkspace(path, account, descriptors);
    return undefined;
  } catch (error) {
    if (error instanceof SandboxFault) return error.message;
    throw error;
  }
}

/**
 * Whether one of two directories is within the other, or both are the same, by the mounts they are reached by; false if
 * one is missing.
 */
export function overlaps(one: string, other: string): boolean {
  const [own, theirs] = [wayTo(one), wayTo(other)];
  const isEndOf = (way: string[], within: string[]): boolean => within.includes(way.at(-1) ?? '');
  return isEndOf(own, theirs) || isEndOf(theirs, own);
}

/** Returns device and inode of each directory from / to this one, itself last. */
function wayTo(path: string): string[] {
  const names = path.split('/').slice(1);
  const paths = names.map((_, at) => `/${names.slice(0, at + 1).join('/')}`);
  const stats = paths.map((one) => statOrUndefined(one));
  return stats.every((stat) => stat !== undefined) ? stats.map(identityOf) : [];
}

function identityOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

const STICKY = 0o1000;
const OTHERS_WRITE = 0o022;

/** Throws `SandboxFault` if others than `trusted` may rename `inside`, which is in the directory `above`. */
function requireStable(
  path: string,
  above: string,
  directory: Stats,
  inside: Stats,
  trusted: ReadonlySet<number>,
): void {
  if (!trusted.has(directory.uid)) {
    const owner = `the user with the number ${directory.uid}`;
    throw new SandboxFault(
      `${owner} owns ${above} and could put another directory in the place of ${path}: chown root ${above}, or choose a directory elsewhere`,
    );
  }
  if ((directory.mode & OTHERS_WRITE) === 0) return;
  if ((directory.mode & STICKY) !== 0 && trusted.has(inside.uid)) return;
  const mode = (directory.mode & 0o7777).toString(8).padStart(4, '0');
  throw new SandboxFault(
    `others may write to ${above} (mode ${mode}) and could put another directory in the place of ${path}: chmod go-w ${above}, or choose a directory elsewhere`,
  );
}

function describeLink(path: string): string {
  return `the directory ${path} is, or lies behind, a symbolic link${describeTarget(path)}`;
}

function describeTarget(path: string): string {
  try {
    return `: write ${realpathSync(path)}, where it really is`;
  } catch {
    // It leads nowhere.
    return '';
  }
}
