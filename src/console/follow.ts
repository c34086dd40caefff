import { SessionNotFound } from '../lib/errors.ts';
import { type Session, STREAMS, type StreamName } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { Piece } from './shown.ts';

/** A session whose output somebody follows, with how far they have it; -1: they have nothing yet. In bytes. */
export interface Followed {
  readonly session: string;
  readonly stdout: number;
  readonly stderr: number;
}

/** Most of one stream in an answer, and what who begins to follow gets of it. */
const PIECE_BYTES = 65_536;
/** Most of all streams in an answer, which they share as equals. */
const ANSWER_BYTES = 262_144;
/** A follower that is further behind misses what lies between: a command can write more than anybody reads. */
const MOST_BEHIND_BYTES = 262_144;

interface Grown {
  readonly session: Session;
  readonly stream: StreamName;
  readonly at: number;
  readonly size: number;
}

/** Whether there is something of these sessions that their follower does not have. */
export function hasGrown(store: SessionStore, follow: readonly Followed[]): boolean {
  return grownOf(store, follow).length > 0;
}

/** What their follower does not have yet, and which of the sessions are over and read to their end. */
export function readFollowed(
  store: SessionStore,
  follow: readonly Followed[],
): { readonly pieces: Piece[]; readonly ended: string[] } {
  const grown = grownOf(store, follow);
  const most = Math.min(PIECE_BYTES, Math.floor(ANSWER_BYTES / Math.max(1, grown.length)));
  const pieces = grown.flatMap((one) => pieceOf(one, most) ?? []);
  const unread = new Set(grown.map(({ session }) => session.id as string));
  const isOver = (id: string): boolean => {
    const status = store.find(id)?.record.status;
    return status !== 'running' && status !== 'waiting' && !unread.has(id);
  };
  return { pieces, ended: follow.map(({ session }) => session).filter(isOver) };
}

function grownOf(store: SessionStore, follow: readonly Followed[]): Grown[] {
  return follow.flatMap((followed) => {
    const session = store.find(followed.session);
    if (session === undefined || session.record.closed) return [];
    return STREAMS.flatMap((stream) => {
      const [at, size] = [followed[stream], session.sizeOf(stream)];
      return size === Math.max(0, at) ? [] : [{ session, stream, at, size }];
    });
  });
}

function pieceOf({ session, stream, at, size }: Grown, most: number): Piece | undefined {
  // A command may have emptied its own file.
  const isFar = at < 0 || at > size || size - at > MOST_BEHIND_BYTES;
  const from = isFar ? Math.max(0, size - most) : at;
  try {
    const bytes = session.streamOf(stream, size).read(from, most);
    return { session: session.id, stream, from, base64: Buffer.from(bytes).toString('base64'), size };
  } catch (error) {
    // Somebody has removed it, or its command keeps it from being read.
    if (error instanceof SessionNotFound) return undefined;
    throw error;
  }
}
