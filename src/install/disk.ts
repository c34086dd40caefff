import { chmodSync, chownSync, existsSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { detach } from '../linux/libc.ts';

/** Gives a file to a group, with a mode. */
export function setGroup(target: string, gid: number, mode: number): void {
  chownSync(target, -1, gid);
  chmodSync(target, mode & 0o7777);
}

/** The bytes of a file; undefined where there is none. */
export function readIfThere(path: string): Buffer | undefined {
  return existsSync(path) ? readFileSync(path) : undefined;
}

/** Takes away what is mounted below a directory: its files are not the directory's own. */
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
    // Not empty, or not there: it stays as it is.
  }
}

/** Whether two files hold the same bytes. */
export function sameContent(one: string, other: string): boolean {
  if (statSync(one).size !== statSync(other).size) return false;
  return readFileSync(one).equals(readFileSync(other));
}
