import { Conflict, InvalidArguments, MachineRefused } from '../lib/errors.ts';

/** Bytes that are read or written at once: what a transfer holds in memory. */
export const FRAME_BYTES = 1_048_576;

/** A file that is open to be read from any place, whatever its path leads to by now. */
export interface Source {
  /** Its real path: no directory in it is a link. */
  readonly path: string;
  readonly bytes: number;
  /** The nine bits of its permissions. */
  readonly mode: number;
  /**
   * Some of the `length` bytes from `offset` on, at most `FRAME_BYTES`; none behind the end. They belong to the caller.
   * Throws `MachineRefused`.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): void;
}

/** A file that is being written beside the one whose place it takes at the end. */
export interface Sink {
  /** The real path of its place: no directory in it is a link. */
  readonly path: string;
  /** Appends at most `FRAME_BYTES`. Throws `MachineRefused`: then nothing may follow but `restart` and `close`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Begins again with an empty file. Throws `MachineRefused`. */
  restart(): Promise<void>;
  /** SHA-256 of what has been written, as the file holds it now, in hexadecimal digits. Throws `MachineRefused`. */
  sha256(): Promise<string>;
  /**
   * Puts the file in its place, whole. Throws `MachineRefused`, and `Conflict` where somebody else has put another file in
   * its stead; the file that was there is whole then.
   */
  commit(): Promise<void>;
  /** Removes what was not committed. */
  close(): void;
}

/** The refusal of a file that somebody else has changed before it was in its place. */
export function changedOnItsWay(): Conflict {
  return new Conflict(
    'The file was changed while it was on its way, so it was not put in its place. Upload it again with a new link.',
  );
}

/** What is wrong with a path, by the word that `open…` found. */
const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'its directory does not exist',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory. Pack it first, for example: tar -czf /tmp/NAME.tgz DIRECTORY',
  ELOOP: 'it is a symbolic link. Name the file that it leads to (readlink -f)',
  special: 'it is no regular file',
  kernel: 'the kernel makes its content when it is read. Copy it with shell first, for example: cat PATH > /tmp/copy',
  private: 'in the sandbox of this token that directory is new for every command, so the file would be lost at once',
  EROFS: 'it cannot be written to in the profile of this token, or its file system is read-only',
  ENOSPC: 'the disk is full',
};

/** The refusal of a path. `fault` is an errno, or another word of `FAULTS`. */
export function pathFault(path: string, fault: string): InvalidArguments | MachineRefused {
  const reason = FAULTS[fault] ?? `the system refused it (${fault})`;
  const text = `path ${JSON.stringify(path.slice(0, 200))} cannot be used: ${reason}.`;
  return fault === 'ENOSPC' ? new MachineRefused(text, undefined) : new InvalidArguments(text);
}
