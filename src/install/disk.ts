import { chmodSync, chownSync, lstatSync, readFileSync, readlinkSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { detach } from '../linux/libc.ts';
import { InstallFault } from './machine.ts';

/** Most links before a loop is assumed (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * Returns the path in the directory `root`, with links resolved as by chroot(2): absolute targets begin at `root`, and `..`
 * does not leave it. So no link of an image leads to the machine that builds it. Missing parts are kept as written. Throws
 * `InstallFault` for a loop of links.
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
    // A part of the path is not a directory. The user of the path will report it.
    return false;
  }
}

/** Sets the group and the mode of a file. */
export function setGroup(target: string, gid: number, mode: number): void {
  chownSync(target, -1, gid);
  chmodSync(target, mode & 0o7777);
}

/** Unmounts what is mounted below a directory. */
export function unmountBelow(directory: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8))),
    );
  for (const point of points.reverse()) if (point.startsWith(`${directory}/`)) detach(point);
}

/** Removes a directory that is empty. */
export function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It is not empty, or does not exist.
  }
}

/** Returns true when two files have the same content. */
export function sameContent(one: string, other: string): boolean {
  if (statSync(one).size !== statSync(other).size) return false;
  return readFileSync(one).equals(readFileSync(other));
}
