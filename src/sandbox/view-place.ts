import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { detach } from '../linux/libc.ts';

/** Where the agent mounts what its sandboxes see: inside of one it is another, empty directory. */
const PLACE = '/run/agent3-views';
/** Names of mounts begin with this; all else are plain files. */
const MOUNT = 'view-';

let own: string | undefined;

/** The path of a mount of this process; its directory goes when the process ends. Throws where none can be made. */
export function viewPath(name: string): string {
  return join(ownPlace(), `${MOUNT}${name}`);
}

/** The directory of this process for its mounts, and what they are made of. */
export function ownPlace(): string {
  if (own === undefined) {
    removeViewsOfTheDead();
    const path = join(PLACE, String(process.pid));
    withUmask(0o022, () => mkdirSync(path, { recursive: true, mode: 0o711 }));
    process.once('exit', () => removeViews(path));
    own = path;
  }
  return own;
}

/** Makes something with these bits off, whatever umask the agent was started with: users of sandboxes have to enter it. */
export function withUmask<T>(mask: number, make: () => T): T {
  const before = process.umask(mask);
  try {
    return make();
  } finally {
    process.umask(before);
  }
}

/** An agent that was killed leaves its views. */
function removeViewsOfTheDead(): void {
  if (!existsSync(PLACE)) return;
  for (const pid of readdirSync(PLACE)) {
    if (existsSync(`/proc/${pid}`) && pid !== String(process.pid)) continue;
    removeViews(join(PLACE, pid));
  }
}

function removeViews(directory: string): void {
  for (const name of readdirSync(directory)) if (name.startsWith(MOUNT)) detach(join(directory, name));
  rmSync(directory, { recursive: true, force: true });
}
