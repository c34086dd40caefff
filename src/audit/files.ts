import { constants, existsSync, openSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describeErrno, isDenied } from '../lib/errors.ts';
import { finishPutAside, readRegular } from '../lib/files.ts';

/** Older files of a record that are kept, by the agent and by ops/agent3.logrotate. */
export const KEPT_FILES = 90;

/** Returns the files of a record, the oldest first: `audit.jsonl.2.gz`, `audit.jsonl.1`, `audit.jsonl`. */
export function recordFiles(path: string): string[] {
  const rotated = rotatedFiles(path);
  return existsSync(path) ? [...rotated, path] : rotated;
}

/**
 * Returns those that logrotate has rotated, by their numbers or, with its `dateext`, by their days; the oldest first.
 */
export function rotatedFiles(path: string): string[] {
  const directory = dirname(path);
  const name = basename(path);
  const numbered: { readonly entry: string; readonly number: number }[] = [];
  const dated: string[] = [];
  for (const entry of readdirSync(directory)) {
    if (!entry.startsWith(name)) continue;
    const rest = entry.slice(name.length);
    const number = /^\.(\d{1,6})(?:\.gz)?$/.exec(rest)?.[1];
    if (number !== undefined) numbered.push({ entry, number: Number(number) });
    else if (/^-\d{8}[\d.-]{0,12}(?:\.gz)?$/.test(rest)) dated.push(entry);
  }
  const byNumber = numbered.sort((a, b) => b.number - a.number).map(({ entry }) => join(directory, entry));
  const byDay = dated.sort().map((entry) => join(directory, entry));
  // If both exist, the settings of logrotate were changed meanwhile.
  return lastChange(byNumber) < lastChange(byDay) ? [...byNumber, ...byDay] : [...byDay, ...byNumber];
}

function lastChange(paths: readonly string[]): number {
  const last = paths.at(-1);
  return last === undefined ? 0 : (statSync(last, { throwIfNoEntry: false })?.mtimeMs ?? 0);
}

/** Completes a rotation in which an earlier agent was killed, if the agent can. */
export function finishRotation(path: string): void {
  try {
    finishPutAside(path, KEPT_FILES);
  } catch {
    // Its directory is not the agent's: then no agent has begun one.
  }
}

/**
 * Returns the bytes of a file of a record. Throws the system's error. With `damaged`, a damaged file has no bytes, and
 * `damaged` is called with the reason.
 */
export function readRecordFile(path: string, damaged?: (why: string) => void): Uint8Array {
  try {
    const bytes = readRegular(path);
    return path.endsWith('.gz') ? gunzipSync(bytes) : bytes;
  } catch (error) {
    if (damaged === undefined || isDenied(error)) throw error;
    damaged(describeErrno(error));
    return new Uint8Array(0);
  }
}

/** Opens the file of a record for appending. Throws the system's error. */
export function openRecord(path: string): number {
  const { O_APPEND, O_CREAT, O_RDWR, O_NOFOLLOW } = constants;
  return openSync(path, O_APPEND | O_CREAT | O_RDWR | O_NOFOLLOW, 0o640);
}
