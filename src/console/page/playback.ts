import { indexAfter, markAt, type TimingMark } from '../../sessions/timing-marks.ts';
import type { Stream } from '../shown.ts';

/** Bytes of a stream from an offset on; fewer where it ends. */
export type ReadOutput = (stream: Stream, from: number, bytes: number) => Promise<Uint8Array>;

/** What shows a playback. */
export interface Stage {
  /** Shows nothing any more. */
  clear(): void;
  write(stream: Stream, bytes: Uint8Array): void;
  /** So many bytes are not shown. */
  skip(bytes: number): void;
}

/** Most bytes shown of what was written at once, and of what was written before the target of a jump. */
const MOST_AT_ONCE = 65_536;
/** A screen may be drawn by what was written long before. */
const MOST_OF_SCREEN = 262_144;
const NOTHING: TimingMark = { ms: 0, stdout: 0, stderr: 0 };

interface Part {
  readonly stream: Stream;
  readonly from: number;
  readonly to: number;
}

/**
 * Plays the output of a session back. Whatever its size is, it reads and writes at most `MOST_OF_SCREEN` in one step. Its
 * steps must not overlap.
 */
export class Playback {
  /** How far it is shown, in milliseconds since the start. */
  at = 0;
  #index = 0;

  /** `marks` end with all that there is. */
  constructor(
    private readonly marks: readonly TimingMark[],
    private readonly isTerminal: boolean,
    private readonly read: ReadOutput,
    private readonly stage: Stage,
  ) {}

  get endMs(): number {
    return this.marks.at(-1)?.ms ?? 0;
  }

  /** When there is something new after `at`; undefined: nothing comes any more. */
  get nextMs(): number | undefined {
    return this.marks[this.#index]?.ms;
  }

  /** Shows how it was at a time. */
  async jump(ms: number): Promise<void> {
    const mark = markAt(this.marks, ms) ?? NOTHING;
    this.#index = indexAfter(this.marks, ms);
    this.at = ms;
    this.stage.clear();
    if (this.isTerminal) return await this.#drawScreen(mark);
    await this.#show(partsUpTo(this.marks, this.#index, MOST_AT_ONCE), mark.stdout + mark.stderr);
  }

  /** Shows what was written until a time. */
  async advance(ms: number): Promise<void> {
    const from = this.#index;
    this.#index = indexAfter(this.marks, ms);
    this.at = Math.min(ms, this.endMs);
    if (this.#index === from) return;
    const before = this.marks[from - 1] ?? NOTHING;
    const after = this.marks[this.#index - 1] ?? NOTHING;
    const bytes = Math.max(0, after.stdout - before.stdout) + Math.max(0, after.stderr - before.stderr);
    await this.#show(partsUpTo(this.marks, this.#index, MOST_AT_ONCE, from), bytes);
  }

  async #drawScreen({ stdout }: TimingMark): Promise<void> {
    const from = Math.max(0, stdout - MOST_OF_SCREEN);
    const bytes = await this.read('stdout', from, stdout - from);
    this.stage.write('stdout', bytes.subarray(lastClear(bytes)));
  }

  async #show(parts: readonly Part[], bytes: number): Promise<void> {
    const shown = parts.reduce((sum, { from, to }) => sum + to - from, 0);
    if (bytes > shown) this.stage.skip(bytes - shown);
    for (const { stream, from, to } of parts) this.stage.write(stream, await this.read(stream, from, to - from));
  }
}

/** What was written by the marks before an index, and not before `first`: the last `most` bytes, in their order. */
function partsUpTo(marks: readonly TimingMark[], end: number, most: number, first = 0): Part[] {
  const parts: Part[] = [];
  let left = most;
  for (let index = end - 1; index >= first && left > 0; index--) {
    const [mark, before] = [marks[index] ?? NOTHING, marks[index - 1] ?? NOTHING];
    for (const stream of ['stderr', 'stdout'] as const) {
      const from = Math.max(before[stream], mark[stream] - left);
      if (mark[stream] <= from || left <= 0) continue;
      left -= mark[stream] - from;
      const [next] = parts;
      if (next?.stream === stream && next.from === mark[stream]) parts[0] = { stream, from, to: next.to };
      else parts.unshift({ stream, from, to: mark[stream] });
    }
  }
  return parts;
}

/** What empties a screen: ED 2 and 3, RIS, and the other screen buffer (xterm's control sequences). */
const CLEARS = ['\u001b[2J', '\u001b[3J', '\u001bc', '\u001b[?1049h'];

/** Offset of the last clear screen, else 0. */
function lastClear(bytes: Uint8Array): number {
  const text = Array.from({ length: Math.ceil(bytes.length / 8192) }, (_, part) =>
    String.fromCharCode(...bytes.subarray(part * 8192, (part + 1) * 8192)),
  ).join('');
  return Math.max(0, ...CLEARS.map((sequence) => text.lastIndexOf(sequence)));
}

const BLOCK_BYTES = 131_072;
const MOST_BLOCKS = 6;

/** Reads output in blocks, and keeps the last few: playing asks for many small parts, one after the other. */
export function readInBlocks(read: ReadOutput): ReadOutput {
  const blocks = new Map<string, Uint8Array>();
  const blockAt = async (stream: Stream, start: number, least: number): Promise<Uint8Array> => {
    const key = `${stream} ${start}`;
    const kept = blocks.get(key);
    // Of a command that runs, the last block may have grown.
    const block = kept !== undefined && kept.length >= least ? kept : await read(stream, start, BLOCK_BYTES);
    blocks.delete(key);
    blocks.set(key, block);
    const [oldest] = blocks.keys();
    if (blocks.size > MOST_BLOCKS && oldest !== undefined) blocks.delete(oldest);
    return block;
  };
  return async (stream, from, bytes) => {
    const parts: Uint8Array[] = [];
    for (let at = from; at < from + bytes; ) {
      const start = at - (at % BLOCK_BYTES);
      const end = Math.min(from + bytes, start + BLOCK_BYTES);
      const part = (await blockAt(stream, start, end - start)).subarray(at - start, end - start);
      if (part.length === 0) break;
      parts.push(part);
      at += part.length;
    }
    return joined(parts);
  };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
