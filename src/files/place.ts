import { posix } from 'node:path';
import { describeErrno, FileConflict, FileNotFound, InvalidArguments, isOutOfFiles } from '../lib/errors.ts';
import { MAX_FILE_BYTES, MAX_PATH_BYTES } from '../lib/limits.ts';
import { isWithin, OWN_DIRECTORIES } from '../sandbox/hidden.ts';

/** What has a name in a directory, as lstat(2) reports it. */
export interface FileStat {
  readonly kind: FileKind;
  /** In bytes. */
  readonly size: number;
  /** The bits of its mode, with set-id and sticky bits. */
  readonly mode: number;
  readonly user: number;
  readonly group: number;
  /** How many names it has. */
  readonly links: number;
  /** A different text after it was written to, replaced, or given another owner or mode. */
  readonly version: string;
}

export type FileKind = 'file' | 'directory' | 'link' | 'device' | 'pipe' | 'socket';

/** A part of a file, in bytes; a negative offset counts from its end. */
export interface Range {
  readonly offset: number;
  readonly bytes: number;
}

/** What was read of a file. */
export interface FileBytes {
  readonly bytes: Uint8Array;
  /** Where in the file they begin. */
  readonly start: number;
  /** How many the file has. */
  readonly size: number;
  /** Whether they are all of it. */
  readonly isWhole: boolean;
}

/** A new file, with its properties besides the bytes. */
export interface NewFile {
  readonly bytes: Uint8Array;
  /** The nine bits of its mode, and in an undo set-id bits; undefined: what the umask leaves of 0666. */
  readonly mode: number | undefined;
  /** Undefined: the user that makes it. */
  readonly owner: { readonly user: number; readonly group: number } | undefined;
}

/**
 * A name in a directory that is held open: whatever becomes of the path, what is looked at, decided on and changed is
 * one place. A link at its end is not followed. The caller disposes of it.
 */
export interface FilePlace extends AsyncDisposable {
  /** Its real path: no directory in it is a link. */
  readonly path: string;
  /** The directories of the path that do not exist, as a path from the last existing one; undefined if all exist. */
  readonly missing: string | undefined;
  /** Undefined: nothing has this name. */
  readonly stat: FileStat | undefined;
  /** Of a link: its text. */
  readonly target: string | undefined;
  /** Returns what was requested when the place was opened. Throws if it is not a readable file. */
  read(): Promise<FileBytes>;
  /**
   * Puts a file here, whole and on the disk, or leaves what is there. Makes the missing directories. Throws
   * `FileConflict` if `stat` no longer describes what is there, and `InvalidArguments` or `MachineRefused` for what the
   * system refuses.
   */
  replace(file: NewFile): Promise<void>;
  /** Removes the file, and as many `directories` above it as are empty then. Throws as `replace`. */
  remove(directories?: number): Promise<void>;
}

/** An absolute path, split. */
export interface ParsedPath {
  readonly directory: string;
  readonly name: string;
}

/** Longest name of a file, in bytes. Source: NAME_MAX in linux/limits.h. */
const MAX_NAME_BYTES = 255;

/** Continues the sentence about a token that has ended meanwhile. */
export const NOTHING_DONE = ', so nothing was done';

/** Splits a client's path. Throws `InvalidArguments` for one that names no file. */
export function parsePath(path: string): ParsedPath {
  const refuse = (what: string): InvalidArguments =>
    new InvalidArguments(`path ${shownPath(path)} ${what} Nothing was done.`);
  if (!path.startsWith('/')) throw refuse('is not absolute. Begin it with /.');
  if (path.includes('\0') || !path.isWellFormed()) throw refuse('has a character that no path can have.');
  if (path.split('/').some((part) => part === '..' || part === '.'))
    throw refuse('has . or .. in it. Write the path without them.');
  if (path.endsWith('/')) throw refuse('ends with /, so it names a directory. Name a file in it.');
  const { dir: directory, base: name } = posix.parse(posix.normalize(path));
  if (Buffer.byteLength(path) > MAX_PATH_BYTES || Buffer.byteLength(name) > MAX_NAME_BYTES)
    throw refuse('is longer than a path may be on Linux.');
  return { directory, name };
}

/** A path as a message shows it. */
export function shownPath(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path);
}

