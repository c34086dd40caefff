/** What the choice needs to know about a session. */
export interface SweepCandidate<Key> {
  readonly key: Key;
  /** The token that it belongs to. */
  readonly principal: string;
  /** Milliseconds since the epoch; undefined while one of its processes lives. */
  readonly endedAt: number | undefined;
  /** On disk: both streams and the record. */
  readonly bytes: number;
}

export interface SweepLimits {
  readonly ttlSeconds: number;
  readonly totalBytes: number;
  readonly totalSessions: number;
}

export interface SweepChoice<Key> {
  /** Ended sessions to remove: expired, or the oldest of the token that takes the most. */
  readonly remove: readonly Key[];
  /** Sessions to stop: of a token that takes the most and has no ended session left, the largest first. */
  readonly stop: readonly Key[];
}

/**
 * Chooses what to remove at `now`. Each token that has sessions has an equal part of the whole. While all together take
 * more than the whole, the token furthest over its part loses its oldest ended session. If it has none left, its
 * largest running one is stopped. So a token within its part loses nothing. Pure: the caller stops and removes.
 */
export function chooseSweep<Key>(
  candidates: readonly SweepCandidate<Key>[],
  limits: SweepLimits,
  now: number,
): SweepChoice<Key> {
  const isExpired = ({ endedAt }: SweepCandidate<Key>): boolean =>
    endedAt !== undefined && now - endedAt >= limits.ttlSeconds * 1000;
  const remove = candidates.filter(isExpired).map(({ key }) => key);
  const stop: Key[] = [];
  const shares = sharesOf(candidates.filter((candidate) => !isExpired(candidate)));
  let bytes = shares.reduce((sum, share) => sum + share.bytes, 0);
  let sessions = shares.reduce((sum, share) => sum + share.sessions, 0);
  while (bytes > limits.totalBytes) {
    const share = largest(shares, (one) => one.bytes);
    const oldest = share?.ended.pop();
    const gone = oldest ?? share?.running.pop();
    if (share === undefined || gone === undefined) break;
    (oldest === undefined ? stop : remove).push(gone.key);
    bytes -= gone.bytes;
    sessions--;
    take(share, gone);
  }
  while (sessions > limits.totalSessions) {
    const share = largest(shares, (one) => (one.ended.length > 0 ? one.sessions : 0));
    const oldest = share?.ended.pop();
    // Running sessions are few: the concurrency limit ensures that.
    if (share === undefined || oldest === undefined) break;
    remove.push(oldest.key);
    sessions--;
    take(share, oldest);
  }
  return { remove, stop };
}

/** The sessions of one token. */
interface Share<Key> {
  /** The oldest last. */
  readonly ended: SweepCandidate<Key>[];
  /** The largest last. */
  readonly running: SweepCandidate<Key>[];
  bytes: number;
  sessions: number;
}

function sharesOf<Key>(candidates: readonly SweepCandidate<Key>[]): Share<Key>[] {
  const shares = new Map<string, Share<Key>>();
  for (const candidate of candidates) {
    const share = shares.get(candidate.principal) ?? { ended: [], running: [], bytes: 0, sessions: 0 };
    shares.set(candidate.principal, share);
    (candidate.endedAt === undefined ? share.running : share.ended).push(candidate);
    share.bytes += candidate.bytes;
    share.sessions++;
  }
  for (const { ended, running } of shares.values()) {
    ended.sort((a, b) => (b.endedAt ?? 0) - (a.endedAt ?? 0));
    running.sort((a, b) => a.bytes - b.bytes);
  }
  return [...shares.values()];
}

function largest<Key>(shares: readonly Share<Key>[], sizeOf: (share: Share<Key>) => number): Share<Key> | undefined {
  let found: Share<Key> | undefined;
  for (const share of shares) if (found === undefined || sizeOf(share) > sizeOf(found)) found = share;
  return found;
}

function take<Key>(share: Share<Key>, gone: SweepCandidate<Key>): void {
  share.bytes -= gone.bytes;
  share.sessions--;
}
