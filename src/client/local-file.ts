import { type FileHandle, open } from 'node:fs/promises';
import { describeErrno } from '../lib/errors.ts';
import { CopyFault } from './faults.ts';

const PIECE_BYTES = 262_144;

/** Yields the bytes of a file, from `from` to before `to`. Calls `note` with each piece and its end. */
export function piecesOf(
  file: FileHandle,
  from: number,
  to: number,
  note: (piece: Uint8Array, end: number) => void,
): ReadableStream<Uint8Array> {
  let at = from;
  return new ReadableStream(
    {
      pull: async (controller) => {
        const piece = await readAt(file, at, to);
        at += piece.length;
        if (piece.length === 0) return at === to ? controller.close() : controller.error(changed());
        note(piece, at);
        controller.enqueue(piece);
      },
    },
    { highWaterMark: 0 },
  );
}

const changed = (): CopyFault => new CopyFault('the file became shorter while it was copied. Copy it again.');

/** Returns the SHA-256 of the first `size` bytes, in hexadecimal digits. Throws `CopyFault` when there are fewer. */
export async function hashOf(file: FileHandle, size: number): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256');
  for (let at = 0; at < size; ) {
    const piece = await readAt(file, at, size);
    if (piece.length === 0) throw changed();
    hash.update(piece);
    at += piece.length;
  }
  return hash.digest('hex');
}

async function readAt(file: FileHandle, at: number, to: number): Promise<Uint8Array> {
  const piece = new Uint8Array(Math.min(PIECE_BYTES, to - at));
  const { bytesRead } = await file.read(piece, 0, piece.length, at);
  return piece.subarray(0, bytesRead);
}

/** Writes all of `bytes` at an offset. Throws `CopyFault`. */
export async function writeAt(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
      done += bytesWritten;
    }
  } catch (error) {
    throw new CopyFault(`the copy cannot be written: ${describeErrno(error)}`);
  }
}

/** Opens a local file. A new one is readable only by its user. Throws `CopyFault`. */
export async function openLocal(path: string, flags: string | number): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    throw new CopyFault(`${path} cannot be opened: ${describeErrno(error)}`);
  }
}
