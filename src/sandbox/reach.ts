import { lstatSync, type Stats, statSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';

/**
 * Errors for a path whose target a user cannot reach: it does not exist, a directory on the way is closed or is not a
 * directory, links lead in a circle, a name is too long, or its file system is gone (errno(3)).
 */
const UNREACHABLE: ReadonlySet<string | undefined> = new Set([
  'ENOENT',
  'EACCES',
  'ENOTDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOTCONN',
  'ESTALE',
]);

/** stat(2); undefined if nothing can be reached by this path. Throws every other error of the system. */
export function statOrUndefined(path: string): Stats | undefined {
  return reached(() => statSync(path, QUIETLY));
}

/** lstat(2): of a link itself, not of its target. Else as `statOrUndefined`. */
export function lstatOrUndefined(path: string): Stats | undefined {
  return reached(() => lstatSync(path, QUIETLY));
}

/** An exception for each missing name takes longer than the look. */
const QUIETLY = { throwIfNoEntry: false } as const;

function reached(look: () => Stats | undefined): Stats | undefined {
  try {
    return look();
  } catch (error) {
    if (UNREACHABLE.has(errnoOf(error))) return undefined;
    throw error;
  }
}
