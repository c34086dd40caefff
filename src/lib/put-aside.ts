import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Puts a file aside as logrotate does: `log` becomes `log.1`, `log.1` becomes `log.2`, and beyond `keep` the oldest go.
 * Throws the system's error when the file cannot be moved, and has moved nothing then.
 */
export function putAside(path: string, keep: number): void {
  finishPutAside(path, keep);
  renameSync(path, `${path}.0`);
  makeRoom(path, keep);
}

/** Ends a move that was cut short: logrotate knows no `log.0`. Throws the system's error. */
export function finishPutAside(path: string, keep: number): void {
  if (existsSync(`${path}.0`)) makeRoom(path, keep);
}

/**
 * Moves each older file on by one, up to the first number that is free, the oldest first: in whatever moment this ends,
 * their order stays, and none goes before there are more than `keep`.
 */
function makeRoom(path: string, keep: number): void {
  const name = basename(path);
  const numbered = readdirSync(dirname(path))
    .filter((entry) => entry.startsWith(`${name}.`))
    .map((entry) => /^(\d{1,6})(\.gz)?$/.exec(entry.slice(name.length + 1)))
    .filter((match) => match !== null)
    .map(([, number, ending = '']) => ({ number: Number(number), ending }))
    .sort((a, b) => b.number - a.number);
  let free = 1;
  while (numbered.some(({ number }) => number === free)) free++;
  for (const { number, ending } of numbered) {
    const from = join(dirname(path), `${name}.${number}${ending}`);
    if (number > keep || (number === keep && number < free)) rmSync(from);
    else if (number < free) renameSync(from, join(dirname(path), `${name}.${number + 1}${ending}`));
  }
}
