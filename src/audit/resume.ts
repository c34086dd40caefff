import { readSync } from 'node:fs';
import { GENESIS, type Head, type HeadState, hashLine, linesOf, parseLine, Seal } from './chain.ts';
import { readRecordFile, rotatedFiles } from './files.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The end of a file: its last lines, at most two, and whether a line feed follows them. */
interface Tail {
  readonly lines: readonly Uint8Array[];
  readonly isTorn: boolean;
}

/** How an agent continues a record. */
export interface Resumption {
  readonly seq: number;
  readonly prev: string;
  readonly files: number;
  readonly isTorn: boolean;
  readonly needsBreak: boolean;
  readonly notes: readonly Fields[];
}

/**
 * Returns how to continue the chain of an earlier agent, and what is inconsistent in what it left. Lines up to `synced`
 * are on the disk.
 */
export function resume(seal: Seal, head: HeadState, tail: Tail, older: OlderFiles, synced = 0): Resumption {
  const isFresh = synced === 0 && older.newest() === undefined && (tail.lines.length === 0 || isTornStart(tail, 1));
  // The note of a record without a line is synced before the first one; a loss of power may come even before that.
  if (isFresh && (head === 'empty' || isBeginning(head))) {
    const torn = tail.lines.at(-1);
    const prev = torn === undefined ? GENESIS : hashLine(torn);
    const isTorn = torn !== undefined;
    return { seq: 0, prev, files: 1, isTorn, needsBreak: tail.isTorn, notes: [] };
  }
  if (typeof head === 'string')
    return fromLines(tail, older, `the note of where it ends ${head === 'empty' ? 'is missing' : 'was damaged'}`);
  const fault = faultOfHead(seal, head, tail.lines.at(-1), older);
  if (fault !== undefined) return fromLines(tail, older, fault);
  const notes = sealNotes(seal, head);
  const at = { seq: head.seq, prev: head.hash, files: head.files, isTorn: false, needsBreak: tail.isTorn, notes };
  if (tail.lines.length === 0) return ontoNewFile(seal, head, older, at);
  const fit = fitOf(seal, head, tail, older);
  if (fit !== undefined) return { ...at, ...fit };
  return { ...at, notes: [tampered(mismatch(head, tail)), ...notes] };
}

function isBeginning(head: HeadState): boolean {
  return typeof head !== 'string' && head.seq === 0 && head.hash === GENESIS;
}

/** Returns why the note cannot be trusted; undefined if it can. */
function faultOfHead(seal: Seal, head: Head, last: Uint8Array | undefined, older: OlderFiles): string | undefined {
  if (head.seal === 'wrong') return 'the note of where it ends was not written with this key';
  // The first sealed line may be written, and not yet noted.
  const isFirst = last !== undefined && isNext(seal, head, last) && seal.check(last) === 'right';
  if (head.seal === 'none' && seal.hasKey && !isFirst && older.hasSeals())
    return 'the note of where it ends is not sealed, and lines are';
  return undefined;
}

/** Without a trusted note, the chain continues after the last line. */
function fromLines({ lines, isTorn }: Tail, older: OlderFiles, what: string): Resumption {
  const earlier = lastLine(older);
  const last = lines.at(-1) ?? earlier;
  const line = [...lines, ...(earlier === undefined ? [] : [earlier])]
    .map((bytes) => parseLine(bytes))
    .filter((one) => one !== undefined)
    .sort((a, b) => b.seq - a.seq)[0];
  return {
    seq: line?.seq ?? 0,
    prev: last === undefined ? GENESIS : hashLine(last),
    files: older.count + 1,
    isTorn: false,
    needsBreak: isTorn,
    notes: [tampered(what)],
  };
}

/** The file was rotated while no agent ran, or it was emptied. */
function ontoNewFile(seal: Seal, head: Head, older: OlderFiles, at: Resumption): Resumption {
  const found = older.tail();
  const fit = typeof found === 'object' ? fitOf(seal, head, found) : undefined;
  if (fit === undefined && found !== 'unreadable')
    return { ...at, notes: [tampered('the file was emptied'), ...at.notes] };
  const files = (fit?.files ?? at.files) + 1;
  return { ...at, ...fit, files, notes: [fileNote(files), ...at.notes] };
}

/** Returns how the end of the file fits the note; undefined if it does not. */
function fitOf(
  seal: Seal,
  head: Head,
  tail: Tail,
  older?: OlderFiles,
): (Pick<Resumption, 'seq' | 'prev' | 'isTorn'> & { readonly files?: number }) | undefined {
  const last = tail.lines.at(-1);
  if (last === undefined) return undefined;
  const { seq } = head;
  if (!tail.isTorn) {
    if (hashLine(last) === head.hash) return { seq, prev: head.hash, isTorn: false };
    // The agent died between a line and the note of it.
    if (isNext(seal, head, last))
      return { seq: seq + 1, prev: hashLine(last), isTorn: false, ...fileNumber(parseLine(last)) };
  }
  const before = tail.lines.length > 1 ? tail.lines[0] : older && lastLine(older);
  // The disk was full, or the machine crashed, in the middle of the next line.
  const isRest = before !== undefined && hashLine(before) === head.hash && isTornStart(tail, seq + 1);
  return isRest ? { seq, prev: hashLine(last), isTorn: true } : undefined;
}

function isNext(seal: Seal, head: Head, bytes: Uint8Array): boolean {
  const line = parseLine(bytes);
  if (line?.prev !== head.hash || line.seq !== head.seq + 1) return false;
  const state = seal.check(bytes);
  if (state === 'wrong') return false;
  return head.seal === 'right' ? state === 'right' : true;
}

