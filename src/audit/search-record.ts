import { closeSync, constants, createReadStream, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { errnoOf } from '../lib/errors.ts';
import { type AuditLine, parseLine } from './chain.ts';
import { recordFiles } from './files.ts';

/** The wanted lines; missing conditions do not count. Times are milliseconds since the epoch. */
export interface RecordSearch {
  readonly from?: number;
  /** Before then. */
  readonly to?: number;
  /** Name of a token, with or without an id after it. */
  readonly token?: string;
  readonly session?: string;
  /** In any field, in upper or lower case. */
  readonly text?: string;
  /** Lines with a lower `seq`. */
  readonly before?: number;
}

interface SearchLimits {
  readonly lines: number;
  /** How much of the record is searched, approximately. A compressed file is searched whole. */
  readonly bytes: number;
  /** Lets other calls have their turn; called often. */
  readonly rest: () => Promise<void>;
}

export interface RecordFound {
  /** The newest first. */
  readonly lines: AuditLine[];
  /** `before` of the next search; null at the beginning of the record. */
  readonly next: number | null;
  /** The time of the oldest line that was examined. */
  readonly backTo: string | undefined;
}

const CHUNK_BYTES = 262_144;
const HEAD_BYTES = 200;
const LINE_FEED = 10;

/** Searches a record from its end. Throws the system's error. */
export async function searchRecord(path: string, search: RecordSearch, limits: SearchLimits): Promise<RecordFound> {
  const found = new Finding(search, limits.lines);
  let leftBytes = limits.bytes;
  for (const file of recordFiles(path).reverse()) {
    if (isOlder(file, search)) break;
    const walk = file.endsWith('.gz') ? walkPacked(file, found, limits) : walkBack(file, found, leftBytes, limits);
    leftBytes -= await walk;
    if (found.isOver) return found.result(null);
    if (found.isFull || leftBytes <= 0) return found.result(found.lastSeq);
  }
  return found.result(null);
}

/** Whether nothing was written to a file since the wanted time. */
function isOlder(file: string, { from }: RecordSearch): boolean {
  return from !== undefined && (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? from) < from;
}

/** What was found so far, going back. */
class Finding {
  readonly lines: AuditLine[] = [];
  /** Whether a line before the wanted time was reached. */
  isOver = false;
  lastSeq: number | null = null;
  #backTo: string | undefined;
  readonly #text: string | undefined;

  constructor(
    private readonly search: RecordSearch,
    readonly most: number,
  ) {
    this.#text = search.text?.toLowerCase();
  }

  get isFull(): boolean {
    return this.lines.length >= this.most;
  }

  result(next: number | null): RecordFound {
    return { lines: this.lines, next, backTo: this.#backTo };
  }

  /** Whether a line is too new, by its beginning. */
  isAfter(head: string): boolean {
    const { to, before } = this.search;
    const [, seq = '', time = ''] = /^\{"seq":(\d+),"time":"([^"]+)"/.exec(head) ?? [];
    if (seq === '') return false;
    return (before !== undefined && Number(seq) >= before) || (to !== undefined && Date.parse(time) >= to);
  }

  /** Takes a line; false: no line before it is wanted. */
  take(line: AuditLine): boolean {
    const { from, to, before } = this.search;
    const at = Date.parse(line.time);
    if (from !== undefined && at < from) this.isOver = true;
    if (this.isOver || this.isFull) return false;
    this.lastSeq = line.seq;
    this.#backTo = line.time;
    if ((to === undefined || at < to) && (before === undefined || line.seq < before) && this.matches(line))
      this.lines.push(line);
    return !this.isFull;
  }

  matches(line: AuditLine): boolean {
    const { token, session } = this.search;
    const own = String(line['token'] ?? '');
    if (token !== undefined && own !== token && !own.startsWith(`${token}#`)) return false;
    if (session !== undefined && line['session'] !== session) return false;
    const text = this.#text;
    return text === undefined || Object.entries(line).some((field) => has(field, text));
  }
}

/** Fields that mean nothing to a person. */
const SILENT = new Set(['prev', 'mac', 'time']);

function has([name, value]: readonly [string, unknown], text: string): boolean {
  return typeof value === 'string' && !SILENT.has(name) && value.toLowerCase().includes(text);
}

/** Takes the lines of a file from its end; returns how many bytes it read. */
async function walkBack(file: string, found: Finding, mostBytes: number, { rest }: SearchLimits): Promise<number> {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { size } = fstatSync(fd);
    if (size === 0 || found.isAfter(headAt(fd, 0))) return 0;
    let end = endOf(fd, size, found);
    let read = 0;
    let tail: Uint8Array = new Uint8Array(0);
    while (end > 0 && read < mostBytes) {
      await rest();
      const start = Math.max(0, end - CHUNK_BYTES);
      const bytes = new Uint8Array(end - start + tail.length);
      readSync(fd, bytes, 0, end - start, start);
      bytes.set(tail, end - start);
      read += end - start;
      end = start;
      // Bytes before the first line feed belong to a line that begins further back.
      const first = start === 0 ? 0 : bytes.indexOf(LINE_FEED) + 1;
      if (first === 0 && start > 0) {
        tail = bytes;
        continue;
      }
      tail = bytes.slice(0, first);
      if (!takeBack(bytes.subarray(first), found)) break;
    }
    return read;
  } finally {
    closeSync(fd);
  }
}

