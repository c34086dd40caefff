import type { Profile } from './profile.ts';

/** A profile with a workspace. */
interface Workspace {
  readonly name: string;
  readonly directory: string;
  readonly hidden: readonly string[];
}

/** The workspaces of profiles. */
function workspacesOf(profiles: Iterable<Profile>): Workspace[] {
  return [...profiles].flatMap(({ name, sandbox }) =>
    sandbox?.directory === undefined ? [] : [{ name, directory: sandbox.directory, hidden: sandbox.hidden }],
  );
}

/**
 * Why the workspace of a profile cannot be used beside those of `others`; undefined when it can. In one that lies in
 * another, a command of the outer one could put another directory in its place, or show what the inner one hides. Two
 * profiles may share a directory when they hide the same: what one of them shows, it could move for the other.
 * `overlaps` tells of directories that are one by mounts, though their names differ.
 */
export function overlapFault(
  profile: Profile,
  others: Iterable<Profile>,
  overlaps: (directory: string, other: string) => boolean = () => false,
): string | undefined {
  const [own] = workspacesOf([profile]);
  if (own === undefined) return undefined;
  for (const other of workspacesOf(others)) {
    if (other.name === own.name) continue;
    const where = `${other.directory}, the workspace of the profile ${other.name}`;
    if (own.directory === other.directory) {
      if (!hidesTheSame(own, other))
        return `its directory is also ${where}, which hides other paths: hide and show the same in both`;
    } else if (isIn(own.directory, other.directory)) {
      return `its directory ${own.directory} lies in ${where}: a command there could put another in its place`;
    } else if (isIn(other.directory, own.directory)) {
      return `in its directory ${own.directory} lies ${where}: a command here could put another in its place`;
    } else if (overlaps(own.directory, other.directory)) {
      return `its directory ${own.directory} and ${where}, are one in the other, or the same by a mount`;
    }
  }
  return undefined;
}

function isIn(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

function hidesTheSame({ hidden }: Workspace, other: Workspace): boolean {
  const theirs = new Set(other.hidden);
  return new Set(hidden).size === theirs.size && hidden.every((path) => theirs.has(path));
}
