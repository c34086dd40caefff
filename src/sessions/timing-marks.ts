/**
 * When a session wrote how much, as its file `timing` has it. Imports nothing: the owner's page reads it too.
 *
 * A mark has three numbers: milliseconds since the last mark, then how many bytes each stream has got since. Each is a
 * varint of 7 bits a byte, the lowest first; the bytes are zigzag, for a stream that its command has emptied.
 */
export interface TimingMark {
  /** Since the start of the session. */
  readonly ms: number;
  /** Bytes of each stream at that time. */
  readonly stdout: number;
  readonly stderr: number;
}

/** Output within this time is one mark at first. It doubles with each `MARKS_PER_GAP`: 100,000 marks last 28 hours. */
const FIRST_GAP_MS = 10;
const MARKS_PER_GAP = 10_000;
export const MAX_TIMING_MARKS = 100_000;
export const MAX_TIMING_BYTES = 1_048_576;
/** Of three numbers of 53 bits. */
const MAX_MARK_BYTES = 24;

const START: TimingMark = { ms: 0, stdout: 0, stderr: 0 };

/** Makes marks from what is noted, and returns their bytes part by part. */
export class TimingWriter {
  #count = 0;
  #written = 0;
  #last = START;
  /** What was noted within one gap: its beginning, and the latest values. */
  #group: { readonly sinceMs: number; readonly mark: TimingMark } | undefined;
  #bytes: number[] = [];

  /** Continues after what an earlier agent wrote. */
  constructor(earlier = new Uint8Array(0)) {
    const marks = readMarks(earlier);
    this.#count = marks.length;
    this.#written = earlier.length;
    this.#last = marks.at(-1) ?? START;
  }

  /** What was noted last. */
  get last(): TimingMark {
    return this.#group?.mark ?? this.#last;
  }

  /** The number of bytes that `take` will return. */
  get pending(): number {
    return this.#bytes.length;
  }

  /** Notes the current sizes. Times do not go back. */
  note(mark: TimingMark): void {
    const group = this.#group;
    const gapMs = FIRST_GAP_MS * 2 ** Math.floor(this.#count / MARKS_PER_GAP);
    if (group !== undefined && mark.ms - group.sinceMs < gapMs) {
      this.#group = { sinceMs: group.sinceMs, mark };
      return;
    }
    this.#put();
    this.#group = { sinceMs: mark.ms, mark };
  }

  /** Returns the bytes since the last call. */
  take(): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes);
    this.#bytes = [];
    return bytes;
  }

  /** The same with all that was noted so far. */
  takeAll(): Uint8Array {
    this.#put();
    this.#group = undefined;
    return this.take();
  }

  #put(): void {
    const mark = this.#group?.mark;
    if (mark === undefined || this.#count >= MAX_TIMING_MARKS) return;
    if (this.#written + MAX_MARK_BYTES > MAX_TIMING_BYTES) return;
    const before = this.#bytes.length;
    putNumber(this.#bytes, Math.max(0, Math.round(mark.ms - this.#last.ms)));
    putNumber(this.#bytes, zigzag(mark.stdout - this.#last.stdout));
    putNumber(this.#bytes, zigzag(mark.stderr - this.#last.stderr));
    this.#written += this.#bytes.length - before;
    this.#last = { ...mark, ms: Math.max(this.#last.ms, Math.round(mark.ms)) };
    this.#count++;
  }
}

/**
 * Returns the marks of a file. For any bytes, times do not go back and no stream has fewer than 0 bytes; it ends at the
 * first invalid mark.
 */
export function readMarks(bytes: Uint8Array): TimingMark[] {
  const marks: TimingMark[] = [];
  let last = START;
  for (let at = 0; at < bytes.length && marks.length < MAX_TIMING_MARKS; ) {
    const numbers: number[] = [];
    while (numbers.length < 3) {
      const read = numberAt(bytes, at);
      if (read === undefined) return marks;
      numbers.push(read.value);
      at = read.next;
    }
    const [ms = 0, stdout = 0, stderr = 0] = numbers;
    last = {
      ms: last.ms + ms,
      stdout: Math.max(0, last.stdout + unzigzag(stdout)),
      stderr: Math.max(0, last.stderr + unzigzag(stderr)),
    };
    if (![last.ms, last.stdout, last.stderr].every(Number.isSafeInteger)) return marks;
    marks.push(last);
  }
  return marks;
}

/** Returns the last mark at or before a time; undefined without one. */
export function markAt(marks: readonly TimingMark[], ms: number): TimingMark | undefined {
  return marks[indexAfter(marks, ms) - 1];
}

/** Returns the index of the first mark after a time. */
export function indexAfter(marks: readonly TimingMark[], ms: number): number {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((marks[middle]?.ms ?? 0) <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);
const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);

function putNumber(bytes: number[], value: number): void {
  let left = value;
  while (left >= 128) {
    bytes.push((left % 128) + 128);
    left = Math.floor(left / 128);
  }
  bytes.push(left);
}

function numberAt(bytes: Uint8Array, from: number): { readonly value: number; readonly next: number } | undefined {
  let value = 0;
  let factor = 1;
  for (let at = from; at < bytes.length && at < from + MAX_MARK_BYTES / 3; at++, factor *= 128) {
    const byte = bytes[at] ?? 0;
    value += (byte % 128) * factor;
    if (byte < 128) return Number.isSafeInteger(value) ? { value, next: at + 1 } : undefined;
  }
  return undefined;
}
