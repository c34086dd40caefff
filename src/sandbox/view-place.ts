import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { detach, letEnter } from '../linux/libc.ts';

/** Where the agent mounts what its sandboxes see. Inside a sandbox it is another, empty directory. */
const PLACE = '/run/agent3-views';
/** Names of mounts begin with this; all others are plain files. */
const MOUNT = 'view-';

let own: string | undefined;

/** A directory that only one user may enter begins with this. */
const OF_ONE = 'of-';

/**
 * Returns the path of a mount of this process. Every user can reach it, or besides root only the one with the number
 * `uid`; its directory is removed when the process ends. Throws if it cannot be made.
 */
export function viewPath(name: string, uid?: number): string {
  return join(uid === undefined ? ownPlace() : placeOf(uid), `${MOUNT}${name}`);
}

/** Returns root's own directory of this process for the sources of mounts. Throws if it cannot be made. */
export function layerPath(name: string): string {
  const path = join(ownPlace(), 'layers');
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return join(path, name);
}

/** It belongs to root: its user could otherwise rename what root mounts there. */
function placeOf(uid: number): string {
  const path = join(ownPlace(), `${OF_ONE}${uid}`);
  if (existsSync(path)) return path;
  mkdirSync(path, { mode: 0o700 });
  if (uid === 0 || letEnter(path, uid)) return path;
  rmSync(path, { recursive: true });
  throw new Error(`${path}: no access control list can be set`);
}

/** The directory of this process for its mounts. */
function ownPlace(): string {
  if (own === undefined) {
    removeViewsOfTheDead();
    const path = join(PLACE, String(process.pid));
    withUmask(0o022, () => mkdirSync(path, { recursive: true, mode: 0o711 }));
    process.once('exit', () => removeViews(path));
    own = path;
  }
  return own;
}

/**
 * Makes something without these mode bits, whatever umask the agent was started with: users of sandboxes have to enter
 * it.
 */
export function withUmask<T>(mask: number, make: () => T): T {
  const before = process.umask(mask);
  try {
    return make();
  } finally {
    process.umask(before);
  }
}

/** An agent that was killed leaves its views. Another agent that starts now may remove them at the same time. */
function removeViewsOfTheDead(): void {
  if (!existsSync(PLACE)) return;
  for (const pid of readdirSync(PLACE)) {
    if (existsSync(`/proc/${pid}`) && pid !== String(process.pid)) continue;
    try {
      removeViews(join(PLACE, pid));
    } catch {
      // The other agent was first, or a later one is.
    }
  }
}

function removeViews(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (name.startsWith(MOUNT)) detach(join(directory, name));
    if (name.startsWith(OF_ONE)) removeViews(join(directory, name));
  }
  rmSync(directory, { recursive: true, force: true });
}
