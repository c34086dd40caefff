/** What the choice needs to know of a session. */
export interface SweepCandidate<Key> {
  readonly key: Key;
  /** Milliseconds since the epoch; undefined while a process of it lives. */
  readonly endedAt: number | undefined;
  /** On disk, both streams. */
  readonly bytes: number;
}

export interface SweepLimits {
  readonly ttlSeconds: number;
  readonly totalBytes: number;
}

export interface SweepChoice<Key> {
  /** Ended sessions whose files go: past their time, or the oldest ones while all are too large. */
  readonly remove: readonly Key[];
  /** Sessions to stop, largest first: with every ended one gone, the running ones alone are too large. */
  readonly stop: readonly Key[];
}

/** Chooses what has to go at `now`. Pure: the caller stops and removes. */
export function chooseSweep<Key>(
  candidates: readonly SweepCandidate<Key>[],
  limits: SweepLimits,
  now: number,
): SweepChoice<Key> {
  let total = candidates.reduce((sum, candidate) => sum + candidate.bytes, 0);
  const remove: Key[] = [];
  for (const candidate of endedOldestFirst(candidates)) {
    const expired = now - candidate.endedAt >= limits.ttlSeconds * 1000;
    if (!expired && total <= limits.totalBytes) break;
    remove.push(candidate.key);
    total -= candidate.bytes;
  }
  const stop: Key[] = [];
  for (const candidate of runningLargestFirst(candidates)) {
    if (total <= limits.totalBytes) break;
    stop.push(candidate.key);
    total -= candidate.bytes;
  }
  return { remove, stop };
}

type Ended<Key> = SweepCandidate<Key> & { readonly endedAt: number };

function endedOldestFirst<Key>(candidates: readonly SweepCandidate<Key>[]): Ended<Key>[] {
  return candidates
    .filter((candidate): candidate is Ended<Key> => candidate.endedAt !== undefined)
    .sort((a, b) => a.endedAt - b.endedAt);
}

function runningLargestFirst<Key>(candidates: readonly SweepCandidate<Key>[]): SweepCandidate<Key>[] {
  return candidates.filter((candidate) => candidate.endedAt === undefined).sort((a, b) => b.bytes - a.bytes);
}
