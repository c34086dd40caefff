import { statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Why what stands in a file (or lies in a directory) may not be the word of its owner, who is root or the user of this
 * process; undefined when it can be trusted. Throws the system's error.
 */
export function foreignHand(path: string): string | undefined {
  return othersWrite(path) ?? foreignOwner(path);
}

/** Why others than its owner may have changed what lies at a path. Throws the system's error. */
export function othersWrite(path: string): string | undefined {
  const { mode } = statSync(path);
  if ((mode & OTHERS_WRITE) === 0) return undefined;
  const octal = (mode & 0o7777).toString(8).padStart(4, '0');
  return `others than its owner may write to it (mode ${octal}): chmod go-w ${path}`;
}

/**
 * Why the owner of what lies at a path cannot be trusted. In a directory that is root's alone it was root's as well: then
 * also the user of this process is a stranger, as whom commands run. Throws the system's error.
 */
export function foreignOwner(path: string): string | undefined {
  const { uid } = statSync(path);
  if (uid === 0 || (uid === process.geteuid?.() && !isRootsAlone(dirname(path)))) return undefined;
  return `it belongs to the user with the number ${uid}, and has to be root's: chown root ${path}`;
}

const OTHERS_WRITE = 0o022;

function isRootsAlone(directory: string): boolean {
  const { uid, mode } = statSync(directory);
  return uid === 0 && (mode & OTHERS_WRITE) === 0;
}
