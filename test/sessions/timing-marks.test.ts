import { describe, expect, test } from 'bun:test';
import {
  indexAfter,
  MAX_TIMING_BYTES,
  MAX_TIMING_MARKS,
  markAt,
  readMarks,
  TimingWriter,
} from '../../src/sessions/timing-marks.ts';

function written(marks: readonly { ms: number; stdout: number; stderr: number }[]): Uint8Array {
  const writer = new TimingWriter();
  for (const mark of marks) writer.note(mark);
  return writer.takeAll();
}

describe('the timing of a session', () => {
  test('is read as it was noted, also beyond 32 bits and where a stream was emptied', () => {
    const marks = [
      { ms: 0, stdout: 1, stderr: 0 },
      { ms: 20, stdout: 200, stderr: 3 },
      { ms: 90_000_000, stdout: 5_000_000_000, stderr: 3 },
      { ms: 90_000_100, stdout: 0, stderr: 4 },
    ];
    expect(readMarks(written(marks))).toEqual(marks);
  });

  test('is one mark for what comes within 10 ms, with its last state', () => {
    const marks = [0, 3, 6, 9].map((ms) => ({ ms, stdout: ms + 1, stderr: 0 }));
    expect(readMarks(written([...marks, { ms: 5000, stdout: 11, stderr: 0 }]))).toEqual([
      { ms: 9, stdout: 10, stderr: 0 },
      { ms: 5000, stdout: 11, stderr: 0 },
    ]);
  });

  test('has at most 100,000 marks, at most 1 MiB, and lasts for a day of writing', () => {
    const writer = new TimingWriter();
    let bytes = 0;
    const day = 86_400_000;
    for (let ms = 0, count = 0; ms < day; ms += 5, count++) {
      writer.note({ ms, stdout: count * 1000, stderr: count });
      if (writer.pending > 4096) bytes += writer.take().length;
    }
    bytes += writer.takeAll().length;
    expect(bytes).toBeLessThan(MAX_TIMING_BYTES);
    const far = new TimingWriter();
    for (let count = 0; count < 3 * MAX_TIMING_MARKS; count++)
      far.note({ ms: count * 1e8, stdout: count * 1e10, stderr: 0 });
    expect(far.pending).toBeLessThanOrEqual(MAX_TIMING_BYTES);
    expect(readMarks(far.takeAll()).length).toBeLessThanOrEqual(MAX_TIMING_MARKS);
  });

  test('that a command has forged is read to its end or to the first invalid mark, and never goes back', () => {
    const endless = new Uint8Array(100).fill(255);
    expect(readMarks(endless)).toEqual([]);
    expect(readMarks(Uint8Array.of(1, 2, 0, 5))).toEqual([{ ms: 1, stdout: 1, stderr: 0 }]);
    for (let round = 0; round < 200; round++) {
      const marks = readMarks(crypto.getRandomValues(new Uint8Array(500)));
      expect(marks.every(({ ms }, at) => ms >= (marks[at - 1]?.ms ?? 0))).toBe(true);
      expect(marks.every(({ stdout, stderr }) => stdout >= 0 && stderr >= 0)).toBe(true);
    }
    expect(readMarks(new Uint8Array(2 * MAX_TIMING_BYTES)).length).toBe(MAX_TIMING_MARKS);
  });

  test('finds how much there was at a time', () => {
    const marks = [10, 20, 30].map((ms) => ({ ms, stdout: ms, stderr: 0 }));
    expect([0, 10, 19, 30, 99].map((ms) => indexAfter(marks, ms))).toEqual([0, 1, 1, 3, 3]);
    expect(markAt(marks, 25)?.stdout).toBe(20);
    expect(markAt(marks, 5)).toBeUndefined();
  });
});
