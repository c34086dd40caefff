import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { InstallFault } from './fault.ts';

/** path_resolution(7): more links than these are a loop. */
const MAX_LINKS = 40;

/**
 * Where a path of the machine is in the directory `root`, with every link on its way resolved as chroot(2) would: a
 * target that is absolute begins at `root`, and `..` does not leave it. So no link of an image leads to the machine that
 * builds it. What is not there yet is taken as it is written. Throws `InstallFault` for a loop of links.
 */
export function below(root: string, path: string): string {
  if (root === '/') return path;
  const ahead = namesOf(path);
  const found: string[] = [];
  let links = 0;
  for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === '..') {
      found.pop();
      continue;
    }
    const place = join(root, ...found, name);
    if (!isLink(place)) {
      found.push(name);
      continue;
    }
    if (++links > MAX_LINKS) throw new InstallFault(`${path} below ${root} leads through a loop of symbolic links`);
    const target = readlinkSync(place);
    if (target.startsWith('/')) found.length = 0;
    ahead.unshift(...namesOf(target));
  }
  return join(root, ...found);
}

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');

function isLink(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  } catch {
    // Something on the way is no directory: what uses the path will say so.
    return false;
  }
}
