/** The fields that every line of the record has; `prev` is the SHA-256 of the line before, 64 zeros for the first. */
export interface AuditLine {
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly event: string;
  readonly prev: string;
  readonly [field: string]: unknown;
}

/** What comes before the first line. */
export const GENESIS = '0'.repeat(64);

/** The SHA-256 of a line's bytes, without the line feed. */
export function hashLine(line: string | Uint8Array): string {
  return Bun.SHA256.hash(line, 'hex');
}

/** A line of the record, of bytes; undefined for what is none. */
export function parseLine(bytes: Uint8Array): AuditLine | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { seq, time, event, prev } = value as Record<string, unknown>;
    const isLine =
      Number.isSafeInteger(seq) && typeof time === 'string' && typeof event === 'string' && typeof prev === 'string';
    return isLine ? (value as AuditLine) : undefined;
  } catch {
    return undefined;
  }
}

/** The lines of a file of the record; the last one is `torn` when no line feed follows it. */
export function* linesOf(bytes: Uint8Array): Generator<{ readonly bytes: Uint8Array; readonly isTorn: boolean }> {
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    yield { bytes: bytes.subarray(from, end === -1 ? undefined : end), isTorn: end === -1 };
    from = end === -1 ? bytes.length : end + 1;
  }
}
