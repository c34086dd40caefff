import { Conflict, InvalidArguments, MachineRefused } from '../lib/errors.ts';

/** Bytes that are read or written at once: what a transfer holds in memory. */
export const FRAME_BYTES = 1_048_576;

/** A file that is open for reading at any offset, whatever its path leads to by now. */
export interface Source {
  /** Its real path: no directory in it is a link. */
  readonly path: string;
  readonly bytes: number;
  /** The nine bits of its permissions. */
  readonly mode: number;
  /**
   * Returns some of the `length` bytes from `offset` on, at most `FRAME_BYTES`; none after the end. They belong to the
   * caller. Throws `MachineRefused`.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): void;
}

/** A new file that is written next to its target, and replaces it at the end. */
export interface Sink {
  /** The real path of the target: no directory in it is a link. */
  readonly path: string;
  /** Appends at most `FRAME_BYTES`. Throws `MachineRefused`; then only `restart` and `close` may follow. */
  write(bytes: Uint8Array): Promise<void>;
  /** Begins again with an empty file. Throws `MachineRefused`. */
  restart(): Promise<void>;
  /** Returns the SHA-256 of the file as it is now, in hexadecimal digits. Throws `MachineRefused`. */
  sha256(): Promise<string>;
  /**
   * Replaces the target by the whole file. Throws `MachineRefused`, and `Conflict` if somebody else has replaced the
   * target meanwhile; then the target stays whole.
   */
  commit(): Promise<void>;
  /** Removes what was not committed. */
  close(): void;
}

/**
 * Joins the chunks of `body` to frames of `bytes`; only the last one is shorter. Where `body` throws, what had come is
 * yielded first. A frame is valid until the next one is asked for.
 */
export async function* framesOf(body: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array, void> {
  const frame = Buffer.allocUnsafeSlow(bytes);
  let filled = 0;
  let fault: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of body) {
      for (let at = 0; at < chunk.length; ) {
        const piece = chunk.subarray(at, at + bytes - filled);
        frame.set(piece, filled);
        filled += piece.length;
        at += piece.length;
        if (filled < bytes) continue;
        yield frame;
        filled = 0;
      }
    }
  } catch (error) {
    fault = { error };
  }
  if (filled > 0) yield frame.subarray(0, filled);
  if (fault !== undefined) throw fault.error;
}

/** The refusal of a file whose target somebody else has changed meanwhile. */
export function changedOnItsWay(): Conflict {
  return new Conflict(
    'The file on the server was changed during the upload, so it was not replaced. Upload again with a new link.',
  );
}

/** What is wrong with a path, by the word that `open…` reported. */
const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'its directory does not exist',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory. Pack it first, for example: tar -czf /tmp/NAME.tgz DIRECTORY',
  ELOOP: 'it is a symbolic link. Name the file that it leads to (readlink -f)',
  special: 'it is not a regular file',
  kernel: 'the kernel makes its content when it is read. Copy it with shell first, for example: cat PATH > /tmp/copy',
  private: 'in the sandbox of this token that directory is new for every command, so the file would be lost at once',
  EROFS: 'it cannot be written to in the profile of this token, or its file system is read-only',
  EAGAIN: 'there is nothing to read in it now',
  ENOSPC: 'the disk is full',
};

/** Returns the refusal of a path. `fault` is an errno, or another word of `FAULTS`. */
export function pathFault(path: string, fault: string): InvalidArguments | MachineRefused {
  const reason = FAULTS[fault] ?? `the system refused it (${fault})`;
  const text = `path ${JSON.stringify(path.slice(0, 200))} cannot be used: ${reason}.`;
  return fault === 'ENOSPC' ? new MachineRefused(text, undefined) : new InvalidArguments(text);
}
