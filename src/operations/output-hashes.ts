import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
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
      hashes[`${stream}_sha256`] = hashStart(session.path(stream), size);
    } catch {
      // Somebody removed the file; the sizes are in the record.
    }
  }
  return hashes;
}

function hashStart(path: string, size: number): string {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(size);
    const length = readSync(fd, bytes, 0, size, 0);
    return new Bun.CryptoHasher('sha256').update(bytes.subarray(0, length)).digest('hex');
  } finally {
    closeSync(fd);
  }
}

/** SHA-256 of the first `size` bytes of a file, without holding up anybody. */
export async function hashFile(path: string, size: number): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256');
  await using file = await open(path);
  const buffer = Buffer.alloc(PIECE_BYTES);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(PIECE_BYTES, size - at), at);
    if (bytesRead === 0) break;
    hasher.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hasher.digest('hex');
}
