import { statSync } from 'node:fs';
import { errnoOf } from './errors.ts';

/** A text that changes with every write of a file, and with its owner and mode; where the system shows none, the reason. Never throws. */
export function fileFingerprint(path: string): string {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? 'none' : `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`;
  } catch (error) {
    // Whoever then reads the file is told what is wrong with it.
    return errnoOf(error) ?? 'unknown';
  }
}
