import { closeSync, openSync, readSync } from 'node:fs';
import { readRecordFile, recordFiles } from './files.ts';

const MARK = Buffer.from('"event":"grant"');
const PIECE_BYTES = 1_048_576;
/** Clocks may be set: a file that begins this much earlier is old enough. */
const MARGIN_MS = 86_400_000;

/**
 * Returns the highest `change` of each grant in the record, from the newest file back to the one that begins before
 * `sinceMs`. If the record is append-only, a state of a grant with a lower one is outdated. Unreadable files are
 * skipped.
 */
export function lastChanges(path: string, sinceMs: number): ReadonlyMap<string, number> {
  const changes = new Map<string, number>();
  for (const file of listed(path).toReversed()) {
    const beganMs = scan(file, changes);
    if (beganMs !== undefined && beganMs < sinceMs - MARGIN_MS) break;
  }
  return changes;
}

function listed(path: string): readonly string[] {
  try {
    return recordFiles(path);
  } catch {
    // A directory that the agent may not list: its own file remains.
    return [path];
  }
}

/** Adds what a file says; returns the time of its first line, if it has one. */
function scan(file: string, changes: Map<string, number>): number | undefined {
  let beganMs: number | undefined;
  const look = (lines: Buffer): void => {
    beganMs ??= timeOf(lines);
    for (let at = lines.indexOf(MARK); at !== -1; at = lines.indexOf(MARK, at + MARK.length)) {
      const end = lines.indexOf('\n', at);
      note(lines.toString('utf8', lines.lastIndexOf('\n', at) + 1, end === -1 ? lines.length : end), changes);
    }
  };
  try {
    if (file.endsWith('.gz')) look(Buffer.from(readRecordFile(file)));
    else eachPiece(file, look);
  } catch {
    // It is root's alone, or was just rotated.
  }
  return beganMs;
}

/** Calls `look` with whole lines, a piece of a file at a time. */
function eachPiece(file: string, look: (lines: Buffer) => void): void {
  const fd = openSync(file, 'r');
  try {
    const piece = Buffer.alloc(PIECE_BYTES);
    let rest = Buffer.alloc(0);
    for (let length = readSync(fd, piece); length > 0; length = readSync(fd, piece)) {
      const bytes = Buffer.concat([rest, piece.subarray(0, length)]);
      const whole = bytes.lastIndexOf('\n') + 1;
      if (whole > 0) look(bytes.subarray(0, whole));
      rest = bytes.subarray(whole);
    }
    if (rest.length > 0) look(rest);
  } finally {
    closeSync(fd);
  }
}

function timeOf(lines: Buffer): number | undefined {
  const time = /"time":"([^"]{1,40})"/.exec(lines.toString('latin1', 0, 200))?.[1];
  return time === undefined ? undefined : Date.parse(time);
}

function note(line: string, changes: Map<string, number>): void {
  try {
    const { event, grant, change } = JSON.parse(line) as Record<string, unknown>;
    if (event !== 'grant' || typeof grant !== 'string' || typeof change !== 'number') return;
    changes.set(grant, Math.max(change, changes.get(grant) ?? 0));
  } catch {
    // An invalid line was not written by the agent: `audit verify` finds it.
  }
}
