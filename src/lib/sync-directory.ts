import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Puts the names in a directory on the disk, as they are now. Throws the system's error. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