/** Whether the last line is only the beginning of the one with this number. */
function isTornStart({ lines, isTorn }: Tail, seq: number): boolean {
  const last = lines.at(-1);
  if (last === undefined || (!isTorn && parseLine(last) !== undefined)) return false;
  const start = `{"seq":${seq},"time":"`;
  return Buffer.from(last.subarray(0, start.length)).toString('latin1') === start.slice(0, last.length);
}

function mismatch({ seq }: Head, { lines, isTorn }: Tail): string {
  const last = lines.at(-1);
  const line = last === undefined || isTorn ? undefined : parseLine(last);
  if (line === undefined) return 'the last line does not belong to the record';
  if (line.seq < seq) return `${seq - line.seq} lines are missing at the end, up to number ${seq}`;
  if (line.seq > seq) return `${line.seq - seq} lines follow that the agent did not write`;
  return 'the last line is not the one that was written';
}

function sealNotes({ hasKey }: Seal, { seal }: Head): Fields[] {
  if (hasKey && seal === 'none') return [{ event: 'agent', what: 'sealed from here on' }];
  return !hasKey && seal === 'unknown' ? [{ event: 'agent', what: 'not sealed from here on' }] : [];
}

function lastLine(older: OlderFiles): Uint8Array | undefined {
  const tail = older.tail();
  return typeof tail === 'object' ? tail.lines.at(-1) : undefined;
}

/** The first line of a new file. With `torn: true`, the last line of the file before was not written whole. */
export function fileNote(number: number): Fields {
  return { event: 'agent', what: 'file', number };
}

/** Whether a line is the first of a new file. */
export function isFileNote(fields: Fields | undefined): boolean {
  return fields?.['event'] === 'agent' && fields['what'] === 'file';
}

function fileNumber(line: Fields | undefined): { readonly files?: number } {
  const number = isFileNote(line) ? line?.['number'] : undefined;
  return typeof number === 'number' ? { files: number } : {};
}

/** A line about what somebody else has done. */
export function tampered(what: string): Fields {
  return { event: 'tampered', what };
}

/** First piece at the end of a file that is read for its last lines; each next one is eight times as long. */
const TAIL_BYTES = 65_536;

/** The open file of a record that an agent continues. */
export class LastFile {
  constructor(
    private readonly fd: number,
    readonly size: number,
  ) {}

  /** Returns the last bytes, at most `length`. */
  end(length: number): Uint8Array {
    const bytes = Buffer.alloc(Math.min(this.size, length));
    readSync(this.fd, bytes, 0, bytes.length, this.size - bytes.length);
    return bytes;
  }

  /** Returns the last lines. */
  tail(): Tail {
    for (let length = TAIL_BYTES; ; length *= 8) {
      const bytes = this.end(length);
      // The first line of a piece may begin before it.
      if (bytes.length === this.size || [...linesOf(bytes)].length > 2) return lastLines(bytes);
    }
  }
}

function lastLines(bytes: Uint8Array): Tail {
  const lines = [...linesOf(bytes)];
  return { lines: lines.slice(-2).map((line) => line.bytes), isTorn: lines.at(-1)?.isTorn ?? false };
}

/** Returns the time of the last line of a record, in milliseconds since the epoch. Undefined without a line that can be read. */
export function timeOfEnd(file: LastFile, older: OlderFiles): number | undefined {
  const last = file.tail().lines.at(-1) ?? lastLine(older);
  const time = Date.parse((last && parseLine(last)?.time) ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/** Whether what is written next begins a line. */
export function endsWithLine(fd: number, size: number): boolean {
  const byte = Buffer.alloc(1);
  return size === 0 || (readSync(fd, byte, 0, 1, size - 1) === 1 && byte[0] === 0x0a);
}

/** The rotated files, as far as the agent may read them; read only if needed. */
export class OlderFiles {
  readonly count: number;
  readonly #rotated: readonly string[];

  constructor(private readonly path: string) {
    this.#rotated = listed(path);
    this.count = this.#rotated.length;
  }

  /** Returns the bytes of the newest one that is not empty: a file may be rotated before it has a line. */
  newest(): Uint8Array | 'unreadable' | undefined {
    for (const path of this.#rotated.toReversed()) {
      const bytes = read(path, (all) => all);
      if (bytes.length > 0) return bytes;
    }
    return undefined;
  }

  tail(): Tail | 'unreadable' | undefined {
    const newest = this.newest();
    return typeof newest === 'object' ? lastLines(newest) : newest;
  }

  /** Whether the current file, or the newest of these, has a line with a MAC. */
  hasSeals(): boolean {
    const newest = this.newest();
    return (typeof newest === 'object' && isSealed(newest)) || read(this.path, isSealed) === true;
  }
}

/**
 * Whether the record in `path` has lines with a MAC, in its newest files. Throws no error: an unreadable file has none.
 */
export function hasSealedLines(path: string): boolean {
  return new OlderFiles(path).hasSeals();
}

function isSealed(bytes: Uint8Array): boolean {
  const seal = new Seal(undefined);
  for (const line of linesOf(bytes)) if (seal.check(line.bytes) !== 'none') return true;
  return false;
}

function listed(path: string): readonly string[] {
  try {
    return rotatedFiles(path);
  } catch {
    // A directory that the agent may not list; `audit verify` does.
    return [];
  }
}

function read<T>(path: string, part: (bytes: Uint8Array) => T): T | 'unreadable' {
  try {
    return part(readRecordFile(path));
  } catch {
    // It is root's alone; `audit verify` reads it.
    return 'unreadable';
  }
}
