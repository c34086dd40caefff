import { statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Why what stands in a file (or lies in a directory) may not be the word of its owner, who is root or the user of the
 * agent, `own`: that of this process unless it is told; undefined when it can be trusted. Throws the system's error.
 */
export function foreignHand(path: string, own: number | undefined = process.geteuid?.()): string | undefined {
  return othersWrite(path) ?? foreignOwner(path, own);
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
 * also the user of the agent is a stranger, as whom commands run. Throws the system's error.
 */
export function foreignOwner(path: string, own: number | undefined = process.geteuid?.()): string | undefined {
  const { uid } = statSync(path);
  if (uid === 0 || (uid === own && !isRootsAlone(dirname(path)))) return undefined;
  return `it belongs to the user with the number ${uid}, and has to be root's: chown root ${path}`;
}

const OTHERS_WRITE = 0o022;

function isRootsAlone(directory: string): boolean {
  const { uid, mode } = statSync(directory);
  return uid === 0 && (mode & OTHERS_WRITE) === 0;
}

/** Whose agent it is that reads a file which lies elsewhere than the service's: to root, that of the directory's owner. */
export function likelyOwner(path: string): number | undefined {
  const own = process.geteuid?.();
  return own === 0 ? (statSync(dirname(path), { throwIfNoEntry: false })?.uid ?? own) : own;
}
