import { lstatSync, type Stats, statSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';

/**
 * What a path says of itself to those who cannot reach what it names: it is not there, a directory on the way is closed
 * to them or no directory, links lead in a circle, a name is too long, or its file system is gone (errno(3)).
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

/** stat(2); undefined where nothing can be reached by this path. Throws every other error of the system. */
export function statOrUndefined(path: string): Stats | undefined {
  return reached(() => statSync(path, QUIETLY));
}

/** lstat(2): of a link, not of what it leads to. Else as `statOrUndefined`. */
export function lstatOrUndefined(path: string): Stats | undefined {
  return reached(() => lstatSync(path, QUIETLY));
}

/** An error for each name that is not there takes longer than the look. */
const QUIETLY = { throwIfNoEntry: false } as const;

function reached(look: () => Stats | undefined): Stats | undefined {
  try {
    return look();
  } catch (error) {
    if (UNREACHABLE.has(errnoOf(error))) return undefined;
    throw error;
  }
}
