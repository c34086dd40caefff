import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readlink, rmdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import { changedMeanwhile, refusedBySystem } from './place.ts';

/** open(2): identifies a file without opening it. */
export const O_PATH = 0o10000000;
const DIRECTORY = O_PATH | constants.O_DIRECTORY;

/** The directory of a path, held open. */
export interface OpenDirectory {
  readonly handle: FileHandle;
  /** Its real path. */
  readonly path: string;
  /** The part of the path below it that does not exist. */
  readonly missing: string | undefined;
}

/**
 * Opens the directory of a path with the rights of the agent, or the nearest parent that exists. The caller closes it.
 * Throws `InvalidArguments` if the kernel refuses it.
 */
export async function openDirectory(directory: string): Promise<OpenDirectory> {
  let at = directory;
  const missing: string[] = [];
  for (;;) {
    try {
      const handle = await open(at, DIRECTORY);
      const path = await readlink(`/proc/self/fd/${handle.fd}`);
      return { handle, path, missing: missing.length === 0 ? undefined : missing.join('/') };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || at === '/') throw refusedBySystem('reached', at, error);
      missing.unshift(posix.basename(at));
      at = posix.dirname(at);
    }
  }
}

/**
 * Makes what is missing below an open directory, and opens the last one. Follows no link: what others have put there
 * meanwhile is used if it is a directory. The caller closes it. Throws `FileConflict` for `file`, and the error of the
 * system.
 */
export async function makeDirectories(
  { handle: top, path }: OpenDirectory,
  missing: string,
  file: string,
): Promise<FileHandle> {
  let opened: FileHandle | undefined;
  try {
    for (const name of missing.split('/')) {
      const next = await makeDirectory(`${selfPath(opened ?? top)}/${name}`, file);
      await opened?.close();
      opened = next;
    }
    if (opened === undefined || (await readlink(selfPath(opened))) !== posix.join(path, missing))
      throw changedMeanwhile(file);
    return opened;
  } catch (error) {
    await opened?.close();
    throw error;
  }
}

async function makeDirectory(path: string, file: string): Promise<FileHandle> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  try {
    return await open(path, DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    // A link, a file, or gone.
    if (['ENOTDIR', 'ELOOP', 'ENOENT'].includes(errnoOf(error) ?? '')) throw changedMeanwhile(file);
    throw error;
  }
}

/**
 * Removes a directory and its parents, at most `count`, up to the first one that is not empty or may not be removed.
 */
export async function removeEmpty({ handle, path }: OpenDirectory, count: number): Promise<void> {
  const opened: FileHandle[] = [];
  try {
    for (let [below, name, left] = [handle, path, count]; left > 0; left--) {
      const above = await open(`${selfPath(below)}/..`, DIRECTORY);
      opened.push(above);
      await rmdir(`${selfPath(above)}/${posix.basename(name)}`);
      [below, name] = [above, posix.dirname(name)];
    }
  } catch {
    // It stays.
  } finally {
    for (const above of opened) await above.close();
  }
}

/** Returns the path of a descriptor of this process for system calls (proc(5)). */
export function selfPath({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}
