import { fstatSync, realpathSync, type Stats } from 'node:fs';
import { openName, openRoot } from '../linux/libc.ts';
import { SandboxFault } from '../process/beginning.ts';
import type { NamedAccount } from '../process/environment.ts';
import { Descriptors } from '../process/start.ts';
import { statOrUndefined } from './reach.ts';

/** The directory of a workspace, held open. */
export interface OpenWorkspace {
  readonly path: string;
  /** O_PATH: what is bound is this directory, whatever bears its name by then. */
  readonly fd: number;
}

/** Who else may stand behind a workspace: root, and the user that its commands run as. */
function trustedIn(account: NamedAccount | undefined): ReadonlySet<number> {
  return new Set([0, account === undefined ? (process.geteuid?.() ?? 0) : account.user]);
}

/**
 * Opens the directory of a workspace from / on, one name after the other, so that no link is followed and nothing can
 * be swapped between the look and the mount. The descriptor belongs to `descriptors`. Throws `SandboxFault` where it is
 * no directory, is or lies behind a link, or where others than root and the user of its commands could put another
 * directory in its place: they own a directory on the way, or may write to one that has no sticky bit (or has one, and
 * what it holds is theirs). An access control list counts: its mask shows as the mode of the group.
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

/** Why the directory of a workspace cannot be used, in words; undefined when it can. */
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

/** Whether of two directories one lies in the other, or both are one, by the mounts they are reached by; not where one is missing. */
export function overlaps(one: string, other: string): boolean {
  const [own, theirs] = [wayTo(one), wayTo(other)];
  const isEndOf = (way: string[], within: string[]): boolean => within.includes(way.at(-1) ?? '');
  return isEndOf(own, theirs) || isEndOf(theirs, own);
}

/** Device and inode of each directory from / to this one, itself as the last. */
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

/** Throws `SandboxFault` where others than `trusted` may rename `inside`, which lies in the directory `above`. */
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