/** The sandbox of a profile, as far as it matters for places. */
type SandboxPart = { readonly directory?: string | undefined } | undefined;

/** Returns why a path does not last from one call to the next; undefined if it does. */
export function whyFleeting(sandbox: SandboxPart, path: string): string | undefined {
  if (sandbox === undefined || ![...OWN_DIRECTORIES, '/dev'].some((root) => isWithin(root, path))) return undefined;
  if (sandbox.directory !== undefined && isWithin(sandbox.directory, path)) return undefined;
  return `in the sandbox of this token, ${OWN_DIRECTORIES.join(', ')} and /dev begin empty for every command`;
}

/** Returns the file at a place. Throws `FileNotFound`, and `InvalidArguments` for anything else. */
export function requireFile(place: FilePlace, sandbox: SandboxPart): FileStat {
  const { stat, path, missing } = place;
  if (stat !== undefined) return requirePlainFile(place, stat);
  const directory = posix.dirname(path);
  const what = missing === undefined ? `file ${shownPath(path)}` : `such directory: ${shownPath(directory)}`;
  const existing = missing === undefined ? directory : directory.slice(0, -missing.length - 1) || '/';
  const fleeting = whyFleeting(sandbox, path);
  throw new FileNotFound(
    `There is no ${what}${fleeting === undefined ? `. Look with shell: ls ${existing}` : `: ${fleeting}.`}`,
  );
}

/** Returns the file at a place; undefined if nothing is there. Throws `InvalidArguments` for anything else. */
export function fileOrNothing(place: FilePlace): FileStat | undefined {
  return place.stat === undefined ? undefined : requirePlainFile(place, place.stat);
}

function requirePlainFile({ path, target }: FilePlace, stat: FileStat): FileStat {
  const shown = shownPath(path);
  switch (stat.kind) {
    case 'file':
      return stat;
    case 'link':
      throw new InvalidArguments(
        `${shown} is a symbolic link to ${shownPath(target ?? '')}. Links are not followed: name the file itself. Nothing was done.`,
      );
    case 'directory':
      throw new InvalidArguments(`${shown} is a directory. List it with shell: ls -la. Nothing was done.`);
    default:
      throw new InvalidArguments(
        `${shown} is a ${stat.kind}, not a file${stat.kind === 'device' ? ', or it is hidden from this token' : ''}. Nothing was done.`,
      );
  }
}

const MIB = 1_048_576;

/** Throws `InvalidArguments` for a file that is too large to be read whole. */
export function requireWhole({ path }: FilePlace, { bytes, isWhole }: FileBytes): Uint8Array {
  if (isWhole) return bytes;
  throw new InvalidArguments(
    `${shownPath(path)} is larger than ${MAX_FILE_BYTES / MIB} MiB, which is the limit here. Change it with shell: sed -i. Nothing was done.`,
  );
}

/** The refusal of a change if the file is another one by now. */
export function changedMeanwhile(path: string): FileConflict {
  return new FileConflict(
    `${shownPath(path)} was changed by somebody else meanwhile, so nothing was done. Read it again, and repeat the call.`,
  );
}

/** The refusal of a file that the kernel does not let this token use. `why` is in words: `permission denied`. */
export function notAllowed(what: string, path: string, why: string): InvalidArguments {
  return new InvalidArguments(`${shownPath(path)} cannot be ${what}: ${why}. Nothing was done.`);
}

/**
 * The refusal of what the system refused; its own error if that is not about the path: the agent has no descriptor
 * left.
 */
export function refusedBySystem(what: string, path: string, error: unknown): unknown {
  return isOutOfFiles(error) ? error : notAllowed(what, path, describeErrno(error));
}

/** The kind of file, from the bits of `st_mode` (inode(7)). */
export function kindOf(mode: number): FileKind {
  switch (mode & 0o170000) {
    case 0o100000:
      return 'file';
    case 0o040000:
      return 'directory';
    case 0o120000:
      return 'link';
    case 0o010000:
      return 'pipe';
    case 0o140000:
      return 'socket';
    default:
      return 'device';
  }
}

/** A range within a file of `size` bytes: it begins at 0 or later. */
export function rangeIn({ offset, bytes }: Range, size: number): Range {
  return { offset: offset < 0 ? Math.max(0, size + offset) : offset, bytes };
}
