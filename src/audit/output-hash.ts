import { closeSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { type Session, STREAMS, type StreamName } from '../sessions/session.ts';

const PIECE_BYTES = 262_144;

/** Bytes of a stream, as the session's record tells. */
export function sizeOf({ record }: Session, stream: StreamName): number {
  return stream === 'stdout' ? record.stdout_bytes : record.stderr_bytes;
}

/** SHA-256 of the streams of a session, at once. */
export function hashesNow(session: Session): Readonly<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const stream of STREAMS) {
    const size = sizeOf(session, stream);
    if (size === 0) continue;
    try {
      hashes[`${stream}_sha256`] = hashStart(session.openReading(stream), size);
    } catch {
      // Somebody removed the file; the sizes are in the record.
    }
  }
  return hashes;
}

/** Closes the descriptor. */
function hashStart(fd: number, size: number): string {
  try {
    const bytes = Buffer.alloc(size);
    const length = readSync(fd, bytes, 0, size, 0);
    return new Bun.CryptoHasher('sha256').update(bytes.subarray(0, length)).digest('hex');
  } finally {
    closeSync(fd);
  }
}

const readLater = promisify(read);

/** SHA-256 of the first `size` bytes of an open file, without holding up anybody. Closes the descriptor. */
export async function hashFile(fd: number, size: number): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256');
  try {
    const buffer = Buffer.alloc(PIECE_BYTES);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await readLater(fd, buffer, 0, Math.min(PIECE_BYTES, size - at), at);
      if (bytesRead === 0) break;
      hasher.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    closeSync(fd);
  }
  return hasher.digest('hex');
}
