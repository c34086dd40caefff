import {
  type AuditLine,
  GENESIS,
  type Head,
  type HeadState,
  hashLine,
  linesOf,
  type Mark,
  parseLine,
  type Seal,
} from './chain.ts';
import { fileNote, isFileNote, LastFile, OlderFiles, type Resumption, resume } from './resume.ts';

/**
 * The effect of a loss of power on a record: lines that were not synced yet are gone, replaced by NUL bytes (the file
 * has its new size and not its data) or a part of a line. Nothing else counts as one, and no line that was synced may
 * be missing.
 */
interface Ending {
  readonly seq: number;
  readonly hash: string;
  /** Where in the bytes the last whole line ends. */
  readonly to: number;
  readonly boot: string | undefined;
}

const BEGINNING: Ending = { seq: 0, hash: GENESIS, to: 0, boot: undefined };

/** Pages are written back whole: what was written back after a hole begins at one. */
const PAGE_BYTES = 4096;
const LINE_FEED = 0x0a;

/** First piece at the end of the file that is searched; each next one is eight times as long. */
const PIECE_BYTES = 65_536;

/** Returns how an agent continues the file of a record that an earlier one left: `head` and `mark` are its notes. */
export function takeUp(
  seal: Seal,
  head: HeadState,
  mark: Mark | undefined,
  boot: string,
  { fd, size, path }: { readonly fd: number; readonly size: number; readonly path: string },
): Resumption {
  const file = new LastFile(fd, size);
  const older = new OlderFiles(path);
  const afterPowerLoss =
    mark !== undefined && typeof head !== 'string'
      ? resumeAfterPowerLoss(seal, head, mark, boot, file, older)
      : undefined;
  return afterPowerLoss ?? resume(seal, head, file.tail(), older, mark?.seq);
}

/**
 * Returns how to continue a record whose mark is of another boot, if that agent has not ended in order; undefined if a
 * loss of power alone does not explain the file.
 */
function resumeAfterPowerLoss(
  seal: Seal,
  head: Head,
  mark: Mark,
  boot: string,
  file: LastFile,
  older: OlderFiles,
): Resumption | undefined {
  if (mark.boot === boot || mark.isClosed || mark.seal !== head.seal) return undefined;
  const found = findEnding(seal, mark, file, older);
  if (found === undefined) return undefined;
  const { ending, rest, offset, isNewFile, isInOlder } = found;
  // An agent has already continued in this boot: other faults are from since then.
  if (ending.seq < mark.seq || ending.boot === boot) return undefined;
  if (!isLeftByPowerLoss(rest, offset, ending.seq, seal)) return undefined;
  const needsBreak = !isInOlder && rest.length > 0 && rest.at(-1) !== LINE_FEED;
  const files = (head.files ?? older.count + 1) + (isNewFile ? 1 : 0);
  const note = powerLossNote(boot, Math.max(0, head.seq - ending.seq), rest.length + (needsBreak ? 1 : 0));
  const notes = isNewFile ? [fileNote(files), note] : [note];
  return { seq: ending.seq, prev: ending.hash, files, isTorn: false, needsBreak, notes };
}

interface Found {
  readonly ending: Ending;
  /** What follows the last whole line, and where in its file that begins. */
  readonly rest: Uint8Array;
  readonly offset: number;
  /** The file has no line yet, and others are older. */
  readonly isNewFile: boolean;
  readonly isInOlder: boolean;
}

/** Finds the last whole line after one that was certainly on the disk. */
function findEnding(seal: Seal, mark: Mark, file: LastFile, older: OlderFiles): Found | undefined {
  let bytes = file.end(PIECE_BYTES);
  for (; ; bytes = file.end(bytes.length * 8)) {
    const ending = wholeLines(bytes, undefined, seal, mark.seq);
    const offset = file.size - bytes.length + (ending?.to ?? 0);
    if (ending !== undefined)
      return { ending, rest: bytes.subarray(ending.to), offset, isNewFile: false, isInOlder: false };
    if (bytes.length === file.size) break;
  }
  const before = older.newest();
  if (before === 'unreadable') return undefined;
  if (before === undefined) {
    const ending = wholeLines(bytes, BEGINNING, seal, mark.seq) ?? BEGINNING;
    return { ending, rest: bytes.subarray(ending.to), offset: ending.to, isNewFile: false, isInOlder: false };
  }
  const last = wholeLines(before, undefined, seal, mark.seq);
  if (last === undefined) return undefined;
  const left = before.subarray(last.to);
  // A file is synced before another one is begun.
  if (left.length > 0 && bytes.length > 0) return undefined;
  if (left.length > 0) return { ending: last, rest: left, offset: last.to, isNewFile: true, isInOlder: true };
  const ending = wholeLines(bytes, { ...last, to: 0 }, seal, mark.seq) ?? last;
  const isNewFile = ending.seq === last.seq;
  const to = isNewFile ? 0 : ending.to;
  return { ending, rest: bytes.subarray(to), offset: to, isNewFile, isInOlder: false };
}

/**
 * Follows a chain of lines from `from` on. Without `from` they begin at a whole line that was synced, with a number up
 * to `synced`, or at the next one, if the synced ones are in an older file. What an earlier loss of power left before
 * that line is skipped.
 */
