import { type AuditLine, linesOf, parseLine } from './chain.ts';
import { isFileNote } from './resume.ts';
import type { Seal } from './seal.ts';

const POWER_LOSS = 'after a power loss: lines may be missing';

/** The line that an agent goes on with after a loss of power. `missing` lines are known to be, `skipped` bytes are before it. */
export function powerLossNote(boot: string, missing: number, skipped: number): Readonly<Record<string, unknown>> {
  return {
    event: 'recovered',
    what: POWER_LOSS,
    boot,
    ...(missing > 0 && { missing }),
    ...(skipped > 0 && { skipped_bytes: skipped }),
  };
}

/** What such a line says; undefined for another one. */
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

/** What a loss of power left in a file, by the lines of the agent that follow it there. */
export function* leftInside(bytes: Uint8Array, seal: Seal): Generator<Range> {
  for (const { bytes: line, to } of lossesIn(bytes, seal)) {
    const from = to - line;
    if (line > 0 && from >= 0) yield { from, to };
  }
}

/** How many bytes at the end of the file before are what a loss of power left: the new file then begins with that. */
export function leftBefore(start: Uint8Array, seal: Seal): number {
  for (const { bytes, to } of lossesIn(start, seal)) return to === 0 ? bytes : 0;
  return 0;
}

/** Lines that tell of bytes before them. Where a new file is begun after them, its first line is between. */
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

/** The first line of `bytes`, unless it is forged: that is found elsewhere, and explains nothing. */
function ownLine(bytes: Uint8Array, seal: Seal): AuditLine | undefined {
  const first = linesOf(bytes).next().value;
  if (first === undefined || first.isTorn || seal.check(first.bytes) === 'wrong') return undefined;
  return parseLine(first.bytes);
}