/** Takes whole lines, the last one first; false: no more are wanted. */
function takeBack(bytes: Uint8Array, found: Finding): boolean {
  let end = bytes.length;
  while (end > 0) {
    const start = bytes.lastIndexOf(LINE_FEED, end - 2) + 1;
    const line = parseLine(bytes.subarray(start, bytes[end - 1] === LINE_FEED ? end - 1 : end));
    if (line !== undefined && !found.take(line)) return false;
    end = start;
  }
  return true;
}

/** Returns where the lines end that are not too new: lines are in order of time, so a binary search works. */
function endOf(fd: number, size: number, found: Finding): number {
  let [low, high] = [0, size];
  while (high - low > CHUNK_BYTES) {
    const middle = Math.floor((low + high) / 2);
    const line = lineAfter(fd, middle, high);
    if (line === undefined) break;
    if (found.isAfter(headAt(fd, line))) high = line;
    else low = line;
  }
  return high;
}

/** Returns where the first line after an offset begins; undefined: no line begins between it and `end`. */
function lineAfter(fd: number, offset: number, end: number): number | undefined {
  const bytes = new Uint8Array(65_536);
  for (let at = offset; at < end; at += bytes.length) {
    const length = readSync(fd, bytes, 0, Math.min(bytes.length, end - at), at);
    const feed = bytes.subarray(0, length).indexOf(LINE_FEED);
    if (feed !== -1) return at + feed + 1 < end ? at + feed + 1 : undefined;
  }
  return undefined;
}

function headAt(fd: number, offset: number): string {
  const bytes = Buffer.alloc(HEAD_BYTES);
  return bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, offset));
}

/**
 * Takes the lines of a compressed file: it is read from its beginning, and the last ones that match are kept. Returns
 * its bytes.
 */
async function walkPacked(file: string, found: Finding, { rest }: SearchLimits): Promise<number> {
  let read = 0;
  let open: Uint8Array[] = [];
  const kept: AuditLine[] = [];
  const most = found.most - found.lines.length;
  /** False: the rest of the file is too new. */
  const keep = (bytes: Uint8Array): boolean => {
    if (found.isAfter(Buffer.from(bytes.subarray(0, HEAD_BYTES)).toString('latin1'))) return false;
    const line = parseLine(bytes);
    if (line === undefined) return true;
    // The oldest shows how far back the search came.
    if (kept.length === 0 || found.matches(line)) kept.push(line);
    if (kept.length > most + 1) kept.splice(0, 1);
    return true;
  };
  try {
    walk: for await (const piece of createReadStream(file).pipe(createGunzip())) {
      await rest();
      const chunk: Uint8Array = piece;
      read += chunk.length;
      let from = 0;
      for (let feed = chunk.indexOf(LINE_FEED); feed !== -1; feed = chunk.indexOf(LINE_FEED, from)) {
        const bytes =
          open.length === 0 ? chunk.subarray(from, feed) : Buffer.concat([...open, chunk.subarray(from, feed)]);
        open = [];
        from = feed + 1;
        if (!keep(bytes)) break walk;
      }
      if (from < chunk.length) open.push(chunk.slice(from));
    }
  } catch (error) {
    // A damaged file hides no other; `audit verify` reports it.
    if (errnoOf(error)?.startsWith('Z_') !== true) throw error;
  }
  for (const line of kept.reverse()) if (!found.take(line)) break;
  return read;
}
