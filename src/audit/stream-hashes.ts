import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { type Session, STREAMS } from '../sessions/session.ts';

const PIECE_BYTES = 262_144;

/** SHA-256 of the streams of a session, at once. */
export function hashesNow(session: Session): Readonly<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const stream of STREAMS) {
    const size = session.record[`${stream}_bytes`];
    if (size === 0) continue;
    try {
      const bytes = session.streamOf(stream, size).read(0, size);
      hashes[`${stream}_sha256`] = new Bun.CryptoHasher('sha256').update(bytes).digest('hex');
    } catch {
      // Somebody removed the file; the sizes are in the record.
    }
  }
  return hashes;
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
