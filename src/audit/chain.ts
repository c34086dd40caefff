import { closeSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { type Session, STREAMS } from '../sessions/session.ts';

/** The fields of every line of the record; `prev` is the SHA-256 of the line before, 64 zeros for the first. */
export interface AuditLine {
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly event: string;
  readonly prev: string;
  readonly [field: string]: unknown;
}

/** Whether a line ends an allowance, or all of them, as a start of the agent does. */
export function endsAllowances({ event, what, state }: AuditLine): boolean {
  return event === 'agent' && (what === 'started' || (what === 'allowance' && state === 'ended'));
}

/** Whether a line says which key this server has in the fleet of a hub. */
export function namesOwnKey({ event, what }: AuditLine): boolean {
  return event === 'agent' && what === 'server of a hub';
}

/**
 * Whether a line has a signed order of the owner, or claims so, is about an allowance, or names the key of this server.
 */
export function isOfOwner(line: AuditLine): boolean {
  const isByAllowance = line.event === 'start' && line['allowance'] !== undefined;
  const isSigned = line['signed'] !== undefined || /\(passkey [^()]*\)$/.test(String(line['by']));
  return isSigned || isByAllowance || endsAllowances(line) || namesOwnKey(line);
}

/** The hash before the first line. */
export const GENESIS = '0'.repeat(64);

/** Returns the SHA-256 of a line's bytes, without the line feed. */
export function hashLine(line: string | Uint8Array): string {
  return Bun.SHA256.hash(line, 'hex');
}

/** Parses a line of the record; undefined if it is invalid. */
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

/** Returns the lines of a file of the record; the last one is `torn` if no line feed follows it. */
export function* linesOf(bytes: Uint8Array): Generator<{ readonly bytes: Uint8Array; readonly isTorn: boolean }> {
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    yield { bytes: bytes.subarray(from, end === -1 ? undefined : end), isTorn: end === -1 };
    from = end === -1 ? bytes.length : end + 1;
  }
}

/** Of a line's MAC, 22 characters of Base64url: 128 bits. */
const MAC_BYTES = 16;
const END = /,"mac":"([\w-]{22})"\}$/;
const END_BYTES = 32;

export type SealState = 'none' | 'right' | 'wrong' | 'unknown';

/** Seals lines with a key, and checks seals. Without a key, lines stay as they are, and the result is `unknown`. */
export class Seal {
  constructor(private readonly key: string | undefined) {}

  get hasKey(): boolean {
    return this.key !== undefined;
  }

  /** Returns a line of JSON with its MAC as the last field. */
  line(json: string): string {
    if (this.key === undefined) return json;
    return `${json.slice(0, -1)},"mac":"${macOf(this.key, json)}"}`;
  }

  /** Whether the line with these bytes was sealed with the key; `unknown`: it was sealed, and there is no key. */
  check(line: Uint8Array): SealState {
    const end = Buffer.from(line.subarray(-END_BYTES)).toString('latin1');
    const mac = END.exec(end)?.[1];
    if (mac === undefined) return 'none';
    if (this.key === undefined) return 'unknown';
    const hasher = new Bun.CryptoHasher('sha256', this.key).update(line.subarray(0, -END_BYTES)).update('}');
    return shorten(hasher) === mac ? 'right' : 'wrong';
  }

  /** Returns the MAC of a text that is not a line; undefined without a key. */
  of(text: string): string | undefined {
    return this.key === undefined ? undefined : macOf(this.key, text);
  }
}

function macOf(key: string, text: string): string {
  return shorten(new Bun.CryptoHasher('sha256', key).update(text));
}

function shorten(hasher: Bun.CryptoHasher): string {
  return hasher.digest().subarray(0, MAC_BYTES).toString('base64url');
}

export interface Head {
  readonly seq: number;
  readonly hash: string;
  /** Files since the beginning, including the current one. */
  readonly files: number;
  readonly seal: SealState;
}

/** The content of the note of a record: `damaged` if no agent wrote it. */
export type HeadState = Head | 'empty' | 'damaged';

/** Returns the path of the note about the last line of a record, which reveals lines cut off at its end. */
export function headPath(path: string): string {
  return `${path}.head`;
}

/** Replaces a MAC if there is no key. */
const NO_MAC = '-'.repeat(22);

const NOTE_BYTES = 128;

/** Returns the text of a note in an open file. Throws the system's error. */
export function readNote(fd: number): string {
  const text = Buffer.alloc(NOTE_BYTES);
  return text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0));
}

/** Of fixed length, so that it is written in place and never seen half. */
export function headText(seal: Seal, seq: number, hash: string, files: number): string {
  const note = `${String(seq).padStart(16, '0')} ${hash}\n${String(files).padStart(8, '0')}`;
  return `${note} ${seal.of(note) ?? NO_MAC}\n`;
}

/** Reads a note. */
export function parseHead(seal: Seal, text: string): HeadState {
  if (text === '') return 'empty';
  const match = /^((\d{16}) ([0-9a-f]{64})\n(\d{8})) ([\w-]{22})\n$/.exec(text);
  if (match === null) return 'damaged';
  const [, noted = '', seq, hash = GENESIS, files, mac] = match;
  const note = { seq: Number(seq), hash, files: Number(files) };
  if (mac === NO_MAC) return { ...note, seal: 'none' };
  const right = seal.of(noted);
  return { ...note, seal: right === undefined ? 'unknown' : right === mac ? 'right' : 'wrong' };
}

/** What of a record is certainly on the disk: a loss of power removes no line up to this number. */
export interface Mark {
  /** Number of the last line that was synced before the mark was written. */
  readonly seq: number;
  /** The boot in which it was written (`/proc/sys/kernel/random/boot_id`). */
  readonly boot: string;
  /** The agent has ended in order, and nothing followed that line. */
  readonly isClosed: boolean;
  readonly seal: SealState;
}

/** Returns the path of the mark of a record. Separate from the note of its end, whose format older agents know. */
export function markPath(path: string): string {
  return `${path}.synced`;
}

/** Of fixed length, so that it is written in place and never seen half. */
export function markText(seal: Seal, { seq, boot, isClosed }: Omit<Mark, 'seal'>): string {
  const text = `${String(seq).padStart(16, '0')} ${boot.padEnd(36)} ${isClosed ? 'closed' : 'open  '}`;
  return `${text} ${seal.of(text) ?? NO_MAC}\n`;
}

/** Parses a mark; undefined if no agent with this key has written it. */
export function parseMark(seal: Seal, text: string): Mark | undefined {
  const match = /^((\d{16}) ([\w-]{1,36} *) (open {2}|closed)) ([\w-]{22})\n$/.exec(text);
  if (match === null) return undefined;
  const [, all = '', seq, boot = '', state, mac] = match;
  const right = seal.of(all);
  if (mac !== (right ?? NO_MAC)) return undefined;
  const sealState = right === undefined ? 'none' : 'right';
  return { seq: Number(seq), boot: boot.trim(), isClosed: state === 'closed', seal: sealState };
}

/** The record cannot be used; the message says why and what to do. */
export class AuditFault extends Error {}

const PIECE_BYTES = 262_144;

/** Returns the SHA-256 of the streams of a session, at once. */
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

/** Returns the SHA-256 of the first `size` bytes of an open file, without blocking the agent. Closes the descriptor. */
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