function wholeLines(bytes: Uint8Array, from: Ending | undefined, seal: Seal, synced: number): Ending | undefined {
  let ending = from;
  let at = from?.to ?? 0;
  for (const { bytes: text, isTorn } of linesOf(bytes.subarray(at))) {
    const line = isTorn ? undefined : lineOf(text, seal);
    at += text.length + 1;
    const isNextLine = line !== undefined && ending !== undefined && isNext(line, ending);
    if (!isNextLine && ending !== undefined && ending.seq >= synced) break;
    if (line === undefined || (!isNextLine && line.seq > synced + 1)) continue;
    const boot = line['boot'];
    ending = { seq: line.seq, hash: hashLine(text), to: at, boot: typeof boot === 'string' ? boot : ending?.boot };
  }
  return ending;
}

/** Whether `rest`, which begins `offset` bytes into its file after line `seq`, may be what a loss of power left. */
function isLeftByPowerLoss(rest: Uint8Array, offset: number, seq: number, seal: Seal): boolean {
  const hole = rest.indexOf(0);
  const start = rest.subarray(0, hole === -1 ? undefined : hole);
  if (start.includes(LINE_FEED) || !isStartOfLine(start, seq + 1)) return false;
  for (let at = hole; at !== -1 && at < rest.length; ) {
    const data = rest.subarray(at).findIndex((byte) => byte !== 0);
    if (data === -1) return true;
    at += data;
    if ((offset + at) % PAGE_BYTES !== 0) return false;
    const next = rest.indexOf(0, at);
    const piece = rest.subarray(at, next === -1 ? undefined : next);
    if (!arePartsOfLines(piece, seq, seal)) return false;
    at = next;
  }
  return true;
}

function isStartOfLine(bytes: Uint8Array, seq: number): boolean {
  const start = `{"seq":${seq},"time":"`;
  return Buffer.from(bytes.subarray(0, start.length)).toString('latin1') === start.slice(0, bytes.length);
}

/** The end of a line, whole lines, and the start of one: with later numbers. */
function arePartsOfLines(piece: Uint8Array, seq: number, seal: Seal): boolean {
  const [, ...lines] = linesOf(piece);
  return lines.every(({ bytes, isTorn }) => isTorn || (lineOf(bytes, seal)?.seq ?? 0) > seq);
}

/** Parses a line of the agent: with its MAC, if there is a key. */
function lineOf(bytes: Uint8Array, seal: Seal): AuditLine | undefined {
  const state = seal.check(bytes);
  return state === (seal.hasKey ? 'right' : 'none') ? parseLine(bytes) : undefined;
}

function isNext(line: AuditLine, { seq, hash }: Ending): boolean {
  return line.seq === seq + 1 && line.prev === hash;
}

const POWER_LOSS = 'after a power loss: lines may be missing';

/**
 * The line with which an agent continues after a loss of power. `missing` lines are gone, `skipped` bytes precede it.
 */
function powerLossNote(boot: string, missing: number, skipped: number): Readonly<Record<string, unknown>> {
  return {
    event: 'recovered',
    what: POWER_LOSS,
    boot,
    ...(missing > 0 && { missing }),
    ...(skipped > 0 && { skipped_bytes: skipped }),
  };
}

/** Returns the content of such a line; undefined for another one. */
export function powerLossOf(line: AuditLine): { readonly boot: string; readonly skipped: number } | undefined {
  if (line.event !== 'recovered' || line['what'] !== POWER_LOSS) return undefined;
  const { boot, skipped_bytes: skipped = 0 } = line;
  const isRight = typeof boot === 'string' && Number.isSafeInteger(skipped) && Number(skipped) >= 0;
  return isRight ? { boot, skipped: Number(skipped) } : undefined;
}

/** The same for an owner. */
export function describePowerLoss(line: AuditLine): string {
  const { missing } = line;
  const some = typeof missing !== 'number' ? 'lines' : `${missing} ${missing === 1 ? 'line' : 'lines'}, or more,`;
  return `the machine lost power before ${line.time}: ${some} of the last second before that may be missing`;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Returns what a loss of power left in a file, according to the lines of the agent that follow it there. */
export function* leftInside(bytes: Uint8Array, seal: Seal): Generator<Range> {
  for (const { bytes: line, to } of lossesIn(bytes, seal)) {
    const from = to - line;
    if (line > 0 && from >= 0) yield { from, to };
  }
}

/** Returns how many bytes at the end of the file before a loss of power left: the new file then begins with that. */
export function leftBefore(start: Uint8Array, seal: Seal): number {
  for (const { bytes, to } of lossesIn(start, seal)) return to === 0 ? bytes : 0;
  return 0;
}

/** Returns lines that report bytes before them. If a new file was begun after them, its first line is between. */
function* lossesIn(bytes: Uint8Array, seal: Seal): Generator<{ readonly bytes: number; readonly to: number }> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let found = text.indexOf(MARKED); found !== -1; found = text.indexOf(MARKED, found + 1)) {
    const start = text.lastIndexOf(0x0a, found) + 1;
    const line = ownLine(text.subarray(start), seal);
    const loss = line && powerLossOf(line);
    if (loss === undefined) continue;
    const before = start < 2 ? start : text.lastIndexOf(0x0a, start - 2) + 1;
    const note = ownLine(text.subarray(before), seal);
    yield { bytes: loss.skipped, to: isFileNote(note) ? before : start };
  }
}

const MARKED = '"event":"recovered"';

/** Returns the first line of `bytes`, unless it is forged: that is reported elsewhere, and explains nothing. */
function ownLine(bytes: Uint8Array, seal: Seal): AuditLine | undefined {
  const first = linesOf(bytes).next().value;
  if (first === undefined || first.isTorn || seal.check(first.bytes) === 'wrong') return undefined;
  return parseLine(first.bytes);
}
